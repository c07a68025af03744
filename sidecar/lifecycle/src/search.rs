//! Finding the agent of this pod: by name, by the ID that was seen first, else from a list by the marker.

use crate::context::Context;
use crate::ownership::{is_pinned, may_have_been_ours};
use crate::serving::Sighting;
use crate::{Outcome, Time, sentences};
use azure_protocol::{AdoError, AdoRequest, AdoResponse, Agent, AgentId, Criteria, PoolId, Shortlist};
use contract::{OutcomeReason, Reason};
use std::collections::VecDeque;
use std::time::Duration;

/// How many agents of a list are fetched one by one.
pub(crate) const FETCHES: usize = 12;
/// The same for the last lookup, which has two seconds.
pub(crate) const LAST_FETCHES: usize = 1;
/// How long a listing proves that the pool is there and visible, so that a 404 for an agent is about the agent.
const VISIBLE: Duration = Duration::from_secs(10);

/// How the image seems to name its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// By the name that is expected, as far as is known.
    Expected,
    /// By a name of its own, so that only a list helps: the expected one was looked up without success while the agent ran, or our
    /// agent had another.
    Own,
}

/// A step of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The agent is looked up by its name.
    ByName,
    /// The agent that was pinned earlier is fetched; `named` is another one with our marker, found by name.
    Pinned { id: AgentId, named: Option<Agent> },
    /// Neither name nor pin helped: the pool's agents are listed.
    List,
    /// Those of the list that may be ours are fetched one by one.
    Fetch {
        candidates: VecDeque<AgentId>,
        extent: Extent,
    },
}

/// How much of the pool was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every agent that may be ours.
    Whole,
    /// The likeliest ones.
    Part,
}

/// What a response means for the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// This agent is proven ours.
    Found(Agent),
    /// The pool does not have our agent.
    NotFound(Extent),
    /// The agent that was pinned does not exist, by a 404.
    PinnedGone,
    /// The search continues.
    Next(Step),
}

/// What the search knows.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) naming: Naming,
    /// What the lookups while the agent ran have shown.
    sighting: Sighting,
    /// An agent that is not ours, but was, or has our name.
    foreign: Option<Agent>,
    /// The agents that were examined.
    seen: Vec<AgentId>,
    /// When the pool's agents were listed the last time, by name or all, or one of the list was fetched.
    last_listing: Option<Time>,
}

impl Search {
    pub(crate) fn new(sighting: Sighting, context: &Context) -> Self {
        Self {
            naming: match (sighting, context.snapshot.pinned) {
                (Sighting::NotYet | Sighting::Missed, None) => Naming::Own,
                (Sighting::Unknown, _) | (_, Some(_)) => Naming::Expected,
            },
            sighting,
            foreign: None,
            seen: Vec::new(),
            last_listing: None,
        }
    }

    /// The first step of a search from the beginning.
    pub(crate) fn start(&mut self) -> Step {
        self.forget();
        match self.naming {
            Naming::Expected => Step::ByName,
            Naming::Own => Step::List,
        }
    }

    /// Forgets which agents were examined: they may be others now.
    pub(crate) fn forget(&mut self) {
        self.foreign = None;
        self.seen.clear();
    }

    /// The request of a step; at most `most` agents of a list are fetched afterwards.
    pub(crate) fn request(&self, step: &Step, pool: PoolId, context: &Context, most: usize) -> Option<AdoRequest> {
        Some(match step {
            Step::ByName => AdoRequest::AgentByName(pool, context.agent_name().to_owned()),
            Step::Pinned { id, .. } => AdoRequest::Agent(pool, *id),
            Step::List => AdoRequest::Agents(
                pool,
                Criteria {
                    agent_name: context.settings.agent_name.clone(),
                    pod_name: context.settings.marker.pod.clone(),
                    started: context.snapshot.started,
                    seen: self.seen.clone(),
                    most,
                },
            ),
            Step::Fetch { candidates, .. } => AdoRequest::Agent(pool, *candidates.front()?),
        })
    }

    /// Agents were looked up by name; returns the one that is ours.
    pub(crate) fn listed_by_name(&mut self, agents: Vec<Agent>, context: &Context) -> Option<Agent> {
        self.last_listing = Some(context.now);
        let mut ours = None;
        for agent in agents {
            if !agent.is_named(context.agent_name()) {
                continue;
            }
            if !self.seen.contains(&agent.id) {
                self.seen.push(agent.id);
            }
            if context.is_ours(&agent) {
                ours = Some(agent);
            } else {
                self.foreign = Some(agent);
            }
        }
        ours
    }

    /// What follows a lookup by name.
    pub(crate) fn after_name(&self, ours: Option<Agent>, context: &Context) -> Progress {
        let pinned = context.snapshot.pinned.map(|pinned| pinned.0);
        match (ours, pinned) {
            (Some(agent), Some(id)) if agent.id != id => Progress::Next(Step::Pinned { id, named: Some(agent) }),
            (Some(agent), _) => Progress::Found(agent),
            // The agent with the ID that we pinned is not ours any more: a successor took it over.
            (None, Some(id)) if self.seen.contains(&id) => Progress::NotFound(Extent::Whole),
            (None, Some(id)) => Progress::Next(Step::Pinned { id, named: None }),
            (None, None) => Progress::Next(Step::List),
        }
    }

    /// The pool's agents were listed; what is worth being fetched.
    pub(crate) fn listed(&mut self, shortlist: &Shortlist, now: Time) -> Option<Step> {
        self.last_listing = Some(now);
        let candidates: VecDeque<AgentId> = shortlist.agents().map(|agent| agent.id).collect();
        let extent = if shortlist.is_whole() {
            Extent::Whole
        } else {
            Extent::Part
        };
        (!candidates.is_empty()).then_some(Step::Fetch { candidates, extent })
    }

