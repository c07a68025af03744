//! The end of the pod: find our agent, take it out of service, wait for its job, remove it.
//!
//! **Invariant:** an agent is disabled or removed only after an answer, at most [`PROOF`] old, that proved it ours.
//! `--replace` keeps an agent's id, so an id alone proves nothing.

use crate::backoff::Jitter;
use crate::due::MARGIN;
use crate::ownership::owner;
use crate::rest::{RARELY, Rest};
use crate::search::pin;
use crate::sentences;
use crate::{Outcome, Settings, Snapshot, Time};
use azure_protocol::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability, PoolId};
use contract::Reason;
use std::collections::VecDeque;
use std::time::Duration;

/// How old the proof of ownership may be when we act on it.
const PROOF: Duration = Duration::from_secs(30);
/// The least and the longest pause between two looks at a busy agent. In between, the pause is as long as the pod has been
/// terminating, since its grace may be shorter than the pod says (`kubectl delete --grace-period`, the shutdown of a node), and
/// at most a third of the grace that is left. The looks also keep the connection open for the two seconds at the end.
const LOOK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(12));
/// How often, and how long, an agent that registered late is looked at until it listens. Removed before that, it asks for a
/// token forever, and its start script, which has missed SIGTERM, does not end either.
const START: Duration = Duration::from_secs(3);
const STARTED: Duration = Duration::from_secs(30);
/// How long a listing proves that the pool is there and visible, so that a 404 for an agent is about the agent.
const VISIBLE: Duration = Duration::from_secs(10);

/// An agent that an answer proved ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    id: AgentId,
    pub(crate) name: String,
    proven: Time,
    enabled: bool,
    online: bool,
    pub(crate) busy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looked for by its name.
    ByName,
    /// The agent that was pinned earlier is looked at; `named` is another one with our marker, found by name.
    Pinned { id: AgentId, named: Option<Agent> },
    /// Neither name nor pin helped: the pool's agents are listed.
    Listing,
    /// Those of the list that may be ours are fetched one by one; `all`: none was left out.
    Fetching { candidates: VecDeque<AgentId>, all: bool },
    /// It is taken out of service.
    Disable(Target),
    /// It is removed.
    Delete(Target),
    /// It is looked at again, at that time.
    Look { target: Target, at: Time },
    /// Nothing is left to do, but to look on: see `rest.rs`.
    Rest(Rest),
    /// The agent container was never let start, so no agent can be there, or its agent is to stay: nothing is asked.
    NothingToRemove(Outcome),
}

/// What the removal works with.
pub(crate) struct Surroundings<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) kept: &'a mut Snapshot,
    pub(crate) jitter: &'a mut Jitter,
    /// Lines for the log, with a word each; all are warnings.
    pub(crate) warnings: &'a mut Vec<(Reason, String)>,
    pub(crate) now: Time,
}

impl Surroundings<'_> {
    /// How long to wait before a busy agent is looked at again.
    fn until_next_look(&self) -> Duration {
        let since = self.kept.leaving_since.unwrap_or(self.now);
        // The kubelet may have begun to count before its hook reached us.
        let left = since.plus(self.settings.grace.saturating_sub(MARGIN)).since(self.now);
        let (least, longest) = LOOK;
        self.now.since(since).min(left / 3).clamp(least, longest)
    }
}

/// Where the removal stands.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) stage: Stage,
    /// When SIGTERM came.
    pub(crate) terminated: Option<Time>,
    /// Whether the image invents names, so that only a list helps: the name was asked for in vain while the agent ran, or
    /// our agent had another.
    pub(crate) invents_names: bool,
    /// Whether the agent was looked for in vain while it might run.
    pub(crate) was_missed: bool,
    /// When the pool's agents were listed the last time, by name or all, or one of the list was fetched.
    pub(crate) listed: Option<Time>,
    pub(crate) delete_sent: bool,
    /// Whether a DELETE was on its way when SIGTERM came, so that the agent may have registered again behind it.
    overtaken: bool,
    /// Whether there are requests to spare, and a token, for one more look.
    pub(crate) may_verify: bool,
    disable_refused: bool,
    /// Until when an agent that was found late and does not listen yet is only disabled.
    starts_until: Option<Time>,
    /// How it ended before another look; `Some` while that look is made.
    pub(crate) verifying: Option<Outcome>,
    /// An agent of our name that is not ours, and the agents that were looked at.
    pub(crate) stranger: Option<Agent>,
    pub(crate) seen: Vec<AgentId>,
}

impl Removal {
    /// The pod begins to leave. `invents_names`: see the field.
    pub(crate) fn new(invents_names: bool, kept: &Snapshot) -> Self {
        let mut removal = Self {
            stage: Stage::ByName,
            terminated: None,
            invents_names: invents_names && kept.pinned.is_none(),
            was_missed: false,
            listed: None,
            delete_sent: false,
            overtaken: false,
            may_verify: false,
            disable_refused: false,
            starts_until: None,
            verifying: None,
            stranger: None,
            seen: Vec::new(),
        };
        removal.search();
        removal
    }

