//! What a question needs next: an answer, a request to Azure DevOps first, or time.

use super::{Action, ClosedReason, Holder, Operation, Question, RegistrationPhase, Unanswered};
use crate::context::Context;
use crate::gateway::{Admission, Gateway};
use crate::registration::Registration;
use crate::sentences;
use azure_protocol::{AdoRequest, same_name};
use std::time::Duration;

/// How long the result of a lookup by name is used.
const SEEN: Duration = Duration::from_secs(30);
/// The same for a leftover that is to be removed.
const SEEN_LEFT_OVER: Duration = Duration::from_secs(5);

impl Context {
    pub(super) fn next_action(&self, question: &Question, phase: RegistrationPhase) -> Action {
        match (phase, question.operation) {
            (RegistrationPhase::NotReady, _) => Action::Wait(None),
            (RegistrationPhase::Open, Operation::LookUp) => self.may_look_up(&question.name),
            (RegistrationPhase::Open, Operation::Register) => self.may_register(&question.name),
            (RegistrationPhase::Removing, Operation::LookUp) if self.is_of_ours(&question.name) => Action::Wait(None),
            (RegistrationPhase::Removing, _) => refused(sentences::nothing_registers(self.why())),
            (RegistrationPhase::Closed(_), Operation::LookUp) if self.may_remove(&question.name) => {
                Action::Answer(Admission::Go)
            }
            (RegistrationPhase::Closed(why), _) => refused(sentences::nothing_registers(why)),
        }
    }

    fn why(&self) -> ClosedReason {
        if self.is_terminating() {
            ClosedReason::Terminating
        } else {
            ClosedReason::Used
        }
    }

    pub(super) fn is_of_ours(&self, name: &str) -> bool {
        self.snapshot
            .registration
            .as_ref()
            .is_some_and(|registration| registration.is_named(name))
    }

    /// Whether a lookup may be one of `config.sh remove`: our agent is gone, which lets it succeed, or still listens.
    fn may_remove(&self, name: &str) -> bool {
        match &self.snapshot.registration {
            Some(Registration::Gone { .. }) => self.is_of_ours(name),
            Some(Registration::Known(_)) => self.is_of_ours(name) && self.is_polled(),
            Some(Registration::Begun { .. }) | None => false,
        }
    }

    fn is_polled(&self) -> bool {
        self.gateway.as_ref().is_some_and(Gateway::is_polled)
    }

    fn may_look_up(&self, name: &str) -> Action {
        match &self.snapshot.registration {
            Some(Registration::Known(known)) if same_name(&known.name, name) => Action::Answer(Admission::Go),
            Some(Registration::Known(known)) if self.is_polled() => refused(sentences::another_listens(&known.name)),
            Some(_) | None => match self.unsettled(name) {
                Some(unsettled) => unsettled,
                None => match self.holder(name, SEEN) {
                    Ok(Holder::Nobody | Holder::Leftover(_)) => Action::Answer(Admission::Go),
                    Ok(Holder::Another) => refused(sentences::name_held(name, &self.settings)),
                    Err(lookup) => Action::Ask(lookup),
                },
            },
        }
    }

    fn may_register(&self, name: &str) -> Action {
        if let Some(unsettled) = self.unsettled(name) {
            return unsettled;
        }
        let Some(admissions) = self.gateway.as_ref().map(|gateway| &gateway.admissions) else {
            return Action::Wait(None);
        };
        match &self.snapshot.registration {
            Some(Registration::Known(known)) if self.is_polled() => {
                return refused(sentences::another_listens(&known.name));
            }
            _ if admissions.not_before > self.now => return Action::Wait(Some(admissions.not_before)),
            Some(Registration::Known(known)) => {
                return Action::Ask(self.in_the_pool(|pool| {
                    if admissions.is_doubtful {
                        AdoRequest::AgentByName(pool, known.name.clone())
                    } else {
                        AdoRequest::Delete(pool, known.id)
                    }
                }));
            }
            Some(_) | None => {}
        }
        match self.holder(name, SEEN_LEFT_OVER) {
            Ok(Holder::Nobody) => Action::Answer(Admission::Go),
            Ok(Holder::Leftover(id)) => Action::Ask(self.in_the_pool(|pool| AdoRequest::Delete(pool, id))),
            Ok(Holder::Another) => refused(sentences::name_held(name, &self.settings)),
            Err(lookup) => Action::Ask(lookup),
        }
    }

    /// What has to come first: a registration is in flight, or one was never answered.
    fn unsettled(&self, name: &str) -> Option<Action> {
        let admissions = &self.gateway.as_ref()?.admissions;
        if admissions.is_in_flight() {
            return Some(Action::Wait(None));
        }
        let Some(Registration::Begun { name: begun, .. }) = &self.snapshot.registration else {
            return None;
        };
        let lookup = || Action::Ask(self.in_the_pool(|pool| AdoRequest::AgentByName(pool, begun.clone())));
        match admissions.unanswered {
            Unanswered::NotChecked => Some(lookup()),
            Unanswered::NotMade => None,
            // An agent with that name blocks a registration by that name in any case.
            Unanswered::Doubtful(_) if same_name(begun, name) => None,
            Unanswered::Doubtful(at) if self.now.since(at) > SEEN => Some(lookup()),
            Unanswered::Doubtful(_) => Some(refused(sentences::another_may_be_ours(begun, &self.settings))),
        }
    }

    /// Who has the name, else the request that shows it; a leftover counts only while it is `fresh`.
    fn holder(&self, name: &str, fresh: Duration) -> Result<Holder, AdoRequest> {
        let seen = self
            .gateway
            .as_ref()
            .and_then(|gateway| gateway.admissions.seen.as_ref());
        let holder = seen.filter(|seen| same_name(&seen.name, name)).and_then(|seen| {
            let lasts = match seen.holder {
                Holder::Leftover(_) => fresh,
                Holder::Nobody | Holder::Another => SEEN,
            };
            (self.now.since(seen.at) <= lasts).then_some(seen.holder)
        });
        holder.ok_or_else(|| self.in_the_pool(|pool| AdoRequest::AgentByName(pool, name.to_owned())))
    }
}

fn refused(sentence: String) -> Action {
    Action::Answer(Admission::Refused(sentence))
}
