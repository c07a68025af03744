//! The agent that is to be removed.

use crate::Time;
use crate::context::Context;
use azure_protocol::{Agent, AgentId};
use std::time::Duration;

/// The shortest and the longest pause between two checks of a busy agent. The checks also keep the connection open for the last
/// two seconds.
const WATCH: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(12));
/// How often an agent that registered late is checked until it listens.
const STARTING: Duration = Duration::from_secs(3);
/// How long an agent that registered late may take to begin listening. Removed before that, it asks for a token forever, and
/// its start script, which has missed SIGTERM, does not end either.
pub(crate) const STARTUP: Duration = Duration::from_secs(30);

/// An agent that a response proved ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    /// When it was proven ours.
    pub(crate) proven: Time,
    pub(crate) enabled: bool,
    pub(crate) online: bool,
    pub(crate) busy: bool,
}

impl Target {
    /// A response has just proved it ours.
    pub(crate) fn new(agent: Agent, now: Time) -> Self {
        Self {
            id: agent.id,
            name: agent.name,
            proven: now,
            enabled: agent.enabled,
            online: agent.online,
            busy: agent.assigned == Some(true),
        }
    }

    /// When to check it again, while it is busy or starting.
    pub(crate) fn next_check(&self, context: &mut Context) -> Time {
        let pause = if self.busy {
            let (least, longest) = WATCH;
            context.grace().pause(context.now, least, longest)
        } else {
            STARTING
        };
        context.now.plus(context.jitter.around(pause, 20))
    }
}