    /// No agent was ever let start: nothing is asked.
    pub(crate) fn of_nothing(why: &str) -> Self {
        Self::without_questions(Outcome {
            reason: Reason::NeverSeen,
            sentence: sentences::never_started(why),
        })
    }

    /// The agent is to stay: nothing is asked.
    pub(crate) fn of_a_placeholder(settings: &Settings) -> Self {
        Self::without_questions(Outcome {
            reason: Reason::Kept,
            sentence: sentences::kept(settings),
        })
    }

    fn without_questions(outcome: Outcome) -> Self {
        Self {
            stage: Stage::NothingToRemove(outcome),
            ..Self::new(false, &Snapshot::default())
        }
    }

    pub(crate) fn search(&mut self) {
        self.stranger = None;
        self.seen.clear();
        self.stage = if self.invents_names {
            Stage::Listing
        } else {
            Stage::ByName
        };
    }

    /// The pod begins to leave once more (the kubelet was restarted): what was found before may have changed.
    pub(crate) fn begin_again(&mut self) {
        if let Stage::Rest(_) = self.stage {
            self.search();
        }
    }

    /// What to ask, and when, if it is asked no earlier than `earliest`. Without a pool its name is looked up first.
    pub(crate) fn question(
        &self,
        pool: Option<PoolId>,
        settings: &Settings,
        kept: &Snapshot,
        earliest: Time,
    ) -> Option<(Time, AdoRequest)> {
        let at = match &self.stage {
            Stage::Look { at, .. } | Stage::Rest(Rest { again: at, .. }) => (*at).max(earliest),
            Stage::NothingToRemove(_) => return None,
            Stage::ByName
            | Stage::Pinned { .. }
            | Stage::Listing
            | Stage::Fetching { .. }
            | Stage::Disable(_)
            | Stage::Delete(_) => earliest,
        };
        let Some(pool) = pool else {
            return Some((at, AdoRequest::PoolByName(settings.pool.clone())));
        };
        let question = match &self.stage {
            Stage::Listing => AdoRequest::Agents(pool, self.criteria(settings, kept)),
            Stage::Rest(rest) if rest.by_list => AdoRequest::Agents(pool, self.criteria(settings, kept)),
            Stage::ByName | Stage::Rest(_) => AdoRequest::AgentByName(pool, settings.agent_name.clone()),
            Stage::Pinned { id, .. } => AdoRequest::Agent(pool, *id),
            Stage::Fetching { candidates, .. } => AdoRequest::Agent(pool, *candidates.front()?),
            Stage::Disable(target) | Stage::Delete(target) if at.since(target.proven) > PROOF => {
                AdoRequest::Agent(pool, target.id)
            }
            Stage::Disable(target) => AdoRequest::SetAvailability(pool, target.id, Availability::Disabled),
            Stage::Delete(target) => AdoRequest::Delete(pool, target.id),
            Stage::Look { target, .. } => AdoRequest::Agent(pool, target.id),
            Stage::NothingToRemove(_) => return None,
        };
        Some((at, question))
    }

    /// Whether the question is one that only a running job, or an agent container that does not end, makes us ask.
    pub(crate) fn is_waiting(&self) -> bool {
        match &self.stage {
            Stage::Look { target, .. } => target.busy || !target.online,
            Stage::Rest(_) => true,
            Stage::Fetching { .. } => self.is_looking_on(),
            Stage::ByName
            | Stage::Pinned { .. }
            | Stage::Listing
            | Stage::Disable(_)
            | Stage::Delete(_)
            | Stage::NothingToRemove(_) => false,
        }
    }

    /// The question goes out.
    pub(crate) fn asked(&mut self, question: &AdoRequest, surroundings: &mut Surroundings<'_>) {
        match question {
            // Recorded before it happens: an agent that we may have disabled is ours to enable again.
            AdoRequest::SetAvailability(_, id, Availability::Disabled) => surroundings.kept.disabled = Some(*id),
            AdoRequest::Delete(..) => {
                self.delete_sent = true;
                self.overtaken = false;
            }
            AdoRequest::Tenant
            | AdoRequest::PoolByName(_)
            | AdoRequest::MayManage(_)
            | AdoRequest::AgentByName(..)
            | AdoRequest::Agents(..)
            | AdoRequest::Agent(..)
            | AdoRequest::SetAvailability(..) => {}
        }
    }

