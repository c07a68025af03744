//! While the agent may run: at most two lookups to see whether it registered, and re-enabling an agent that we disabled.

use crate::calls::Calls;
use crate::context::Context;
use crate::sentences::{self, Problem};
use crate::{Snapshot, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, AgentId, Availability};
use std::time::Duration;

/// When to check whether the agent registered: this long after it may start, and again if it was not found.
const LOOKUPS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(240)];

/// With the gateway nothing is looked up; after this long without a registration the status says so.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(300);

/// What the lookups of the agent have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// No lookup was made, or the last one found it.
    Unknown,
    /// A lookup did not find our agent under the expected name: the image may still be downloading it, or it has another name.
    NotYet,
    /// Every lookup was made, and none found it.
    Missed,
}

/// What is left to do while the agent may run.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    lookups: usize,
    next_lookup: Option<Time>,
    /// With the gateway: when an agent should have registered.
    registration_deadline: Time,
    /// Whether a lookup did not find our agent under its expected name.
    found_nothing: bool,
    /// The agent that we disabled, and that a response has just proved ours and still disabled.
    proven_disabled: Option<AgentId>,
}

impl Serving {
    pub(crate) fn new(context: &mut Context) -> Self {
        let mut serving = Self {
            lookups: 0,
            next_lookup: None,
            registration_deadline: context.now.plus(REGISTRATION_TIMEOUT),
            found_nothing: false,
            proven_disabled: None,
        };
        if context.gateway.is_none() && context.snapshot.pinned.is_none() {
            serving.schedule(context);
        }
        serving
    }

    fn schedule(&mut self, context: &mut Context) {
        let wait = LOOKUPS.get(self.lookups);
        self.next_lookup = wait.map(|wait| context.now.plus(context.jitter.above(*wait, 20)));
        self.lookups += 1;
    }

    /// The next request, and when at the earliest; a lookup is only made while `budget_left` is not zero.
    pub(crate) fn request(&self, context: &Context, budget_left: u32) -> Option<(Time, AdoRequest)> {
        let Context { settings, snapshot, .. } = context;
        let due = match (self.proven_disabled, snapshot.disabled) {
            (None, None) if context.gateway.is_some() => return context.admission_request(),
            (None, None) if budget_left == 0 => return None,
            (None, None) => self.next_lookup?,
            (Some(_), _) | (None, Some(_)) => Time::default(),
        };
        let Some(pool) = snapshot.pool else {
            return Some((due, AdoRequest::PoolByName(settings.pool.clone())));
        };
        let request = match (self.proven_disabled, snapshot.disabled) {
            (Some(id), _) => AdoRequest::SetAvailability(pool, id, Availability::Enabled),
            (None, Some(id)) => AdoRequest::Agent(pool, id),
            (None, None) => AdoRequest::AgentByName(pool, settings.agent_name.clone()),
        };
        Some((due, request))
    }

    /// With the gateway: when an agent should have registered.
    pub(crate) fn registration_deadline(&self) -> Time {
        self.registration_deadline
    }

    pub(crate) fn sighting(&self) -> Sighting {
        match (self.found_nothing, self.next_lookup) {
            (false, _) => Sighting::Unknown,
            (true, None) if self.lookups > LOOKUPS.len() => Sighting::Missed,
            (true, _) => Sighting::NotYet,
        }
    }

    /// Takes the response to a request of [`Self::request`].
    pub(crate) fn receive(
        &mut self,
        request: &AdoRequest,
        result: Result<AdoResponse, AdoError>,
        calls: &mut Calls,
        context: &mut Context,
    ) -> Result<(), Problem> {
        match (request, result) {
            (AdoRequest::AgentByName(..) | AdoRequest::Delete(..), result) if context.gateway.is_some() => {
                context.receive_admission(request, result)
            }
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                match agents.into_iter().find(|agent| context.is_ours(agent)) {
                    Some(agent) => {
                        context.pin(&agent);
                        self.next_lookup = None;
                        self.found_nothing = false;
                    }
                    None => {
                        self.found_nothing = true;
                        self.schedule(context);
                    }
                }
                Ok(())
            }
            (AdoRequest::Agent(_, id), Ok(AdoResponse::Agents(agents))) => {
                let ours = agents.iter().find(|agent| agent.id == *id && context.is_ours(agent));
                match ours {
                    Some(agent) if !agent.enabled => self.proven_disabled = Some(agent.id),
                    Some(_) | None => self.nothing_to_enable(calls, &mut context.snapshot),
                }
                Ok(())
            }
            (AdoRequest::SetAvailability(..), Ok(AdoResponse::Done)) => {
                self.nothing_to_enable(calls, &mut context.snapshot);
                Ok(())
            }
            (AdoRequest::Agent(..) | AdoRequest::SetAvailability(..), Err(error))
                if error.kind == AdoErrorKind::NotFound =>
            {
                self.nothing_to_enable(calls, &mut context.snapshot);
                Ok(())
            }
            (_, Ok(_)) => Err(context.problem(request, sentences::unexpected_response())),
            (_, Err(error)) => Err(context.problem(request, error)),
        }
    }

    /// No agent is disabled by us any more; what went wrong with enabling one is over.
    fn nothing_to_enable(&mut self, calls: &mut Calls, snapshot: &mut Snapshot) {
        self.proven_disabled = None;
        snapshot.disabled = None;
        calls.reset_backoff(snapshot);
    }

    /// A lookup failed. It counts, so that a broken server is not asked again and again, and it is only logged.
    pub(crate) fn lookup_failed(&mut self, calls: &mut Calls, context: &mut Context) {
        self.schedule(context);
        if let Some(problem) = calls.take_problem() {
            let sentence = sentences::lookup_failed(&problem.trouble);
            context.warn(problem.trouble.reason, sentence);
        }
    }
}
