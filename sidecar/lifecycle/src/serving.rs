//! While the agent may run: at most two looks whether it registered, and an agent of ours that is to be enabled again.

use crate::calls::Calls;
use crate::context::Context;
use crate::sentences::{self, Problem};
use crate::{Snapshot, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, AgentId, Availability};
use std::time::Duration;

/// When to look whether the agent registered: after it may start, and again if it was not there.
const LOOKS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(240)];

/// What the looks for the agent have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// No look was made, or the last one found it.
    Unknown,
    /// A look found no agent of ours under the expected name: the image may still download it, or it has another name.
    NotYet,
    /// Every look was made, and none found it.
    Missed,
}

/// What is left to do while the agent may run.
#[derive(Debug)]
pub(crate) struct Serving {
    looks: usize,
    next_look: Option<Time>,
    /// Whether a look found no agent of ours under our name.
    looked_in_vain: bool,
    /// The agent that we disabled, and that a response just now proved ours and still disabled.
    proven_disabled: Option<AgentId>,
}

impl Serving {
    pub(crate) fn new(context: &mut Context) -> Self {
        let mut serving = Self {
            looks: 0,
            next_look: None,
            looked_in_vain: false,
            proven_disabled: None,
        };
        if context.snapshot.pinned.is_none() {
            serving.schedule(context);
        }
        serving
    }

    fn schedule(&mut self, context: &mut Context) {
        let wait = LOOKS.get(self.looks);
        self.next_look = wait.map(|wait| context.now.plus(context.jitter.above(*wait, 20)));
        self.looks += 1;
    }

    /// The next request, and when at the earliest; a look is only made where the budget has requests to `spare`.
    pub(crate) fn request(&self, context: &Context, spare: u32) -> Option<(Time, AdoRequest)> {
        let Context { settings, snapshot, .. } = context;
        let due = match (self.proven_disabled, snapshot.disabled) {
            (None, None) if spare == 0 => return None,
            (None, None) => self.next_look?,
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

    pub(crate) fn registration(&self) -> Registration {
        match (self.looked_in_vain, self.next_look) {
            (false, _) => Registration::Unknown,
            (true, None) if self.looks > LOOKS.len() => Registration::Missed,
            (true, _) => Registration::NotYet,
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
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => {
                match agents.into_iter().find(|agent| context.is_ours(agent)) {
                    Some(agent) => {
                        context.pin(&agent);
                        self.next_look = None;
                        self.looked_in_vain = false;
                    }
                    None => {
                        self.looked_in_vain = true;
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
        calls.forgive(snapshot);
    }

    /// A look failed. It counts, so that a broken server is not asked again and again, and it is only noted.
    pub(crate) fn look_failed(&mut self, calls: &mut Calls, context: &mut Context) {
        self.schedule(context);
        if let Some(problem) = calls.take_problem() {
            let sentence = sentences::look_failed(&problem.trouble);
            context.warn(problem.trouble.reason, sentence);
        }
    }
}
