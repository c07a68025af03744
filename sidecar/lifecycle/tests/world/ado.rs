//! Azure DevOps in memory: one pool, its agents, sessions, jobs with their lock, roles; `--replace` keeps an agent's id.

use super::plan::AdoFault;
use crate::steps::{EPOCH, POOL};
use azure_protocol::{
    AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, Availability, ServerTime, Shortlist,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who runs the process behind an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    Pod,
    Another,
}

/// An agent on the server.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) enabled: bool,
    pub(crate) online: bool,
    /// Number of the job that is assigned.
    pub(crate) job: Option<usize>,
    pub(crate) owner: Option<String>,
    pub(crate) keeper: Keeper,
    /// When somebody else took it over, in milliseconds.
    pub(crate) taken: u64,
    /// When a person took it out of service, in milliseconds.
    pub(crate) disabled_by_person: Option<u64>,
}

/// How much of an agent an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// With its capabilities and its job.
    All,
    /// As a list has it.
    Listed,
}

/// The identity's role in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Administrator,
    Reader,
}

/// The pool.
#[derive(Debug, Default)]
pub(crate) struct Ado {
    pub(crate) agents: BTreeMap<i64, Registration>,
    next_id: i64,
    /// An agent of this name is replaced while it is offline, whichever pod had it (the gateway; `--replace` needs no removal).
    pub(crate) replaced_name: Option<&'static str>,
    /// When the removal of an agent was refused last because of its job, in milliseconds.
    pub(crate) refused_removal: Option<u64>,
    /// What must never happen.
    pub(crate) violations: Vec<String>,
}

/// How long after a takeover, or after what a person did, an action of ours may still rest on an older proof.
const PROOF_MILLIS: u64 = 31_000;

impl Ado {
    pub(crate) fn date(now: u64) -> ServerTime {
        ServerTime(EPOCH + i64::try_from(now / 1000).expect("a short run"))
    }