    /// The agent of a step was fetched; `None`: it was answered with 404.
    pub(crate) fn fetched(&mut self, step: Step, id: AgentId, agent: Option<Agent>, context: &mut Context) -> Progress {
        let agent = match agent {
            Some(agent) if context.is_ours(&agent) => Ok(agent),
            other => Err(other),
        };
        match (step, agent) {
            (Step::Pinned { named, .. }, Ok(agent)) => {
                if named.is_some() {
                    let sentence = sentences::several(&context.settings, id);
                    context.warn(Reason::LeftUnproven, sentence);
                }
                Progress::Found(agent)
            }
            (Step::Pinned { named: Some(named), .. }, Err(pinned)) => {
                if let Some(pinned) = pinned.filter(|pinned| is_pinned(pinned, &context.snapshot)) {
                    let sentence = sentences::changed_since_seen(&pinned, &context.settings);
                    context.warn(Reason::LeftUnproven, sentence);
                }
                Progress::Found(named)
            }
            (Step::Pinned { named: None, .. }, Err(None)) => Progress::PinnedGone,
            (Step::Pinned { named: None, .. }, Err(Some(agent))) => {
                self.foreign = Some(agent);
                Progress::NotFound(Extent::Whole)
            }
            (Step::Fetch { mut candidates, extent }, agent) => {
                candidates.retain(|candidate| *candidate != id);
                self.fetched_from_list(candidates, extent, id, agent, context)
            }
            // No agent is fetched in these steps.
            (step @ (Step::ByName | Step::List), _) => Progress::Next(step),
        }
    }

    fn fetched_from_list(
        &mut self,
        candidates: VecDeque<AgentId>,
        extent: Extent,
        id: AgentId,
        agent: Result<Agent, Option<Agent>>,
        context: &Context,
    ) -> Progress {
        if let Err(None) = agent {
            if !self.sees_the_pool(context.now) {
                // Nothing was learned about the remaining candidates either.
                return Progress::Next(self.start());
            }
        } else {
            self.last_listing = Some(context.now);
        }
        self.seen.push(id);
        match agent {
            Ok(agent) => return Progress::Found(agent),
            Err(Some(agent)) => self.note_foreign(agent, context),
            Err(None) => {}
        }
        if candidates.is_empty() {
            Progress::NotFound(extent)
        } else {
            Progress::Next(Step::Fetch { candidates, extent })
        }
    }

    /// An agent of the list is not ours: the outcome names it where it was ours, else where it has our name.
    fn note_foreign(&mut self, agent: Agent, context: &Context) {
        let was_ours = |agent: &Agent| is_pinned(agent, &context.snapshot);
        let is_noted = self.foreign.as_ref().is_some_and(was_ours);
        if was_ours(&agent) || agent.is_named(&context.settings.agent_name) && !is_noted {
            self.foreign = Some(agent);
        }
    }

    /// Takes the agent of the lookups so far that is not ours, so that only the next lookup counts.
    pub(crate) fn take_foreign(&mut self) -> Option<Agent> {
        self.foreign.take()
    }

    /// The agent that was found before is not ours any more.
    pub(crate) fn lost(&mut self, agent: Agent) {
        self.foreign = Some(agent);
    }

    /// Whether a 404 for an agent is about the agent: one of a pool that is not visible is answered with 404 as well.
    pub(crate) fn sees_the_pool(&self, now: Time) -> bool {
        self.last_listing.is_some_and(|listing| now.since(listing) <= VISIBLE)
    }

    /// The outcome where our agent was not found.
    pub(crate) fn outcome(&self, extent: Extent, context: &mut Context) -> Outcome {
        let Context { settings, snapshot, .. } = context;
        let (reason, sentence) = match (&self.foreign, extent) {
            (Some(foreign), _) if is_pinned(foreign, snapshot) => (
                OutcomeReason::LeftUnproven,
                sentences::changed_since_seen(foreign, settings),
            ),
            (Some(foreign), _) if may_have_been_ours(foreign, settings, snapshot) => (
                OutcomeReason::LeftUnproven,
                sentences::changed_before_seen(foreign, settings),
            ),
            (Some(foreign), _) => (OutcomeReason::NotOurs, sentences::not_ours(foreign, settings)),
            (None, Extent::Part) => (OutcomeReason::LeftUnproven, sentences::unproven(settings)),
            (None, Extent::Whole) if snapshot.pinned.is_some() => {
                snapshot.disabled = None;
                (OutcomeReason::AlreadyGone, sentences::already_gone(settings))
            }
            (None, Extent::Whole) => match self.sighting {
                Sighting::Missed => (OutcomeReason::LeftUnseen, sentences::left_unseen(settings)),
                Sighting::Unknown | Sighting::NotYet => (OutcomeReason::NeverSeen, sentences::never_seen(settings)),
            },
        };
        Outcome::verified(reason, sentence)
    }
}

/// Whether the response has agents, and none of them is ours.
pub(crate) fn shows_nothing_of_ours(result: &Result<AdoResponse, AdoError>, context: &Context) -> bool {
    match result {
        Ok(AdoResponse::Agents(agents)) => !agents.iter().any(|agent| context.is_ours(agent)),
        Ok(AdoResponse::Shortlist(shortlist)) => !shortlist.agents().any(|agent| context.is_ours(agent)),
        Ok(AdoResponse::Tenant(_) | AdoResponse::Pool(_) | AdoResponse::MayManage(_) | AdoResponse::Done) | Err(_) => {
            false
        }
    }
}
