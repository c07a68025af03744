//! What is known about a pool at one moment.

use crate::words::WorkerState;
use azure_protocol::{AgentId, ServerTime};

/// A pool of an organization, by the names that people know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    /// Name of the organization.
    pub organization: String,
    /// Name of the pool.
    pub name: String,
}

/// Whose agent it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A pod that is there.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// A pod of this namespace that is gone: the agent was left behind.
    Gone {
        /// Namespace of the pod.
        namespace: String,
    },
    /// Nobody: it holds a place in the pool.
    Placeholder {
        /// Namespace that keeps it.
        namespace: String,
    },
    /// Another cluster's, another namespace's, or nobody's that we know.
    Foreign,
}

impl Owner {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pod { .. } => "pod",
            Self::Gone { .. } => "gone",
            Self::Placeholder { .. } => "placeholder",
            Self::Foreign => "foreign",
        }
    }

    /// Every word.
    pub const WORDS: [&'static str; 4] = ["pod", "gone", "placeholder", "foreign"];

    /// Its namespace; empty for foreign agents.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Pod { namespace, .. } | Self::Gone { namespace } | Self::Placeholder { namespace } => namespace,
            Self::Foreign => "",
        }
    }
}

/// An agent of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its ID.
    pub id: AgentId,
    /// Whether it has a session.
    pub online: bool,
    /// Whether it may get jobs.
    pub enabled: bool,
    /// Whether a job is assigned to it.
    pub assigned: bool,
    /// Whose it is.
    pub owner: Owner,
}

impl Agent {
    /// What it is doing. An agent that went offline with a job is offline.
    pub fn state(&self) -> WorkerState {
        match (self.online, self.assigned, self.enabled) {
            (false, _, _) => WorkerState::Offline,
            (true, true, _) => WorkerState::Busy,
            (true, false, false) => WorkerState::Disabled,
            (true, false, true) => WorkerState::Available,
        }
    }
}

/// Both lists of a pool: its agents, and its jobs (all that wait or run, and the latest that ended).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When the jobs were listed, by the server's clock (its `Date`).
    pub time: ServerTime,
    /// Agents.
    pub agents: Vec<Agent>,
    /// Jobs.
    pub jobs: Vec<crate::Job>,
}

impl Listing {
    /// Namespace of the agent with this ID; empty where it is not ours.
    pub(crate) fn namespace(&self, agent: Option<AgentId>) -> &str {
        let found = self.agents.iter().find(|found| Some(found.id) == agent);
        found.map_or("", |found| found.owner.namespace())
    }
}
