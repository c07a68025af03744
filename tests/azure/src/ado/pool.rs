//! A pool in the hands of a test: what a person with all rights could do in the web pages.

use super::Ado;
use super::queue::{JobRefused, JobSpec};
use super::rights::Role;
use super::state::{AgentState, Job, PoolState, Session};
use super::view::{AgentView, JobView};
use crate::clock::Timestamp;
use crate::entra::Identity;
use crate::guid;
use std::collections::BTreeMap;

/// A pool. Clones are the same.
#[derive(Clone)]
pub struct Pool {
    pub(super) ado: Ado,
    pub(super) organization: String,
    pub(super) id: i64,
    pub(super) name: String,
}

impl Pool {
    /// Its id.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives a member of the organization a role here, or none.
    ///
    /// # Panics
    /// When the identity is no member.
    pub fn set_role(&self, who: &Identity, role: Option<Role>) {
        let mut state = self.ado.lock();
        let organization = state
            .organization_mut(&self.organization)
            .expect("pools have an organization");
        let member = organization
            .members
            .iter()
            .find(|member| member.object_id == who.object_id);
        let member = member
            .expect("roles are given to members of the organization")
            .id
            .clone();
        let pool = organization.pool_mut(self.id).expect("the pool was not deleted");
        match role {
            Some(role) => pool.roles.insert(member, role),
            None => pool.roles.remove(&member),
        };
    }

    /// Agents, oldest first.
    pub fn agents(&self) -> Vec<AgentView> {
        self.look(|pool| pool.agents.iter().map(|agent| AgentView::of(pool, agent)).collect())
    }

    /// An agent by name.
    pub fn agent(&self, name: &str) -> Option<AgentView> {
        self.agents().into_iter().find(|agent| agent.name == name)
    }

    /// Jobs, oldest first.
    pub fn jobs(&self) -> Vec<JobView> {
        self.look(|pool| pool.jobs.iter().map(JobView::of).collect())
    }

    fn look<T>(&self, look: impl FnOnce(&PoolState) -> T) -> T {
        let state = self.ado.lock();
        let organization = state.organization(&self.organization);
        let pool = organization.and_then(|organization| organization.pools.iter().find(|pool| pool.id == self.id));
        look(pool.expect("the pool was not deleted"))
    }

    /// Adds an agent that can never listen, such as KEDA's placeholder or somebody else's. Returns its id.
    pub fn add_agent(&self, name: &str, capabilities: &[(&str, &str)]) -> i64 {
        let id = self
            .ado
            .lock()
            .organization_mut(&self.organization)
            .expect("pools have an organization")
            .next_id();
        let capabilities = capabilities
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let system: BTreeMap<String, String> = capabilities.collect();
        self.change(|pool, now| pool.agents.push(AgentState::listing_only(id, name, system, now)));
        id
    }

    /// Changes an agent by id as a person does: enabled or not.
    pub fn set_enabled(&self, agent: i64, enabled: bool) {
        self.change(|pool, _| {
            if let Some(agent) = pool.agent_mut(agent) {
                agent.enabled = enabled;
            }
        });
    }

    /// Replaces what an agent says of itself, as opening a session does.
    pub fn set_capabilities(&self, agent: i64, capabilities: &[(&str, &str)]) {
        let capabilities = capabilities
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.change(|pool, _| {
            if let Some(agent) = pool.agent_mut(agent) {
                agent.system = capabilities;
            }
        });
    }

    /// Removes an agent behind everybody's back, whatever it does.
    pub fn remove_agent(&self, agent: i64) {
        self.change(|pool, now| {
            pool.end_session(agent, now);
            pool.agents.retain(|found| found.id != agent);
        });
    }

    /// Ends an agent's session, as after five minutes without a poll.
    pub fn end_session(&self, agent: i64) {
        self.change(|pool, now| {
            if let Some(agent) = pool.agent_mut(agent)
                && agent.session.take().is_some()
            {
                agent.status_changed = now;
            }
        });
    }

