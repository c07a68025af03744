//! The gateway over real sockets: the sidecar as a process between an agent and the emulators.
//!
//! What the real agent's source and a run of it showed about a base URL of ours is in docs/emulators.md; each of those findings
//! has its test here. What the judgment lets through is tested in the crate `gateway`.

#[path = "stub_agent/installed.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the suite of the stub agent uses the rest, and unwraps as tests do"
)]
mod installed;
#[path = "sidecar/pod.rs"]
#[allow(dead_code, reason = "the suite of the sidecar uses the rest")]
mod pod;

#[path = "gateway/agents.rs"]
mod agents;
#[path = "gateway/bounds.rs"]
mod bounds;
#[path = "gateway/hostile.rs"]
mod hostile;
#[path = "gateway/leaving.rs"]
mod leaving;
#[path = "gateway/once.rs"]
mod once;
#[path = "gateway/passing.rs"]
mod passing;
#[path = "gateway/stage.rs"]
mod stage;
#[path = "gateway/stolen.rs"]
mod stolen;
#[path = "gateway/ticket.rs"]
mod ticket;
