//! From `kubectl apply` to removed: the patched pod of the examples with the real webhook and the real sidecar, every
//! generation of start scripts, and every story of the demo.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is wrong, in its helpers, too"
)]

#[path = "end_to_end/conflicts.rs"]
mod conflicts;
#[path = "end_to_end/demo.rs"]
mod demo;
#[path = "end_to_end/gateway.rs"]
mod gateway;
#[path = "end_to_end/generations.rs"]
mod generations;
#[path = "end_to_end/leaving.rs"]
mod leaving;
#[path = "end_to_end/misfortunes.rs"]
mod misfortunes;
#[path = "end_to_end/names.rs"]
mod names;
#[path = "end_to_end/pods.rs"]
mod pods;
#[path = "end_to_end/running_jobs.rs"]
mod running_jobs;