    /// `config.sh --replace`.
    pub(crate) fn register(&mut self, name: &str, owner: Option<String>, keeper: Keeper, now: u64) -> i64 {
        let same = self
            .agents
            .iter()
            .find(|(_, agent)| agent.name == name)
            .map(|(id, _)| *id);
        let id = same.unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id
        });
        let agent = self.agents.entry(id).or_insert_with(|| Registration {
            name: name.to_owned(),
            created: Self::date(now).0,
            enabled: true,
            online: false,
            job: None,
            owner: None,
            keeper,
            taken: 0,
            disabled_by_person: None,
        });
        if agent.keeper != keeper {
            agent.taken = now;
        }
        agent.keeper = keeper;
        agent.owner = owner;
        id
    }

    fn view(&self, id: i64, detail: Detail) -> Option<Agent> {
        let agent = self.agents.get(&id)?;
        Some(Agent {
            id: AgentId(id),
            name: agent.name.clone(),
            created: Some(ServerTime(agent.created)),
            enabled: agent.enabled,
            online: agent.online,
            assigned: (detail == Detail::All).then_some(agent.job.is_some()),
            owner: agent.owner.clone().filter(|_| detail == Detail::All),
        })
    }

    /// Answers a request; `token` says whether its token is good.
    pub(crate) fn answer(
        &mut self,
        request: &AdoRequest,
        token_is_good: bool,
        fault: Option<AdoFault>,
        now: u64,
    ) -> (Result<AdoResponse, AdoError>, Option<Duration>) {
        let pause = Duration::from_secs;
        let refuse = |kind, after: Option<u64>| (Err(failure(kind)), after.map(pause));
        match fault {
            Some(AdoFault::Hang | AdoFault::Reset) => return refuse(AdoErrorKind::Unreachable, None),
            Some(AdoFault::LostAnswer) => {
                let _lost = self.perform(request, token_is_good, Role::Administrator, now);
                return refuse(AdoErrorKind::Unreachable, None);
            }
            Some(AdoFault::Html) => return refuse(AdoErrorKind::UnexpectedResponse, None),
            Some(AdoFault::Unavailable) => return refuse(AdoErrorKind::Unavailable, None),
            Some(AdoFault::Throttled(seconds)) => return refuse(AdoErrorKind::Throttled, Some(seconds)),
            Some(AdoFault::Unauthorized) => return refuse(AdoErrorKind::Unauthorized, None),
            Some(AdoFault::IdentityUnknown) if *request != AdoRequest::Tenant => {
                return refuse(AdoErrorKind::IdentityUnknown, None);
            }
            Some(AdoFault::PoolMissing) => {
                return match request {
                    AdoRequest::Tenant => (self.perform(request, token_is_good, Role::Administrator, now), None),
                    AdoRequest::PoolByName(_) => (Ok(AdoResponse::Pool(None)), None),
                    AdoRequest::MayManage(_)
                    | AdoRequest::AgentByName(..)
                    | AdoRequest::Agents(..)
                    | AdoRequest::Agent(..)
                    | AdoRequest::SetAvailability(..)
                    | AdoRequest::Delete(..) => refuse(AdoErrorKind::NotFound, None),
                };
            }
            Some(AdoFault::RetryAfterOnSuccess(seconds)) => {
                return (
                    self.perform(request, token_is_good, Role::Administrator, now),
                    Some(pause(seconds)),
                );
            }
            Some(AdoFault::RoleMissing) => return (self.perform(request, token_is_good, Role::Reader, now), None),
            Some(AdoFault::IdentityUnknown) | None => {}
        }
        (self.perform(request, token_is_good, Role::Administrator, now), None)
    }

    fn perform(
        &mut self,
        request: &AdoRequest,
        token_is_good: bool,
        role: Role,
        now: u64,
    ) -> Result<AdoResponse, AdoError> {
        if *request != AdoRequest::Tenant && !token_is_good {
            return Err(failure(AdoErrorKind::Unauthorized));
        }
        match request {
            AdoRequest::Tenant => Ok(AdoResponse::Tenant(Some("tenant".to_owned()))),
            AdoRequest::PoolByName(_) => Ok(AdoResponse::Pool(Some(POOL))),
            AdoRequest::MayManage(_) => Ok(AdoResponse::MayManage(role == Role::Administrator)),
            AdoRequest::AgentByName(_, name) => Ok(AdoResponse::Agents(
                self.agents
                    .iter()
                    .filter(|(_, agent)| agent.name == *name)
                    .filter_map(|(id, _)| self.view(*id, Detail::All))
                    .collect(),
            )),
            AdoRequest::Agents(_, criteria) => {
                let mut shortlist = Shortlist::new(criteria.clone());
                for agent in self.agents.keys().filter_map(|id| self.view(*id, Detail::Listed)) {
                    shortlist.offer(agent);
                }
                Ok(AdoResponse::Shortlist(shortlist))
            }
            AdoRequest::Agent(_, id) => self
                .view(id.0, Detail::All)
                .map(|agent| AdoResponse::Agents(vec![agent]))
                .ok_or_else(|| failure(AdoErrorKind::NotFound)),
            AdoRequest::SetAvailability(..) | AdoRequest::Delete(..) if role == Role::Reader => {
                Err(failure(AdoErrorKind::Forbidden))
            }
            AdoRequest::SetAvailability(_, id, availability) => {
                self.set_enabled(id.0, *availability == Availability::Enabled, now)
            }
            AdoRequest::Delete(_, id) => self.delete(id.0, now),
        }
    }

    fn is_foreign(&self, id: i64, now: u64) -> bool {
        self.agents
            .get(&id)
            .is_some_and(|agent| agent.keeper == Keeper::Another && now.saturating_sub(agent.taken) > PROOF_MILLIS)
    }

    fn set_enabled(&mut self, id: i64, enabled: bool, now: u64) -> Result<AdoResponse, AdoError> {
        if self.is_foreign(id, now) {
            self.violations
                .push(format!("{now}: foreign agent {id} was set to enabled={enabled}"));
        }
        let agent = self
            .agents
            .get_mut(&id)
            .ok_or_else(|| failure(AdoErrorKind::NotFound))?;
        let by_person = agent.disabled_by_person;
        if !enabled && by_person.is_some_and(|at| now.saturating_sub(at) <= PROOF_MILLIS) {
            // Both at once: nobody can tell whose it was.
            agent.disabled_by_person = None;
        } else if enabled && by_person.is_some() {
            self.violations
                .push(format!("{now}: agent {id}, which a person disabled, was enabled"));
        }
        agent.enabled = enabled;
        Ok(AdoResponse::Done)
    }

    fn delete(&mut self, id: i64, now: u64) -> Result<AdoResponse, AdoError> {
        let agent = self.agents.get(&id).ok_or_else(|| failure(AdoErrorKind::NotFound))?;
        if agent.job.is_some() {
            self.refused_removal = Some(now);
            return Err(failure(AdoErrorKind::JobRunning));
        }
        let is_leftover = !agent.online && self.replaced_name.is_some_and(|name| name == agent.name);
        if self.is_foreign(id, now) && !is_leftover {
            self.violations.push(format!("{now}: foreign agent {id} was removed"));
        }
        self.agents.remove(&id);
        Ok(AdoResponse::Done)
    }

    /// Whether a job is assigned. Only an agent of ours is given one here; it keeps it when a successor takes it over, and
    /// the refusal to remove it says nothing of the successor.
    pub(crate) fn has_job(&self) -> bool {
        self.agents.values().any(|agent| agent.job.is_some())
    }

    /// Ids of the agents whose process is our pod's.
    pub(crate) fn ours(&self) -> Vec<i64> {
        self.agents
            .iter()
            .filter(|(_, agent)| agent.keeper == Keeper::Pod)
            .map(|(id, _)| *id)
            .collect()
    }
}

pub(crate) fn failure(kind: AdoErrorKind) -> AdoError {
    AdoError {
        kind,
        detail: format!("{kind:?}"),
        tenant: None,
    }
}
