//! The end of the pod: find our agent, take it out of service, wait for its job, remove it.
//!
//! **Invariant:** an agent is disabled or removed only after a response, at most [`PROOF`] old, that proved it ours.
//! `--replace` keeps an agent's ID, so an ID alone proves nothing.

use crate::calls::Open;
use crate::context::Context;
use crate::deadline::Deadline;
use crate::rest::{RARELY, Rest, SOON};
use crate::search::{Extent, Naming, Progress, Search, Step, shows_nothing_of_ours};
use crate::serving::Registration;
use crate::stage::{Deletion, PROOF, Purpose, Stage};
use crate::target::{STARTED, Target};
use crate::{Outcome, Time, sentences};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability};
use contract::OutcomeReason;
use std::time::Duration;

/// SIGTERM came.
#[derive(Debug)]
struct Sigterm {
    deadline: Deadline,
    /// Whether there are requests to spare, and a token, for one more look.
    may_verify: bool,
}

/// The removal of this pod's agent.
#[derive(Debug)]
pub(crate) struct Removal {
    search: Search,
    pub(crate) stage: Stage,
    deletion: Deletion,
    sigterm: Option<Sigterm>,
    /// Whether Azure DevOps refuses to disable agents, so that it is not tried again.
    disable_refused: bool,
    /// Until when an agent that was found late and does not listen yet is only disabled.
    starts_until: Option<Time>,
}

impl Removal {
    pub(crate) fn new(registration: Registration, context: &Context) -> Self {
        let mut search = Search::new(registration, context);
        Self {
            stage: Stage::Search {
                step: search.start(),
                purpose: Purpose::First,
            },
            search,
            deletion: Deletion::NotSent,
            sigterm: None,
            disable_refused: false,
            starts_until: None,
        }
    }

    /// The pod begins to terminate once more (the kubelet was restarted): what was found before may have changed.
    pub(crate) fn begin_again(&mut self) {
        if let Stage::Rest(_) = self.stage {
            self.start_search(Purpose::First);
        }
    }

