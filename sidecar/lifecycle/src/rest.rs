//! Nothing is left to do, except to look on until SIGTERM.
//!
//! A start script may still be registering when its pod begins to terminate, and bash as the first process of a container
//! ignores SIGTERM until it has a trap. Its agent would be given jobs that die with the pod.

use crate::context::Context;
use crate::search::Naming;
use crate::{Outcome, Time};
use std::time::Duration;

/// The first pause where no agent was found: the start script may just be registering.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// The longest pause, and the first one where the agent is gone: its script would have to register again.
pub(crate) const RARELY: Duration = Duration::from_secs(30);

/// How it would end now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) outcome: Outcome,
    pub(crate) again: Time,
    pause: Duration,
    pub(crate) look: Look,
}

/// What is looked at while nothing is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Name,
    List,
}

impl Rest {
    pub(crate) fn new(outcome: Outcome, pause: Duration, naming: Naming, context: &mut Context) -> Self {
        Self {
            outcome,
            again: context.now.plus(context.jitter.above(pause, 20)),
            pause,
            look: match naming {
                Naming::Expected => Look::Name,
                Naming::Own => Look::List,
            },
        }
    }

    /// A look found nothing: the next one comes after twice the pause. List and name take turns: from half a minute on,
    /// since the image may invent names; and always where it seems to, since it may only have been slow, and an agent of our
    /// name that it takes over with `--replace` keeps its ID, so the list no longer shows it.
    pub(crate) fn found_nothing(&mut self, naming: Naming, context: &mut Context) {
        self.pause = (self.pause * 2).min(RARELY);
        let takes_turns = naming == Naming::Own || self.pause == RARELY;
        self.look = match self.look {
            Look::Name if takes_turns => Look::List,
            Look::Name | Look::List => Look::Name,
        };
        self.again = context.now.plus(context.jitter.above(self.pause, 20));
    }
}
