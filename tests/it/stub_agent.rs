//! The stub of the agent itself, as processes beside an emulator: what it was made to do because the real one does it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "stub_agent/installed.rs"]
mod installed;
#[path = "stub_agent/jobs.rs"]
mod jobs;
#[path = "stub_agent/listener.rs"]
mod listener;
#[path = "stub_agent/scripts.rs"]
mod scripts;
#[path = "stub_agent/signals.rs"]
mod signals;