    /// Opens a session for an agent, or prolongs it, as if its listener had polled.
    pub fn open_session(&self, agent: i64, owner: &str) {
        self.change(|pool, now| {
            let Some(agent) = pool.agent_mut(agent) else {
                return;
            };
            match &mut agent.session {
                Some(session) => session.seen = now,
                None => {
                    agent.status_changed = now;
                    agent.session = Some(Session {
                        id: guid::random(),
                        owner: owner.to_owned(),
                        seen: now,
                        messages: Vec::new(),
                        last_message: 0,
                    });
                }
            }
        });
    }

    /// An access token of the agent's own, as whoever has its key gets one.
    ///
    /// # Panics
    /// When there is no such agent, or it can never listen.
    pub fn agent_token(&self, agent: i64) -> String {
        let client = self.look(|pool| pool.agent(agent)?.client.as_ref().map(|client| client.id.clone()));
        let client = client.expect("the agent was registered with a key");
        let mut state = self.ado.lock();
        let now = self.ado.clock().now();
        state.issue(&self.organization, self.id, agent, client, now)
    }

    /// Queues a job. Returns its request id.
    ///
    /// # Errors
    /// When no agent of the pool, online or offline, satisfies the demands.
    pub fn queue_job(&self, spec: JobSpec) -> Result<u64, JobRefused> {
        self.ado.queue_job(&self.organization, &self.name, spec)
    }

    /// Assigns a job to an agent, online or not, as if the agent had taken it: the agent is busy until the lock runs out
    /// or the job is finished. Returns the request id.
    pub fn make_busy(&self, agent: i64) -> u64 {
        let url = self.ado.organization_url(&self.organization);
        let mut state = self.ado.lock();
        let (now, timing) = (self.ado.clock().now(), state.timing);
        let organization = state
            .organization_mut(&self.organization)
            .expect("pools have an organization");
        organization.last_request += 1;
        let mut job = Job::new(organization.last_request, JobSpec::script("sleep 3600"), url, now);
        let id = job.id;
        let pool = organization.pool_mut(self.id).expect("the pool was not deleted");
        job.assigned = Some(now);
        job.received = Some(now);
        job.acknowledged = true;
        job.locked_until = Some(now.plus(timing.lock));
        job.agent = pool.agent(agent).map(|agent| (agent.id, agent.name.clone()));
        pool.jobs.push(job);
        drop(state);
        self.ado.touch();
        id
    }

    /// Adds jobs that ended long ago with an agent that is gone: the history of a pool that has been in use.
    pub fn add_history(&self, jobs: usize) {
        let url = self.ado.organization_url(&self.organization);
        let mut state = self.ado.lock();
        let now = self.ado.clock().now();
        let organization = state
            .organization_mut(&self.organization)
            .expect("pools have an organization");
        let first = organization.last_request + 1;
        organization.last_request += jobs as u64;
        let history = (first..=organization.last_request).map(|id| {
            let mut job = Job::new(id, JobSpec::script("true"), url.clone(), now);
            job.assigned = Some(now);
            job.received = Some(now);
            job.agent = Some((0, "gone".to_owned()));
            job.finish("succeeded", now);
            job
        });
        let pool = organization.pool_mut(self.id).expect("the pool was not deleted");
        pool.jobs.extend(history.collect::<Vec<_>>());
    }

    /// Ends a job with this result (`succeeded`, `failed`, `canceled`), whoever has it.
    pub fn finish_job(&self, job: u64, result: &str) {
        self.change(|pool, now| {
            if let Some(job) = pool.jobs.iter_mut().find(|found| found.id == job) {
                job.finish(result, now);
            }
        });
    }

    /// Asks the agent that has a job to cancel it, as the button in the portal does.
    pub fn cancel_job(&self, job: u64) {
        self.change(|pool, _| pool.cancel(job));
    }

    fn change(&self, change: impl FnOnce(&mut PoolState, Timestamp)) {
        let now = self.ado.clock().now();
        let mut state = self.ado.lock();
        let organization = state
            .organization_mut(&self.organization)
            .expect("pools have an organization");
        change(organization.pool_mut(self.id).expect("the pool was not deleted"), now);
        drop(state);
        self.ado.touch();
    }
}