    /// SIGTERM. `spare`: how many requests may be spent on a look whether the agent registered again.
    pub(crate) fn terminate(&mut self, spare: u32, context: &mut Context) {
        let lists_first = u32::from(self.search.naming == Naming::Own);
        self.sigterm = Some(Sigterm {
            deadline: Deadline::new(context.grace(), context.now),
            may_verify: spare > lists_first,
        });
        if let Some(outcome) = self.stage.outcome().cloned() {
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
                self.looked_by_name(ours, context);
            }
            (AdoRequest::Agents(..), Ok(AdoResponse::Shortlist(shortlist))) => {
                let step = self.search.listed(&shortlist, context.now);
                self.looked_at_list(step, context);
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
                self.missing(context);
            }
            (AdoRequest::Delete(..), Ok(AdoResponse::Done)) => self.gone(context),
            (AdoRequest::Delete(..), Err(error)) if error.kind == AdoErrorKind::JobRunning => {
                self.update_target(|target| target.busy = true, context);
            }
            (AdoRequest::SetAvailability(..) | AdoRequest::Delete(..), Err(error)) => {
                let is_refused = matches!(error.kind, AdoErrorKind::Forbidden | AdoErrorKind::Refused);
                self.disable_refused |= is_refused && matches!(self.stage, Stage::Disable(_));
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
        is_old && shows_nothing_of_ours(result, context) && self.stage.target().is_none()
    }

    fn start_search(&mut self, purpose: Purpose) {
        let step = self.search.start();
        self.stage = Stage::Search { step, purpose };
    }

    /// The search goes on with this step.
    fn go_on(&mut self, step: Step) {
        let purpose = self.stage.take_purpose();
        self.stage = Stage::Search { step, purpose };
    }

    fn looked_by_name(&mut self, ours: Option<Agent>, context: &mut Context) {
        let is_another_look = match &mut self.stage {
            Stage::Rest(rest) if ours.is_none() => return rest.found_nothing(self.search.naming, context),
            Stage::Search { purpose, .. } => *purpose != Purpose::First,
            Stage::Rest(_) | Stage::Disable(_) | Stage::Delete(_) | Stage::Watch { .. } => false,
        };
        if ours.is_none() && is_another_look {
            return self.not_found(Extent::Whole, context);
        }
        let progress = self.search.after_name(ours, context);
        self.advance(progress, context);
    }

    fn looked_at_list(&mut self, step: Option<Step>, context: &mut Context) {
        let purpose = match (&mut self.stage, &step) {
            (Stage::Rest(rest), None) => return rest.found_nothing(self.search.naming, context),
            (Stage::Rest(rest), Some(_)) => Purpose::LookingOn(rest.outcome.clone()),
            (_, None) => return self.not_found(Extent::Whole, context),
            (stage, Some(_)) => stage.take_purpose(),
        };
        if let Some(step) = step {
            self.stage = Stage::Search { step, purpose };
        }
    }

    /// One agent was asked for by its ID; `None`: it was answered with 404.
    fn fetched(&mut self, id: AgentId, agent: Option<Agent>, context: &mut Context) {
        if let Stage::Search { step, .. } = &self.stage {
            let progress = self.search.fetched(step.clone(), id, agent, context);
            return self.advance(progress, context);
        }
        match agent {
            Some(agent) if context.is_ours(&agent) => self.found(agent, context),
            Some(agent) => {
                self.search.lost(agent);
                self.not_found(Extent::Whole, context);
            }
            None => self.missing(context),
        }
    }

    fn advance(&mut self, progress: Progress, context: &mut Context) {
        match progress {
            Progress::Found(agent) => self.found(agent, context),
            Progress::NotFound(extent) => self.not_found(extent, context),
            Progress::Next(step) => self.go_on(step),
            // It may have registered again since, under a name of the image's own.
            Progress::PinnedGone
                if self.sigterm.is_none()
                    && self.deletion == Deletion::NotSent
                    && self.search.sees_the_pool(context.now) =>
            {
                self.go_on(Step::List);
            }
            Progress::PinnedGone => self.missing(context),
        }
    }

    /// A response proved this agent ours.
    fn found(&mut self, agent: Agent, context: &mut Context) {
        context.pin(&agent);
        if self.stage.outcome().is_some() {
            self.starts_until = Some(context.now.plus(STARTED));
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
        let may_be_given_a_job = self.sigterm.is_none() || target.busy;
        let is_starting =
            self.sigterm.is_none() && !target.online && self.starts_until.is_some_and(|until| context.now < until);
        self.stage = if target.enabled && may_be_given_a_job && !self.disable_refused {
            Stage::Disable(target)
        } else if target.busy || is_starting {
            let at = target.next_look(context);
            Stage::Watch { target, at }
        } else {
            Stage::Delete(target)
        };
    }

    /// Something was learned of the agent that was found.
    fn update_target(&mut self, update: impl FnOnce(&mut Target), context: &mut Context) {
        if let Some(mut target) = self.stage.target().cloned() {
            update(&mut target);
            self.next(target, context);
        }
    }

    /// Something failed that needs a fresh proof before the next attempt; the pause is not ours to choose.
    fn prove_again(&mut self, now: Time) {
        if let Some(target) = self.stage.target().cloned() {
            self.stage = Stage::Watch { target, at: now };
        }
    }

    /// The agent was answered with 404, which only a listing makes believable.
    fn missing(&mut self, context: &mut Context) {
        if self.search.sees_the_pool(context.now) {
            return self.gone(context);
        }
        self.search.forget();
        self.go_on(Step::ByName);
    }

    /// The agent is not there any more.
    fn gone(&mut self, context: &mut Context) {
        context.snapshot.disabled = None;
        let name = self.stage.target().map(|target| target.name.as_str());
        let outcome = self.deletion.outcome(name, &context.settings);
        if self.deletion == Deletion::Overtaken {
            self.deletion = Deletion::Sent;
            self.verify(outcome, context);
        } else {
            self.rest(outcome, RARELY, context);
        }
    }

    /// The search ended without an agent of ours.
    fn not_found(&mut self, extent: Extent, context: &mut Context) {
        match self.stage.take_purpose() {
            Purpose::LookingOn(outcome) | Purpose::Verify(outcome) => self.rest(outcome, RARELY, context),
            Purpose::First => {
                let outcome = self.search.outcome(extent, context);
                self.rest(outcome, SOON, context);
            }
        }
    }

    /// Nothing is left to do; look again after the pause.
    fn rest(&mut self, outcome: Outcome, pause: Duration, context: &mut Context) {
        self.stage = Stage::Rest(Rest::new(outcome, pause, self.search.naming, context));
    }

    /// One more look after SIGTERM, since the agent may have registered again before its container ended. Without requests to
    /// spare the outcome says that nothing checked it.
    fn verify(&mut self, outcome: Outcome, context: &mut Context) {
        self.start_search(Purpose::Verify(outcome));
        if !self.sigterm.as_ref().is_some_and(|sigterm| sigterm.may_verify) {
            self.end_unverified(context);
        }
    }

    /// The last look failed: the outcome before it stands, and says so.
    fn end_unverified(&mut self, context: &mut Context) {
        if let Some(outcome) = self.stage.unverified() {
            self.rest(outcome, RARELY, context);
        }
    }
}
