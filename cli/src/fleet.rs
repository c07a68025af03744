//! The agents and jobs of pools, read again and again: two requests a pool and reading, lists without capabilities, and each
//! agent looked at once when it is new or comes online again (its capabilities are those of its last session).

use crate::session::{Failure, Session};
use azure_protocol::{
    AdoErrorKind, AgentId, AgentPool, GetAgent, Include, JobRequest, ListAgents, ListJobRequests, ListPools, PoolId,
    ServerTime, TaskAgent,
};
use contract::{Foreign, Marker};
use std::collections::{BTreeMap, BTreeSet};
use sweep::{Listed, Listing};

/// Agents that are looked at in one reading; the others wait for the next.
const MOST_LOOKS: usize = 60;
/// Jobs that ended, in one reading.
const COMPLETED: u32 = 50;

/// A pool that is read.
#[derive(Debug)]
pub struct PoolReader {
    name: String,
    id: Option<PoolId>,
    looks: BTreeMap<AgentId, Look>,
}

/// What was seen of an agent when it was looked at.
#[derive(Debug, Clone)]
struct Look {
    created: Option<ServerTime>,
    /// Of the session whose capabilities were seen.
    status_changed: Option<ServerTime>,
    marker: Result<Marker, Foreign>,
}

/// A pool at one moment.
#[derive(Debug, Clone)]
pub struct PoolReading {
    /// The pool.
    pub pool: AgentPool,
    /// `Date` of the list of agents.
    pub date: ServerTime,
    /// Its agents, without capabilities.
    pub agents: Vec<FleetAgent>,
    /// Its jobs: all that wait or run, and the latest that ended.
    pub jobs: Vec<JobRequest>,
}

/// An agent of a pool.
#[derive(Debug, Clone)]
pub struct FleetAgent {
    /// The agent, as it was listed: with the job that it has and the one that it did last.
    pub agent: TaskAgent,
    /// Its marker; `None`: it was not looked at yet.
    pub marker: Option<Result<Marker, Foreign>>,
}

impl FleetAgent {
    /// The pod that it says is its own.
    pub fn owner(&self) -> Option<&Marker> {
        self.marker.as_ref()?.as_ref().ok()
    }
}

impl PoolReading {
    /// What the sweep needs of it.
    pub fn listing(&self) -> Listing {
        Listing {
            pool: self.pool.id,
            date: self.date,
            agents: self
                .agents
                .iter()
                .map(|agent| listed(&agent.agent, agent.marker.clone()))
                .collect(),
        }
    }
}

/// What the sweep needs of an agent.
pub fn listed(agent: &TaskAgent, marker: Option<Result<Marker, Foreign>>) -> Listed {
    Listed {
        id: agent.id,
        name: agent.name.clone(),
        created: agent.created,
        online: agent.online,
        busy: agent.assigned.is_some(),
        status_changed: agent.status_changed,
        marker,
    }
}

impl PoolReader {
    /// A pool by name; it is looked for at the first reading.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            looks: BTreeMap::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the pool.
    ///
    /// # Errors
    /// It does not exist, or one of its lists could not be read whole. An agent that could not be looked at is only left for the
    /// next reading.
    pub async fn read(&mut self, session: &Session) -> anyhow::Result<PoolReading> {
        let id = self.find(session).await?;
        let pool = AgentPool {
            id,
            name: self.name.clone(),
        };
        let agents = self.with_pool(
            session
                .ask(
                    &pool.name,
                    &ListAgents {
                        pool: id,
                        include: Include::AssignedAndCompleted,
                    },
                )
                .await,
        )?;
        let date = agents
            .date
            .ok_or_else(|| anyhow::anyhow!("the list of agents has no Date, so that nobody knows how old it is"))?;
        let jobs = self.with_pool(
            session
                .ask(
                    &pool.name,
                    &ListJobRequests {
                        pool: id,
                        completed: COMPLETED,
                    },
                )
                .await,
        )?;
        self.look(session, id, &agents.value).await;
        let agents = agents.value.into_iter().map(|agent| FleetAgent {
            marker: self.marker(&agent),
            agent,
        });
        Ok(PoolReading {
            pool,
            date,
            agents: agents.collect(),
            jobs: jobs.value,
        })
    }

    async fn find(&mut self, session: &Session) -> anyhow::Result<PoolId> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let list = ListPools {
            name: Some(self.name.clone()),
        };
        let pools = session.ask(&self.name, &list).await?.value;
        let [pool, ..] = pools.as_slice() else {
            anyhow::bail!(
                "pool \"{}\" does not exist at {}, or the identity may not see it; check the name and give the identity a \
                 role on the pool",
                self.name,
                session.url()
            );
        };
        self.id = Some(pool.id);
        Ok(pool.id)
    }

    /// A pool that is not found under its ID may have been made anew.
    fn with_pool<T>(&mut self, asked: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(&asked, Err(failure) if failure.kind() == Some(AdoErrorKind::NotFound)) {
            self.id = None;
            self.looks.clear();
        }
        asked
    }

    /// Looks at agents that are new or came online again; those that are online first, since a clash could be among them.
    async fn look(&mut self, session: &Session, pool: PoolId, agents: &[TaskAgent]) {
        let there: BTreeSet<AgentId> = agents.iter().map(|agent| agent.id).collect();
        self.looks.retain(|id, _| there.contains(id));
        let mut unseen: Vec<&TaskAgent> = agents.iter().filter(|agent| self.marker(agent).is_none()).collect();
        unseen.sort_by_key(|agent| (!agent.online, agent.id));
        for agent in unseen.into_iter().take(MOST_LOOKS) {
            let get = GetAgent { pool, agent: agent.id };
            match session.ask(&self.name, &get).await {
                Ok(asked) => {
                    let look = Look {
                        created: asked.value.created,
                        status_changed: asked.value.status_changed,
                        marker: asked.value.marker().ok_or(Foreign),
                    };
                    self.looks.insert(agent.id, look);
                }
                // It left between the two requests.
                Err(failure) if failure.kind() == Some(AdoErrorKind::NotFound) => {}
                Err(failure) => {
                    tracing::debug!(
                        pool = self.name,
                        agent = agent.id.0,
                        "the agent cannot be looked at: {failure}"
                    );
                    return;
                }
            }
        }
    }

    /// The marker that was seen, if it still counts.
    fn marker(&self, agent: &TaskAgent) -> Option<Result<Marker, Foreign>> {
        let look = self.looks.get(&agent.id)?;
        let same_session = !agent.online || look.status_changed == agent.status_changed;
        (look.created == agent.created && same_session).then(|| look.marker.clone())
    }
}
