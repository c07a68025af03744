//! The pod terminates: find its agent, disable it, wait for its job, remove it.
//!
//! **Invariant:** an agent is disabled or removed only after a response, at most [`PROOF`] old, that proved it ours.
//! `--replace` keeps an agent's ID, so an ID alone proves nothing.

mod looked;
mod registered;

use crate::calls::Open;
use crate::context::Context;
use crate::deadline::Deadline;
use crate::idle::{Idle, LONG_PAUSE, SHORT_PAUSE};
use crate::search::{Extent, Naming, Search, Step, shows_nothing_of_ours};
use crate::serving::Sighting;
use crate::stage::{Deletion, PROOF, Purpose, Stage};
use crate::target::{STARTUP, Target};
use crate::{Outcome, Time, sentences};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, Availability};
use contract::OutcomeReason;
use std::time::Duration;

/// SIGTERM came.
#[derive(Debug, Clone)]
struct Sigterm {
    deadline: Deadline,
    /// Whether the budget, and a token, allow one more lookup.
    may_verify: bool,
}

/// The removal of this pod's agent.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    search: Search,
    pub(crate) stage: Stage,
    deletion: Deletion,
    /// Whether a request to remove it got no response, and may have removed it.
    may_have_removed: bool,
    /// When the removal was refused for a job, with the gateway.
    refused: Option<Time>,
    sigterm: Option<Sigterm>,
    /// Whether Azure DevOps refuses to disable agents, so that it is not tried again.
    disable_refused: bool,
    /// Until when an agent that was found late and does not listen yet is only disabled.
    starts_until: Option<Time>,
}

impl Removal {
    pub(crate) fn new(sighting: Sighting, context: &mut Context) -> Self {
        let mut search = Search::new(sighting, context);
        let mut removal = Self {
            stage: Stage::Search {
                step: search.start(),
                purpose: Purpose::First,
            },
            search,
            deletion: Deletion::NotSent,
            may_have_removed: false,
            refused: None,
            sigterm: None,
            disable_refused: false,
            starts_until: None,
        };
        if context.gateway.is_some() {
            removal.begin_registered(context);
        }
        removal
    }

    /// The pod begins to terminate again (the kubelet was restarted), or only now: what was found before may have changed.
    pub(crate) fn begin_again(&mut self, context: &mut Context) {
        match &self.stage {
            Stage::Idle(_) if context.gateway.is_none() => self.start_search(Purpose::First),
            Stage::Watch { .. } if context.gateway.is_some() => self.update_target(|_| (), context),
            Stage::Search { .. } | Stage::Disable(_) | Stage::Delete(_) | Stage::Watch { .. } | Stage::Idle(_) => {}
        }
    }

    /// SIGTERM. `budget_left`: how many requests may be spent on checking whether the agent registered again.
    pub(crate) fn terminate(&mut self, budget_left: u32, context: &mut Context) {
        let lists_first = u32::from(self.search.naming == Naming::Own);
        self.sigterm = Some(Sigterm {
            deadline: Deadline::new(context.grace(), context.now),
            may_verify: budget_left > lists_first,
        });
        if context.gateway.is_some() {
            self.may_have_removed |= self.deletion == Deletion::Sent;
            if let Some(target) = self.stage.target().cloned() {
                self.stage = Stage::Delete(target);
            }
        } else if let Some(outcome) = self.stage.outcome().cloned() {
            if matches!(outcome.reason, OutcomeReason::Removed | OutcomeReason::AlreadyGone) {
                self.verify(outcome, context);
            } else {
                self.start_search(Purpose::First);
            }
        } else if let Some(target) = self.stage.target().cloned() {
            self.deletion.overtake();
            self.stage = if context.now.since(target.proven) <= PROOF {
                Stage::Delete(target)
            } else {
                Stage::Watch {
                    target,
                    at: context.now,
                }
            };
        }
    }

    pub(crate) fn deadline(&self) -> Option<&Deadline> {
        self.sigterm.as_ref().map(|sigterm| &sigterm.deadline)
    }

    /// The next request, and when, if it is sent no earlier than `earliest`.
    pub(crate) fn request(&self, context: &Context, earliest: Time) -> Option<(Time, AdoRequest)> {
        if self.waits_for_the_gateway(context) {
            return None;
        }
        self.stage
            .request(&self.search, context.snapshot.pool, context, earliest)
    }

