//! Agents and pools, as Azure DevOps describes them.

use crate::ServerTime;

/// How far `createdOn` and `Date` headers may be apart: both are the server's clock, but not the same machine's.
const SLACK_SECONDS: i64 = 5;

/// ID of an agent pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub i64);

/// ID of an agent within its pool. `--replace` keeps it, so it does not prove whose agent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(pub i64);

/// Whether Azure DevOps may assign jobs to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Availability {
    /// It may.
    Enabled,
    /// It may not; a job that is running goes on.
    Disabled,
}

/// An agent as Azure DevOps describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its ID.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// When it was created; `None` where the response has no readable `createdOn`.
    pub created: Option<ServerTime>,
    /// Whether Azure DevOps may assign jobs to it.
    pub enabled: bool,
    /// Whether it has a session.
    pub online: bool,
    /// Whether a job is assigned to it; `None` where assigned requests were not asked for.
    pub assigned: Option<bool>,
    /// Value of the capability `ADO_AGENT_OWNER`; `None` where the agent has none or capabilities were not asked for.
    pub owner: Option<String>,
}

impl Agent {
    /// Whether the agent has this name, as Azure DevOps compares names: without regard to case.
    pub fn is_named(&self, name: &str) -> bool {
        same_name(&self.name, name)
    }

    /// Whether the agent was created at or after this time, give or take the skew between the server's clocks; no, where
    /// either time is unknown.
    pub fn was_created_after(&self, time: Option<ServerTime>) -> bool {
        match (self.created, time) {
            (Some(created), Some(time)) => created.0 >= time.0.saturating_sub(SLACK_SECONDS),
            (None, _) | (_, None) => false,
        }
    }
}

/// Whether two names of agents or pools are the same to Azure DevOps, which ignores case.
pub fn same_name(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
