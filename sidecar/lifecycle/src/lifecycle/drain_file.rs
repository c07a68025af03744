//! What the agent container's hook reads.

use super::Lifecycle;
use crate::{Command, Time};
use contract::Drain;
use std::time::Duration;

/// How often the drain file is rewritten while the agent container's hook waits: it waits for five seconds.
const HEARTBEAT: Duration = Duration::from_secs(1);

impl Lifecycle {
    /// When to write the drain file; never after SIGTERM, when no hook waits any more.
    pub(super) fn drain_file_due(&self) -> Option<Time> {
        if self.has_ended() || self.phase.deadline().is_some() {
            return None;
        }
        match (self.phase.drain(&self.context), self.drain_written) {
            (Drain::Draining { .. }, Some((Drain::Draining { .. }, at))) => Some(at.plus(HEARTBEAT)),
            (drain, Some((written, _))) if drain == written => None,
            (_, _) => Some(self.context.now),
        }
    }

    pub(super) fn write_drain_file(&mut self) {
        if self.drain_file_due().is_some_and(|at| at <= self.context.now) {
            let drain = self.phase.drain(&self.context);
            self.drain_written = Some((drain, self.context.now));
            self.context.push(Command::WriteDrainFile(drain));
        }
    }
}