    /// An answer came to a question that was asked at `asked`. `Err`: it is a failure that has to be followed by a pause.
    pub(crate) fn answered(
        &mut self,
        question: &AdoRequest,
        asked: Time,
        result: Result<AdoResponse, AdoError>,
        surroundings: &mut Surroundings<'_>,
    ) -> Result<(), AdoError> {
        if !self.expects(question) {
            return Ok(());
        }
        // The agent may have registered behind a question from before SIGTERM: only where it found something it counts.
        let is_old = self.terminated.is_some_and(|terminated| asked < terminated);
        let is_ours = |agent: &Agent| owner(agent, surroundings.settings, surroundings.kept.started).is_us();
        let found_nothing = match &result {
            Ok(AdoResponse::Agents(agents)) => !agents.iter().any(is_ours),
            Ok(AdoResponse::Shortlist(shortlist)) => !shortlist.agents().any(is_ours),
            Ok(AdoResponse::Tenant(_) | AdoResponse::Pool(_) | AdoResponse::MayManage(_) | AdoResponse::Done)
            | Err(_) => false,
        };
        if found_nothing && is_old && self.target().is_none() {
            self.search();
            return Ok(());
        }
        match (question, result) {
            (AdoRequest::AgentByName(..), Ok(AdoResponse::Agents(agents))) => self.named(agents, surroundings),
            (AdoRequest::Agents(..), Ok(AdoResponse::Shortlist(shortlist))) => self.listed(&shortlist, surroundings),
            (AdoRequest::Agent(_, id), Ok(AdoResponse::Agents(agents))) => {
                self.looked(*id, agents.into_iter().find(|agent| agent.id == *id), surroundings);
            }
            (AdoRequest::Agent(_, id), Err(failure)) if failure.kind == AdoErrorKind::NotFound => {
                self.looked(*id, None, surroundings);
            }
            (AdoRequest::SetAvailability(..), Ok(AdoResponse::Done)) => self.disabled(surroundings),
            (AdoRequest::SetAvailability(..) | AdoRequest::Delete(..), Err(failure))
                if failure.kind == AdoErrorKind::NotFound =>
            {
                self.missing(surroundings);
            }
            (AdoRequest::SetAvailability(..), Err(failure)) => {
                self.disable_refused |= matches!(failure.kind, AdoErrorKind::Forbidden | AdoErrorKind::Refused);
                self.look_again(surroundings.now);
                return Err(failure);
            }
            (AdoRequest::Delete(..), Ok(AdoResponse::Done)) => self.gone(surroundings),
            (AdoRequest::Delete(..), Err(failure)) if failure.kind == AdoErrorKind::JobRunning => {
                self.still_running(surroundings);
            }
            (AdoRequest::Delete(..), Err(failure)) => {
                self.look_again(surroundings.now);
                return Err(failure);
            }
            (_, Err(failure)) => {
                self.end_unverified(surroundings);
                return Err(failure);
            }
            (_, Ok(_)) => {
                self.end_unverified(surroundings);
                return Err(sentences::odd_answer());
            }
        }
        Ok(())
    }

    /// Whether an answer to this question says something about where we stand: one that was asked before the pod began to
    /// leave may not.
    fn expects(&self, question: &AdoRequest) -> bool {
        match question {
            AdoRequest::AgentByName(..) | AdoRequest::Agents(..) => match &self.stage {
                Stage::ByName | Stage::Pinned { .. } | Stage::Listing | Stage::Fetching { .. } | Stage::Rest(_) => true,
                Stage::Disable(_) | Stage::Delete(_) | Stage::Look { .. } | Stage::NothingToRemove(_) => false,
            },
            AdoRequest::Agent(_, id)
            | AdoRequest::SetAvailability(_, id, Availability::Disabled)
            | AdoRequest::Delete(_, id) => match &self.stage {
                Stage::Pinned { id: pinned, .. } => pinned == id,
                Stage::Fetching { candidates, .. } => candidates.contains(id),
                Stage::Disable(target) | Stage::Delete(target) | Stage::Look { target, .. } => target.id == *id,
                Stage::ByName | Stage::Listing | Stage::Rest(_) | Stage::NothingToRemove(_) => false,
            },
            AdoRequest::Tenant
            | AdoRequest::PoolByName(_)
            | AdoRequest::MayManage(_)
            | AdoRequest::SetAvailability(_, _, Availability::Enabled) => false,
        }
    }

    /// An answer proved this agent ours.
    pub(crate) fn found(&mut self, agent: Agent, surroundings: &mut Surroundings<'_>) {
        pin(&agent, surroundings);
        if matches!(self.stage, Stage::Rest(_)) || self.is_looking_on() {
            self.starts_until = Some(surroundings.now.plus(STARTED));
        }
        self.invents_names = !agent.is_named(&surroundings.settings.agent_name);
        self.verifying = None;
        self.next(
            Target {
                id: agent.id,
                name: agent.name,
                proven: surroundings.now,
                enabled: agent.enabled,
                online: agent.online,
                busy: agent.assigned == Some(true),
            },
            surroundings,
        );
    }

