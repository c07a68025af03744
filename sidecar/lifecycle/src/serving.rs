//! While the agent may run: at most two looks whether it registered, and an agent of ours that is to be enabled again.

use crate::backoff::Jitter;
use crate::{Snapshot, Time};
use azure_protocol::AgentId;
use std::time::Duration;

/// When to look whether the agent registered: after it may start, and again if it was not there.
const CHECKS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(240)];

/// What is left to do while the agent may run.
#[derive(Debug)]
pub(crate) struct Serving {
    checks: usize,
    next_check: Option<Time>,
    /// Whether a look found no agent of ours under our name.
    pub(crate) looked_in_vain: bool,
    /// The agent that we disabled, and that an answer just now proved ours and still disabled.
    pub(crate) proven_disabled: Option<AgentId>,
}

/// A question to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Is the agent registered?
    Check,
    /// Is the agent that we disabled still ours, and still disabled?
    LookAtDisabled(AgentId),
    /// It is: enable it.
    Enable(AgentId),
}

impl Serving {
    pub(crate) fn new(kept: &Snapshot, jitter: &mut Jitter, now: Time) -> Self {
        let mut serving = Self {
            checks: 0,
            next_check: None,
            looked_in_vain: false,
            proven_disabled: None,
        };
        if kept.pinned.is_none() {
            serving.schedule(jitter, now);
        }
        serving
    }

    fn schedule(&mut self, jitter: &mut Jitter, now: Time) {
        self.next_check = CHECKS.get(self.checks).map(|wait| now.plus(jitter.above(*wait, 20)));
        self.checks += 1;
    }

    /// What to do next, and when at the earliest; `may_check`: whether the budget allows a check.
    pub(crate) fn task(&self, kept: &Snapshot, may_check: bool) -> Option<(Time, Task)> {
        match (self.proven_disabled, kept.disabled) {
            (Some(id), _) => Some((Time::default(), Task::Enable(id))),
            (None, Some(id)) => Some((Time::default(), Task::LookAtDisabled(id))),
            (None, None) if may_check => self.next_check.map(|at| (at, Task::Check)),
            (None, None) => None,
        }
    }

    /// Whether every look was made and no agent of ours was found.
    pub(crate) fn saw_nothing(&self) -> bool {
        self.looked_in_vain && self.next_check.is_none() && self.checks > CHECKS.len()
    }

    /// A check was answered.
    pub(crate) fn checked(&mut self, found: bool, jitter: &mut Jitter, now: Time) {
        if found {
            self.next_check = None;
            self.looked_in_vain = false;
        } else {
            self.looked_in_vain = true;
            self.schedule(jitter, now);
        }
    }

    /// A check was not answered: it counts, so that a broken server is not asked again and again.
    pub(crate) fn check_failed(&mut self, jitter: &mut Jitter, now: Time) {
        self.schedule(jitter, now);
    }
}
