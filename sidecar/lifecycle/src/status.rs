//! What probe output, termination message and log say now.

use crate::calls::Calls;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::phase::Phase;
use crate::preflight::Preflight;
use crate::registration::Registration;
use crate::removal::Removal;
use crate::sentences::{self, Trouble};
use crate::serving::{Serving, Sighting};
use crate::token::Token;
use crate::{Outcome, Status};
use azure_protocol::AdoErrorKind;
use contract::{OutcomeReason, Reason};

/// All parts of the machine that have a say in the status.
pub(crate) struct View<'a> {
    pub(crate) context: &'a Context,
    pub(crate) phase: &'a Phase,
    pub(crate) token: &'a Token,
    pub(crate) delivery: &'a Delivery,
    pub(crate) calls: &'a Calls,
}

impl View<'_> {
    pub(crate) fn status(&self) -> Status {
        let settings = &self.context.settings;
        let (reason, sentence) = match self.phase {
            Phase::Starting(preflight) => self.trouble_or(|| (Reason::Starting, self.awaited(*preflight))),
            Phase::Serving(serving) if self.context.gateway.is_some() => {
                self.trouble_or(|| self.behind_the_gateway(serving))
            }
            Phase::Removing(removal) if !self.context.is_terminating() => {
                (Reason::Used, self.with_trouble(self.used(removal)))
            }
            Phase::Serving(serving) => self.trouble_or(|| {
                match (self.delivery.is_delivered(), serving.sighting()) {
                    (true, Sighting::Missed) => (Reason::NotSeen, sentences::not_seen(settings)),
                    (true, Sighting::Unknown | Sighting::NotYet) => (Reason::Ready, sentences::ready(settings)),
                    // A restarted sidecar: what the run before delivered is still there.
                    (false, _) => (Reason::Starting, self.awaited(Preflight::Passed)),
                }
            }),
            Phase::Removing(removal) => (Reason::Draining, self.with_trouble(self.progress(removal))),
            Phase::NothingToRemove(outcome) => (Reason::Draining, self.with_trouble(outcome.sentence.clone())),
            Phase::Ended(outcome) => (outcome.reason.into(), outcome.sentence.clone()),
        };
        Status {
            reason,
            sentence,
            agent_may_start: self.context.snapshot.admitted,
            is_ready: self.is_ready(),
        }
    }

    fn is_ready(&self) -> bool {
        match (self.phase, &self.context.gateway) {
            (Phase::Serving(_), None) => true,
            (Phase::Serving(_) | Phase::Removing(_), Some(_)) if !self.context.is_terminating() => {
                self.context.is_listening()
            }
            (
                Phase::Starting(_)
                | Phase::Serving(_)
                | Phase::Removing(_)
                | Phase::NothingToRemove(_)
                | Phase::Ended(_),
                _,
            ) => false,
        }
    }

    /// The state of an agent that registers through the gateway.
    fn behind_the_gateway(&self, serving: &Serving) -> (Reason, String) {
        let settings = &self.context.settings;
        match &self.context.snapshot.registration {
            Some(Registration::Known(registered)) if self.context.is_listening() => {
                (Reason::Online, sentences::online(&registered.name, settings))
            }
            Some(Registration::Known(registered)) => (Reason::Offline, sentences::offline(&registered.name, settings)),
            Some(Registration::Gone { name, .. }) => (Reason::Offline, sentences::may_register_again(name, settings)),
            Some(Registration::Begun { .. }) => (Reason::Ready, sentences::may_register(settings)),
            None if serving.registration_deadline() > self.context.now => {
                (Reason::Ready, sentences::may_register(settings))
            }
            None => (Reason::NotSeen, sentences::not_registered(settings)),
        }
    }

    /// The agent has had its one job.
    fn used(&self, removal: &Removal) -> String {
        let settings = &self.context.settings;
        match (removal.stage.target(), removal.stage.outcome()) {
            (Some(target), _) => sentences::has_its_job(&target.name, settings),
            (None, Some(outcome)) => sentences::had_its_job(&outcome.sentence),
            (None, None) => sentences::had_its_job(""),
        }
    }

    /// The outcome where the removal is not finished at the deadline.
    pub(crate) fn outcome_at_the_deadline(&self, removal: &Removal) -> Outcome {
        if let Some(outcome) = removal.stage.unverified() {
            return outcome;
        }
        let settings = &self.context.settings;
        let is_busy = removal.stage.target().is_some_and(|target| target.busy);
        let (reason, why) = match self.calls.problem() {
            _ if self.token.usable(self.context.now).is_none() => (
                OutcomeReason::LeftWithoutToken,
                self.token_trouble()
                    .map_or_else(sentences::no_token, |trouble| trouble.sentence),
            ),
            Some(problem) => (left(problem.kind), problem.trouble.sentence.clone()),
            None if is_busy => (OutcomeReason::JobStillAssigned, sentences::job_still_assigned(settings)),
            None => (OutcomeReason::LeftUnreachable, sentences::no_answer(settings)),
        };
        let name = removal.stage.target().map(|target| target.name.as_str());
        Outcome {
            reason,
            sentence: sentences::left(name, settings, &why),
            is_verified: false,
        }
    }

    fn trouble_or(&self, else_say: impl FnOnce() -> (Reason, String)) -> (Reason, String) {
        self.first_trouble()
            .map_or_else(else_say, |trouble| (trouble.reason, trouble.sentence))
    }

    fn with_trouble(&self, what: String) -> String {
        match self.first_trouble() {
            Some(trouble) => format!("{what} {}", trouble.sentence),
            None => what,
        }
    }

    /// What is wrong, in the order in which it has to be fixed.
    fn first_trouble(&self) -> Option<Trouble> {
        let ado = || self.calls.problem().map(|problem| problem.trouble.clone());
        let delivery = || self.delivery.trouble();
        if self.token.usable(self.context.now).is_none() {
            // Without a token the organization can only be asked for its tenant.
            let unknown_tenant = ado().filter(|_| self.context.tenant().is_none());
            return unknown_tenant.or_else(|| self.token_trouble()).or_else(delivery);
        }
        ado().or_else(delivery).or_else(|| self.token_trouble())
    }

    /// What is wrong with the token: refused, or expired while Entra does not respond.
    fn token_trouble(&self) -> Option<Trouble> {
        let is_usable = self.token.usable(self.context.now).is_some();
        if let (Some(error), Some(tenant)) = (&self.token.refusal, self.context.tenant()) {
            let mut trouble = sentences::token_refused(&self.context.settings, tenant, error);
            if is_usable {
                trouble.sentence.push_str(sentences::TOKEN_STAYS_IN_USE);
            }
            return Some(trouble);
        }
        (!is_usable && self.token.newest().is_some()).then(sentences::token_expired)
    }

    fn awaited(&self, preflight: Preflight) -> String {
        let settings = &self.context.settings;
        match self.context.tenant() {
            None => sentences::asks_for_tenant(settings),
            Some(tenant) if self.token.usable(self.context.now).is_none() => {
                sentences::asks_for_token(settings, tenant)
            }
            Some(_) => match preflight {
                Preflight::Role | Preflight::Name => sentences::checks(settings),
                Preflight::Passed => self.delivery.awaited(),
            },
        }
    }

    fn progress(&self, removal: &Removal) -> String {
        let settings = &self.context.settings;
        match (removal.stage.target(), removal.stage.outcome()) {
            (Some(target), _) if target.busy => sentences::waits_for_job(&target.name, settings),
            (Some(target), _) => sentences::removing(&target.name, settings),
            (None, Some(outcome)) => outcome.sentence.clone(),
            (None, None) => sentences::searching(settings),
        }
    }
}

/// The outcome where the agent stayed because of an error of this kind.
fn left(kind: Option<AdoErrorKind>) -> OutcomeReason {
    match kind {
        Some(AdoErrorKind::Unauthorized) => OutcomeReason::LeftWithoutToken,
        Some(
            AdoErrorKind::Unreachable
            | AdoErrorKind::UnexpectedResponse
            | AdoErrorKind::Unavailable
            | AdoErrorKind::Throttled,
        ) => OutcomeReason::LeftUnreachable,
        Some(
            AdoErrorKind::IdentityUnknown
            | AdoErrorKind::Forbidden
            | AdoErrorKind::NotFound
            | AdoErrorKind::JobRunning
            | AdoErrorKind::Refused,
        )
        | None => OutcomeReason::LeftRefused,
    }
}
