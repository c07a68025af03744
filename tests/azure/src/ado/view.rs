//! What tests look at and wait for: a copy of the pools as they are, as plain values.

use super::rights::Role;
use super::state::{AgentState, Job, PoolState, State};
use crate::clock::Timestamp;
use crate::recording::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct AdoView {
    /// All pools of all organizations.
    pub pools: Vec<PoolView>,
    /// All requests, oldest first.
    pub requests: Vec<Record>,
}

/// A pool.
#[derive(Debug, Clone, Serialize)]
pub struct PoolView {
    /// Organization.
    pub organization: String,
    /// Id.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Whether new projects get it.
    pub auto_provision: bool,
    /// Whether agents are told to update themselves.
    pub auto_update: bool,
    /// Roles by member's name.
    pub roles: BTreeMap<String, Role>,
    /// Agents, oldest first.
    pub agents: Vec<AgentView>,
    /// Jobs, oldest first.
    pub jobs: Vec<JobView>,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Id; stays when the agent is replaced.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Whether it may get jobs.
    pub enabled: bool,
    /// Whether it has a session.
    pub online: bool,
    /// Who holds the session: a host name.
    pub session_owner: Option<String>,
    /// Whether it has a key and could open a session.
    pub can_listen: bool,
    /// The job that is assigned to it.
    pub job: Option<u64>,
    /// When it was added.
    pub created: Timestamp,
    /// When it last came or went.
    pub status_changed: Timestamp,
    /// What it told about itself.
    pub system_capabilities: BTreeMap<String, String>,
    /// What people added.
    pub user_capabilities: BTreeMap<String, String>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for an agent.
    Queued,
    /// It has an agent.
    Assigned,
    /// It is over.
    Finished,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Request id.
    pub id: u64,
    /// Display name.
    pub name: String,
    /// Where it is.
    pub state: JobState,
    /// `succeeded`, `failed`, `canceled`, `abandoned` (its lock ran out).
    pub result: Option<String>,
    /// Name of the agent that has or had it.
    pub agent: Option<String>,
    /// Until when the agent holds it.
    pub locked_until: Option<Timestamp>,
}

impl AdoView {
    pub(super) fn of(state: &State, requests: Vec<Record>) -> Self {
        let pools = state.organizations.iter().flat_map(|organization| {
            organization.pools.iter().map(|pool| PoolView {
                organization: organization.name.clone(),
                id: pool.id,
                name: pool.name.clone(),
                auto_provision: pool.auto_provision,
                auto_update: pool.auto_update,
                roles: pool
                    .roles
                    .iter()
                    .filter_map(|(id, role)| Some((organization.member(id)?.name.clone(), *role)))
                    .collect(),
                agents: pool.agents.iter().map(|agent| AgentView::of(pool, agent)).collect(),
                jobs: pool.jobs.iter().map(JobView::of).collect(),
            })
        });
        Self {
            pools: pools.collect(),
            requests,
        }
    }

    /// A pool by name.
    pub fn pool(&self, name: &str) -> Option<&PoolView> {
        self.pools.iter().find(|pool| pool.name.eq_ignore_ascii_case(name))
    }

    /// An agent by pool and name.
    pub fn agent(&self, pool: &str, name: &str) -> Option<&AgentView> {
        self.agents(pool).iter().find(|agent| agent.name == name)
    }

    /// A pool's agents; none where there is no such pool.
    pub fn agents(&self, pool: &str) -> &[AgentView] {
        self.pool(pool).map_or(&[], |pool| &pool.agents)
    }

    /// A job by id.
    pub fn job(&self, id: u64) -> Option<&JobView> {
        self.pools.iter().flat_map(|pool| &pool.jobs).find(|job| job.id == id)
    }

    /// How many requests went to a route, by the name of [`Record::route`].
    pub fn count(&self, route: &str) -> usize {
        self.requests.iter().filter(|record| record.route == route).count()
    }

    pub(super) fn describe(&self) -> String {
        let pools = self.pools.iter().map(|pool| {
            let agents: Vec<String> = pool
                .agents
                .iter()
                .map(|agent| {
                    format!(
                        "{} (id {}, {}, {}, job {:?})",
                        agent.name,
                        agent.id,
                        if agent.online { "online" } else { "offline" },
                        if agent.enabled { "enabled" } else { "disabled" },
                        agent.job
                    )
                })
                .collect();
            let jobs: Vec<String> = pool
                .jobs
                .iter()
                .map(|job| format!("{} {:?} {:?}", job.id, job.state, job.result))
                .collect();
            format!("pool {}: agents {agents:?}, jobs {jobs:?}\n", pool.name)
        });
        format!(
            "{}{}",
            pools.collect::<String>(),
            crate::recording::summary(&self.requests)
        )
    }
}

impl AgentView {
    pub(super) fn of(pool: &PoolState, agent: &AgentState) -> Self {
        Self {
            id: agent.id,
            name: agent.name.clone(),
            version: agent.version.clone(),
            enabled: agent.enabled,
            online: agent.session.is_some(),
            session_owner: agent.session.as_ref().map(|session| session.owner.clone()),
            can_listen: agent.client.is_some(),
            job: pool.assigned(agent.id).map(|job| job.id),
            created: agent.created,
            status_changed: agent.status_changed,
            system_capabilities: agent.system.clone(),
            user_capabilities: agent.user.clone(),
        }
    }
}

impl JobView {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            id: job.id,
            name: job.name.clone(),
            state: match (job.finished, job.assigned) {
                (Some(_), _) => JobState::Finished,
                (None, Some(_)) => JobState::Assigned,
                (None, None) => JobState::Queued,
            },
            result: job.result.clone(),
            agent: job.agent.as_ref().map(|(_, name)| name.clone()),
            locked_until: job.locked_until,
        }
    }
}
