//! The agent that is to be removed.

use crate::Time;
use crate::context::Context;
use azure_protocol::{Agent, AgentId};
use std::time::Duration;

/// The least and the longest pause between two looks at a busy agent. In between, the pause is as long as the pod has been
/// terminating, since its grace may be shorter than the pod says (`kubectl delete --grace-period`, the shutdown of a node), and
/// at most a third of the grace that is left. The looks also keep the connection open for the two seconds at the end.
const WATCH: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(12));
/// How often an agent that registered late is looked at until it listens.
const STARTING: Duration = Duration::from_secs(3);
/// How long an agent that registered late is left to begin listening. Removed before that, it asks for a token forever, and
/// its start script, which has missed SIGTERM, does not end either.
pub(crate) const STARTED: Duration = Duration::from_secs(30);

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
    /// A response proved it ours just now.
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

    /// When to look at it again, while it is busy or starting.
    pub(crate) fn next_look(&self, context: &mut Context) -> Time {
        let grace = context.grace();
        let pause = if self.busy {
            let (least, longest) = WATCH;
            let third = grace.left(context.now) / 3;
            grace.used(context.now).min(third).clamp(least, longest)
        } else {
            STARTING
        };
        context.now.plus(context.jitter.around(pause, 20))
    }
}