    /// Disable it while it may be given a job, wait while it is busy, else remove it. After SIGTERM an idle one is removed
    /// at once, but a busy one is disabled still: its session outlives its process, and with it the chance of another job.
    fn next(&mut self, target: Target, surroundings: &mut Surroundings<'_>) {
        let may_be_given_a_job = self.terminated.is_none() || target.busy;
        let is_starting = self.terminated.is_none()
            && !target.online
            && self.starts_until.is_some_and(|until| surroundings.now < until);
        self.stage = if target.enabled && may_be_given_a_job && !self.disable_refused {
            Stage::Disable(target)
        } else if target.busy {
            let at = surroundings
                .now
                .plus(surroundings.jitter.around(surroundings.until_next_look(), 20));
            Stage::Look { target, at }
        } else if is_starting {
            let at = surroundings.now.plus(surroundings.jitter.around(START, 20));
            Stage::Look { target, at }
        } else {
            Stage::Delete(target)
        };
    }

    fn disabled(&mut self, surroundings: &mut Surroundings<'_>) {
        if let Stage::Disable(mut target) = self.stage.clone() {
            target.enabled = false;
            self.next(target, surroundings);
        }
    }

    fn still_running(&mut self, surroundings: &mut Surroundings<'_>) {
        if let Stage::Delete(mut target) = self.stage.clone() {
            target.busy = true;
            self.next(target, surroundings);
        }
    }

    /// Something failed that needs a fresh proof before the next attempt; the pause is not ours to choose.
    fn look_again(&mut self, now: Time) {
        if let Stage::Disable(target) | Stage::Delete(target) = &self.stage {
            self.stage = Stage::Look {
                target: target.clone(),
                at: now,
            };
        }
    }

    /// Whether a 404 for an agent is about the agent: one of a pool that is not visible is answered with 404, too.
    pub(crate) fn sees_the_pool(&self, now: Time) -> bool {
        self.listed.is_some_and(|listed| now.since(listed) <= VISIBLE)
    }

    /// The agent was answered with 404, which only a listing makes believable.
    pub(crate) fn missing(&mut self, surroundings: &mut Surroundings<'_>) {
        if self.sees_the_pool(surroundings.now) {
            self.gone(surroundings);
        } else {
            self.stranger = None;
            self.seen.clear();
            self.stage = Stage::ByName;
        }
    }

    /// The agent is not there any more.
    pub(crate) fn gone(&mut self, surroundings: &mut Surroundings<'_>) {
        surroundings.kept.disabled = None;
        let settings = surroundings.settings;
        let name = self
            .target()
            .map_or(settings.agent_name.as_str(), |target| target.name.as_str());
        let outcome = if self.delete_sent {
            Outcome {
                reason: Reason::Removed,
                sentence: sentences::removed(name, settings),
            }
        } else {
            Outcome {
                reason: Reason::AlreadyGone,
                sentence: sentences::already_gone(settings),
            }
        };
        if std::mem::take(&mut self.overtaken) {
            self.verify(outcome, surroundings);
        } else {
            self.rest(outcome, RARELY, surroundings);
        }
    }

    /// SIGTERM. `spare`: how many requests may be spent on a look whether the agent registered again.
    pub(crate) fn terminate(&mut self, spare: u32, surroundings: &mut Surroundings<'_>) {
        let now = surroundings.now;
        if let Some(outcome) = self.verifying.take() {
            self.rest(outcome, RARELY, surroundings);
        }
        self.terminated = Some(now);
        self.may_verify = spare > u32::from(self.invents_names);
        match self.stage.clone() {
            Stage::NothingToRemove(_) => {}
            Stage::Rest(Rest { outcome, .. }) if matches!(outcome.reason, Reason::Removed | Reason::AlreadyGone) => {
                self.verify(outcome, surroundings);
            }
            Stage::Rest(_) => self.search(),
            Stage::Disable(target) | Stage::Delete(target) | Stage::Look { target, .. } => {
                self.overtaken = self.delete_sent;
                self.stage = if now.since(target.proven) <= PROOF {
                    Stage::Delete(target)
                } else {
                    Stage::Look { target, at: now }
                };
            }
            Stage::ByName | Stage::Pinned { .. } | Stage::Listing | Stage::Fetching { .. } => {}
        }
    }

    /// The agent that was found.
    pub(crate) fn target(&self) -> Option<&Target> {
        match &self.stage {
            Stage::Disable(target) | Stage::Delete(target) | Stage::Look { target, .. } => Some(target),
            Stage::ByName
            | Stage::Pinned { .. }
            | Stage::Listing
            | Stage::Fetching { .. }
            | Stage::Rest(_)
            | Stage::NothingToRemove(_) => None,
        }
    }
}
