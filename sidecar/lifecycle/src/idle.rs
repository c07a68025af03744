//! Nothing is left to do, except to keep checking until SIGTERM.
//!
//! A start script may still be registering when its pod begins to terminate, and bash as the first process of a container
//! ignores SIGTERM until it has a trap. Its agent would be given jobs that die with the pod.

use crate::context::Context;
use crate::search::Naming;
use crate::{Outcome, Time};
use std::time::Duration;

/// The first pause where no agent was found: the start script may just be registering.
pub(crate) const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and the first one where the agent is gone: its start script would have to register again.
pub(crate) const LONG_PAUSE: Duration = Duration::from_secs(30);

/// The outcome so far, and when to check again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idle {
    pub(crate) outcome: Outcome,
    pub(crate) again: Time,
    pause: Duration,
    pub(crate) lookup: Lookup,
}

/// What is looked up while nothing is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Name,
    List,
}

impl Idle {
    pub(crate) fn new(outcome: Outcome, pause: Duration, naming: Naming, context: &mut Context) -> Self {
        Self {
            outcome,
            again: context.now.plus(context.jitter.above(pause, 20)),
            pause,
            lookup: match naming {
                Naming::Expected => Lookup::Name,
                Naming::Own => Lookup::List,
            },
        }
    }

    /// A lookup found nothing: the next one follows after twice the pause. List and name alternate: from half a minute on,
    /// since the image may generate names; and always where it seems to, since it may only have been slow, and an agent of our
    /// name that it takes over with `--replace` keeps its ID, so the list no longer shows it.
    pub(crate) fn found_nothing(&mut self, naming: Naming, context: &mut Context) {
        self.pause = (self.pause * 2).min(LONG_PAUSE);
        let takes_turns = naming == Naming::Own || self.pause == LONG_PAUSE;
        self.lookup = match self.lookup {
            Lookup::Name if takes_turns => Lookup::List,
            Lookup::Name | Lookup::List => Lookup::Name,
        };
        self.again = context.now.plus(context.jitter.above(self.pause, 20));
    }
}