    /// The request goes out.
    pub(crate) fn sent(&mut self, request: &AdoRequest, context: &mut Context) {
        if let Some(sigterm) = &mut self.sigterm {
            sigterm.deadline.tried(context.now);
        }
        if let AdoRequest::SetAvailability(_, id, Availability::Disabled) = request {
            // Recorded before it happens: an agent that we may have disabled is ours to enable again.
            context.snapshot.disabled = Some(*id);
        } else if let AdoRequest::Delete(..) = request {
            self.deletion = Deletion::Sent;
        }
    }

    /// Takes the response to a request. `Err`: it is a failure that has to be followed by a pause.
    pub(crate) fn receive(
        &mut self,
        open: &Open,
        result: Result<AdoResponse, AdoError>,
        context: &mut Context,
    ) -> Result<(), AdoError> {
        if !self.stage.expects(&open.request) {
            return Ok(());
        }
        if self.is_outdated(open, &result, context) {
            let step = self.search.start();
            self.go_on(step);
            return Ok(());
        }
        match (&open.request, result) {
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                let ours = self.search.listed_by_name(agents, context);
                self.name_looked_up(ours, context);
            }
            (AdoRequest::Agents(..), Ok(AdoResponse::Shortlist(shortlist))) => {
                let step = self.search.listed(&shortlist, context.now);
                self.pool_listed(step, context);
            }
            (AdoRequest::Agent(_, id), Ok(AdoResponse::Agents(agents))) => {
                self.fetched(*id, agents.into_iter().find(|agent| agent.id == *id), context);
            }
            (AdoRequest::Agent(_, id), Err(error)) if error.kind == AdoErrorKind::NotFound => {
                self.fetched(*id, None, context);
            }
            (AdoRequest::SetAvailability(..), Ok(AdoResponse::Done)) => {
                self.update_target(|target| target.enabled = false, context);
            }
            (AdoRequest::SetAvailability(..) | AdoRequest::Delete(..), Err(error))
                if error.kind == AdoErrorKind::NotFound =>
            {
                if context.gateway.is_some() && !self.may_have_removed {
                    self.deletion = Deletion::NotSent;
                }
                self.missing(context);
            }
            (AdoRequest::Delete(..), Ok(AdoResponse::Done)) => self.gone(context),
            (AdoRequest::Delete(..), Err(error)) if error.kind == AdoErrorKind::JobRunning => match context.gateway {
                Some(_) => self.found_busy(context),
                None => self.update_target(|target| target.busy = true, context),
            },
            (AdoRequest::SetAvailability(..) | AdoRequest::Delete(..), Err(error)) => {
                let is_refused = matches!(error.kind, AdoErrorKind::Forbidden | AdoErrorKind::Refused);
                self.disable_refused |= is_refused && matches!(self.stage, Stage::Disable(_));
                self.may_have_removed |= matches!(open.request, AdoRequest::Delete(..)) && !is_refused;
                self.prove_again(context.now);
                return Err(error);
            }
            (_, result) => {
                self.end_unverified(context);
                return Err(result.err().unwrap_or_else(sentences::unexpected_response));
            }
        }
        Ok(())
    }

    /// A response to a request from before SIGTERM may be stale, as the agent may have registered since: it counts only
    /// where it found our agent.
    fn is_outdated(&self, open: &Open, result: &Result<AdoResponse, AdoError>, context: &Context) -> bool {
        let is_old = self
            .deadline()
            .is_some_and(|deadline| deadline.is_from_before(open.sent));
        is_old && context.gateway.is_none() && shows_nothing_of_ours(result, context) && self.stage.target().is_none()
    }

    fn start_search(&mut self, purpose: Purpose) {
        let step = self.search.start();
        self.stage = Stage::Search { step, purpose };
    }

    /// The search continues with this step.
    fn go_on(&mut self, step: Step) {
        let purpose = self.stage.take_purpose();
        self.stage = Stage::Search { step, purpose };
    }

    /// A response proved this agent ours.
    fn found(&mut self, agent: Agent, context: &mut Context) {
        context.pin(&agent);
        if self.stage.outcome().is_some() {
            self.starts_until = Some(context.now.plus(STARTUP));
        }
        self.search.naming = if agent.is_named(&context.settings.agent_name) {
            Naming::Expected
        } else {
            Naming::Own
        };
        let target = Target::new(agent, context.now);
        self.next(target, context);
    }

    /// Disable it while it may be given a job, wait while it is busy, else remove it. After SIGTERM an idle one is removed
    /// at once, but a busy one is disabled still: its session outlives its process, and with it the chance of another job.
    fn next(&mut self, target: Target, context: &mut Context) {
        if context.gateway.is_some() {
            return self.next_registered(target, context);
        }
        let may_be_given_a_job = self.sigterm.is_none() || target.busy;
        let is_starting = self.is_starting(&target, context);
        self.stage = if target.enabled && may_be_given_a_job && !self.disable_refused {
            Stage::Disable(target)
        } else if target.busy || is_starting {
            let at = target.next_check(context);
            Stage::Watch { target, at }
        } else {
            Stage::Delete(target)
        };
    }

    /// Whether it registered late, and is given time to begin listening.
    fn is_starting(&self, target: &Target, context: &Context) -> bool {
        self.sigterm.is_none() && !target.online && self.starts_until.is_some_and(|until| context.now < until)
    }

    /// Something was learned of the agent that was found.
    fn update_target(&mut self, update: impl FnOnce(&mut Target), context: &mut Context) {
        if let Some(mut target) = self.stage.target().cloned() {
            update(&mut target);
            self.next(target, context);
        }
    }

    /// Something failed that needs a fresh proof before the next attempt; `calls` decides the pause.
    fn prove_again(&mut self, now: Time) {
        if let Some(target) = self.stage.target().cloned() {
            self.stage = Stage::Watch { target, at: now };
        }
    }

    /// The request for the agent was answered with 404, which is trusted only after a listing.
    fn missing(&mut self, context: &mut Context) {
        if self.search.sees_the_pool(context.now) {
            return self.gone(context);
        }
        self.search.forget();
        self.go_on(Step::ByName);
    }

    /// The agent is not in the pool any more.
    fn gone(&mut self, context: &mut Context) {
        context.snapshot.disabled = None;
        let name = self.stage.target().map(|target| target.name.as_str());
        let outcome = self.deletion.outcome(name, &context.settings);
        if context.gateway.is_some() {
            context.registration_gone(self.deletion.remover());
            return self.idle(outcome, LONG_PAUSE, context);
        }
        if self.deletion == Deletion::Overtaken {
            self.deletion = Deletion::Sent;
            self.verify(outcome, context);
        } else {
            self.idle(outcome, LONG_PAUSE, context);
        }
    }

    /// The search ended without finding our agent.
    fn not_found(&mut self, extent: Extent, context: &mut Context) {
        match self.stage.take_purpose() {
            Purpose::Recheck(outcome) | Purpose::Verify(outcome) => self.idle(outcome, LONG_PAUSE, context),
            Purpose::First => {
                let outcome = self.search.outcome(extent, context);
                self.idle(outcome, SHORT_PAUSE, context);
            }
        }
    }

    /// Nothing is left to do; check again after the pause.
    fn idle(&mut self, outcome: Outcome, pause: Duration, context: &mut Context) {
        let naming = match context.gateway {
            Some(_) => Naming::Expected,
            None => self.search.naming,
        };
        self.stage = Stage::Idle(Idle::new(outcome, pause, naming, context));
    }

    /// One more lookup after SIGTERM, since the agent may have registered again before its container ended. Without budget for it
    /// the outcome says that this was not checked.
    fn verify(&mut self, outcome: Outcome, context: &mut Context) {
        self.start_search(Purpose::Verify(outcome));
        if !self.sigterm.as_ref().is_some_and(|sigterm| sigterm.may_verify) {
            self.end_unverified(context);
        }
    }

    /// The last lookup failed: the earlier outcome stands, and says so.
    fn end_unverified(&mut self, context: &mut Context) {
        if let Some(outcome) = self.stage.unverified() {
            self.idle(outcome, LONG_PAUSE, context);
        }
    }
}
