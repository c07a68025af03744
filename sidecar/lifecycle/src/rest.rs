//! Nothing is left to do: looking on until SIGTERM, and the last look after it.
//!
//! A start script may still be registering when its pod begins to leave, and bash as the first process of a container
//! ignores SIGTERM until it has a trap. Its agent would be given jobs that die with the pod.

use crate::removal::{Removal, Stage, Surroundings};
use crate::sentences;
use crate::{Outcome, Time};
use std::time::Duration;

/// The first pause where no agent was found: the start script may just be registering.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// The longest pause, and the first one where the agent is gone: its script would have to register anew.
pub(crate) const RARELY: Duration = Duration::from_secs(30);

/// How it would end now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) outcome: Outcome,
    pub(crate) again: Time,
    pause: Duration,
    /// Whether the list is looked at instead of the name.
    pub(crate) by_list: bool,
}

impl Removal {
    /// Nothing is left to do; look again after the pause.
    pub(crate) fn rest(&mut self, outcome: Outcome, pause: Duration, surroundings: &mut Surroundings<'_>) {
        let again = surroundings.now.plus(surroundings.jitter.above(pause, 20));
        self.stage = Stage::Rest(Rest {
            outcome,
            again,
            pause,
            by_list: self.invents_names,
        });
    }

    /// A look while resting found nothing: the next one comes after twice the pause. List and name take turns: from half a
    /// minute on, since the image may invent names; and always where it seems to, since it may only have been slow, and an
    /// agent of our name that it takes over with `--replace` keeps its id, so the list no longer shows it.
    pub(crate) fn rest_on(&mut self, surroundings: &mut Surroundings<'_>) {
        if let Stage::Rest(rest) = &mut self.stage {
            rest.pause = (rest.pause * 2).min(RARELY);
            rest.by_list = (self.invents_names || rest.pause == RARELY) && !rest.by_list;
            rest.again = surroundings.now.plus(surroundings.jitter.above(rest.pause, 20));
        }
    }

    /// Whether agents of a list are fetched while there is nothing to do otherwise.
    pub(crate) fn is_looking_on(&self) -> bool {
        self.terminated.is_none() && self.verifying.is_some()
    }

    /// One more look after SIGTERM, since the agent may have registered again before its container ended; or the word that
    /// nobody looked.
    pub(crate) fn verify(&mut self, outcome: Outcome, surroundings: &mut Surroundings<'_>) {
        self.verifying = Some(outcome);
        if self.may_verify {
            self.search();
        } else {
            self.end_unverified(surroundings);
        }
    }

    /// The look found nothing new.
    pub(crate) fn end_verified(&mut self, surroundings: &mut Surroundings<'_>) {
        if let Some(outcome) = self.verifying.take() {
            self.rest(outcome, RARELY, surroundings);
        }
    }

    /// The last look failed: what was said before stands, and that nobody looked again.
    pub(crate) fn end_unverified(&mut self, surroundings: &mut Surroundings<'_>) {
        if let Some(outcome) = self.outcome_before_verifying() {
            self.verifying = None;
            self.rest(outcome, RARELY, surroundings);
        }
    }

    /// How it ended, once nothing is left to do.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Rest(Rest { outcome, .. }) | Stage::NothingToRemove(outcome) => Some(outcome),
            Stage::Fetching { .. } if self.is_looking_on() => self.verifying.as_ref(),
            Stage::ByName
            | Stage::Pinned { .. }
            | Stage::Listing
            | Stage::Fetching { .. }
            | Stage::Disable(_)
            | Stage::Delete(_)
            | Stage::Look { .. } => None,
        }
    }

    /// How it ended before the last look, if that look is not finished.
    pub(crate) fn outcome_before_verifying(&self) -> Option<Outcome> {
        self.terminated?;
        self.verifying.as_ref().map(|outcome| Outcome {
            reason: outcome.reason,
            sentence: sentences::unverified(&outcome.sentence),
        })
    }
}
