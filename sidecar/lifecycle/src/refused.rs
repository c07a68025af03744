//! A configuration that can never work (unknown contract version, Azure DevOps Server, host not allowed, …): no request is sent,
//! no agent starts, and the reason is reported until the pod ends.
//!
//! Not a phase of [`Lifecycle`](crate::Lifecycle), which would then have settings that do not exist and could command requests
//! that cannot be sent.

use crate::context::sanitized;
use crate::{Outcome, Refusal, Snapshot, Status, Time, sentences};
use contract::{Drain, OutcomeReason};
use std::time::Duration;

/// A sidecar whose configuration is refused.
#[derive(Debug)]
pub struct Refused {
    refusal: Refusal,
    snapshot: Snapshot,
}

impl Refused {
    /// `restored` is what the previous run of this container persisted: its configuration may have been another one, since
    /// what comes from a ConfigMap or a Secret is read again at each start.
    pub fn new(refusal: Refusal, restored: Option<Snapshot>, now: Time) -> Self {
        Self {
            refusal,
            // The grace period is part of the configuration, which is not trusted.
            snapshot: sanitized(restored.unwrap_or_default(), Duration::ZERO, now),
        }
    }

    /// What the probe answers and the termination message says.
    pub fn status(&self) -> Status {
        Status {
            reason: self.refusal.reason.into(),
            sentence: self.refusal.sentence.clone(),
            agent_may_start: false,
            is_ready: false,
        }
    }

    /// What to persist.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// What the agent container's hook should read: it need not wait.
    pub fn drain(&self) -> Drain {
        match self.snapshot.draining_since {
            None => Drain::Serving,
            Some(_) => Drain::Drained,
        }
    }

    /// The `preStop` hook.
    pub fn pre_stop(&mut self, now: Time) {
        self.snapshot.draining_since = Some(now);
    }

    /// SIGTERM: it ends at once.
    pub fn terminate(&mut self, now: Time) -> Outcome {
        self.snapshot.draining_since.get_or_insert(now);
        self.snapshot.ended = true;
        if self.snapshot.admitted {
            Outcome {
                reason: OutcomeReason::LeftWithoutToken,
                sentence: sentences::left_by_earlier_run(&self.refusal.sentence),
                is_verified: false,
            }
        } else {
            Outcome::never_started(&self.refusal.sentence)
        }
    }
}
