//! Tests of the machine from outside: step by step, and in a simulated world.

mod disorder;
mod fleet;
mod gateway;
mod gateway_simulation;
mod owners;
mod regressions;
mod simulation;
mod steps;
mod story;
mod world;
