//! The sidecar's behaviour: events in, commands out.
//!
//! The machine has no clock, no IO and no randomness: the driver passes [`Time`] and a jitter seed in, performs each
//! [`Command`] and reports what happened as an [`Event`]. Secrets never come here: a token is known by its [`TokenId`].
//!
//! **Invariant:** every deadline that the machine waits for is in [`Lifecycle::poll_timeout`]. **Invariant:** the machine
//! works for every order of events, the impossible ones included.

mod types;

pub use types::*;

/// The state machine of one sidecar.
#[derive(Debug)]
pub struct Lifecycle {
    _unfinished: (),
}

impl Lifecycle {
    /// A machine that starts at `now`. `restored` is what the previous run of this container persisted, if any; `seed`
    /// makes the jitter of this pod different from that of its siblings.
    pub fn new(_settings: Settings, _restored: Option<Snapshot>, _seed: u64, _now: Time) -> Self {
        Self { _unfinished: () }
    }

    /// Something happened.
    pub fn handle(&mut self, _event: Event, _now: Time) {}

    /// A deadline may have passed.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When to call [`Self::handle_timeout`] next, and why; `None`: not before the next event.
    pub fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }

    /// The next thing to do; to be called until it is `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        None
    }

    /// What the probe answers and the termination message says now.
    pub fn status(&self) -> Status {
        Status {
            reason: contract::Reason::Starting,
            sentence: String::new(),
            agent_may_start: false,
        }
    }
}
