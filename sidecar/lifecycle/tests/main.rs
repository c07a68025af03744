//! Tests of the machine from outside: step by step, and in a simulated world.

mod steps;
mod story;
mod world;
mod simulation;
