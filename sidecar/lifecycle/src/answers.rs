//! What an answer of Azure DevOps means, by phase.

use crate::Command;
use crate::lifecycle::{Lifecycle, Phase};
use crate::ownership::owner;
use crate::preflight::Holder;
use crate::questions::Open;
use crate::search;
use crate::sentences::{self, Trouble};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, AgentId, ServerTime};
use contract::Reason;
use std::time::Duration;

/// What is wrong, and the kind of failure where there was one.
type Wrong = (Option<AdoErrorKind>, Trouble);

impl Lifecycle {
    pub(crate) fn answered(
        &mut self,
        number: u64,
        result: Result<AdoResponse, AdoError>,
        retry_after: Option<Duration>,
        date: Option<ServerTime>,
    ) {
        let Some(open) = self.questions.close(number) else {
            return;
        };
        if let (None, Some(date)) = (self.kept.started, date) {
            let ago = i64::try_from(self.now.since(self.started).as_secs()).unwrap_or(i64::MAX);
            self.kept.started = Some(ServerTime(date.0.saturating_sub(ago)));
        }
        match self.take_answer(&open, result) {
            Ok(()) => {
                self.questions
                    .succeeded(&open.question, retry_after, &mut self.kept, &mut self.jitter, self.now);
                if !self.questions.is_failing() {
                    self.trouble = None;
                }
            }
            Err((kind, trouble)) => {
                self.questions
                    .failed(&open.question, retry_after, &mut self.kept, &mut self.jitter, self.now);
                if kind == Some(AdoErrorKind::Unauthorized) {
                    self.token.renew(open.token);
                    if self.token.is_newer_than(open.token) {
                        self.kept.ado_not_before = None;
                    }
                }
                self.trouble = Some((kind, trouble));
                self.note_failed_check(&open.question);
            }
        }
    }

    /// What an answer means in this phase. `Err`: something is wrong, and the next question has to wait.
    fn take_answer(&mut self, open: &Open, result: Result<AdoResponse, AdoError>) -> Result<(), Wrong> {
        match (&open.question, result) {
            (AdoRequest::Tenant, Ok(AdoResponse::Tenant(Some(tenant)))) => {
                self.kept.tenant = Some(tenant);
                Ok(())
            }
            (AdoRequest::Tenant, Ok(AdoResponse::Tenant(None))) => Err((None, sentences::no_tenant(&self.settings))),
            (AdoRequest::PoolByName(_), Ok(AdoResponse::Pool(Some(pool)))) => {
                self.kept.pool = Some(pool);
                Ok(())
            }
            (AdoRequest::PoolByName(_), Ok(AdoResponse::Pool(None))) => {
                Err((Some(AdoErrorKind::NotFound), sentences::pool_missing(&self.settings)))
            }
            (AdoRequest::Tenant | AdoRequest::PoolByName(_), Ok(_)) => Err(self.failed(open, sentences::odd_answer())),
            (AdoRequest::Tenant | AdoRequest::PoolByName(_), Err(failure)) => Err(self.failed(open, failure)),
            (_, result) => match &mut self.phase {
                Phase::Starting(_) => self.checked(open, result),
                Phase::Serving(_) => self.served(open, result),
                Phase::Leaving(_) => {
                    let mut taken = Ok(());
                    self.with_removal(|removal, surroundings| {
                        taken = removal.answered(&open.question, open.asked, result, surroundings);
                    });
                    taken.map_err(|failure| self.failed(open, failure))
                }
                Phase::Refused(_) | Phase::Ended(_) => Ok(()),
            },
        }
    }

    /// An answer to a check before the agent may start.
    fn checked(&mut self, open: &Open, result: Result<AdoResponse, AdoError>) -> Result<(), Wrong> {
        let Phase::Starting(preflight) = &mut self.phase else {
            return Ok(());
        };
        let checked = match (&open.question, result) {
            (AdoRequest::MayManage(_), Ok(AdoResponse::MayManage(may_manage))) => {
                preflight.role(may_manage, &self.settings)
            }
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                preflight.name(&agents, &self.settings, &self.kept).map(|holder| {
                    let note = holder.map(|holder| Command::Note {
                        warning: holder != Holder::LeftOver,
                        reason: Reason::NameTaken,
                        sentence: sentences::name_held(&holder, &self.settings),
                    });
                    self.commands.extend(note);
                })
            }
            (_, Ok(_)) => return Err(self.failed(open, sentences::odd_answer())),
            (_, Err(failure)) => return Err(self.failed(open, failure)),
        };
        checked.map_err(|trouble| (None, trouble))
    }

    /// An answer while the agent may run.
    fn served(&mut self, open: &Open, result: Result<AdoResponse, AdoError>) -> Result<(), Wrong> {
        match (&open.question, result) {
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                let ours = agents
                    .into_iter()
                    .find(|agent| owner(agent, &self.settings, self.kept.started).is_us());
                if let Some(agent) = &ours {
                    self.with_surroundings(|surroundings| search::pin(agent, surroundings));
                }
                if let Phase::Serving(serving) = &mut self.phase {
                    serving.checked(ours.is_some(), &mut self.jitter, self.now);
                }
                Ok(())
            }
            (AdoRequest::Agent(_, id), Ok(AdoResponse::Agents(agents))) => {
                let ours = agents
                    .iter()
                    .find(|agent| agent.id == *id && owner(agent, &self.settings, self.kept.started).is_us());
                self.enable(ours.filter(|agent| !agent.enabled).map(|agent| agent.id));
                Ok(())
            }
            (AdoRequest::SetAvailability(..), Ok(AdoResponse::Done)) => {
                self.enable(None);
                Ok(())
            }
            (AdoRequest::Agent(..) | AdoRequest::SetAvailability(..), Err(failure))
                if failure.kind == AdoErrorKind::NotFound =>
            {
                self.enable(None);
                Ok(())
            }
            (_, Ok(_)) => Err(self.failed(open, sentences::odd_answer())),
            (_, Err(failure)) => Err(self.failed(open, failure)),
        }
    }

    /// The agent that we disabled is to be enabled now; or, with `None`, there is none any more.
    fn enable(&mut self, agent: Option<AgentId>) {
        if let Phase::Serving(serving) = &mut self.phase {
            serving.proven_disabled = agent;
        }
        if agent.is_none() {
            self.kept.disabled = None;
            self.forget_trouble();
        }
    }

    /// A look for the registration is not repeated and not worth a status: it is only noted.
    fn note_failed_check(&mut self, question: &AdoRequest) {
        let Phase::Serving(serving) = &mut self.phase else {
            return;
        };
        if !matches!(question, AdoRequest::AgentByName(..)) {
            return;
        }
        serving.check_failed(&mut self.jitter, self.now);
        if let Some((_, trouble)) = self.trouble.take() {
            let sentence = sentences::check_failed(&trouble);
            self.commands.push_back(Command::Note {
                warning: true,
                reason: trouble.reason,
                sentence,
            });
        }
    }

    fn failed(&mut self, open: &Open, failure: AdoError) -> Wrong {
        let trouble = sentences::ask_failed(&self.settings, self.tenant(), &open.question, &failure);
        if failure.kind == AdoErrorKind::NotFound {
            // Somebody may have made the pool anew: its name is looked up again.
            self.kept.pool = None;
        }
        if trouble.reason == Reason::TenantMismatch && self.settings.tenant.is_none() {
            self.kept.tenant = failure.tenant;
        }
        (Some(failure.kind), trouble)
    }
}
