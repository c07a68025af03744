//! What a run asks and what it is told.

use crate::{Listed, Pod};
use azure_protocol::{AgentId, PoolId, ServerTime};
use std::collections::BTreeSet;

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespaces whose pods are seen.
    pub namespaces: BTreeSet<String>,
    /// For how long an agent has to be offline, in seconds.
    pub offline_seconds: i64,
    /// Names of agents that stay, without regard to case.
    pub placeholders: Vec<String>,
}

impl Settings {
    /// How long an agent has to be offline unless the operator says otherwise: the longer of a session (5 minutes) and a job's
    /// lock (10).
    pub const OFFLINE_SECONDS: i64 = 600;

    /// The defaults, for these namespaces.
    pub fn new(namespaces: impl IntoIterator<Item = String>) -> Self {
        Self {
            namespaces: namespaces.into_iter().collect(),
            offline_seconds: Self::OFFLINE_SECONDS,
            placeholders: Vec::new(),
        }
    }

    pub(super) fn is_placeholder(&self, name: &str) -> bool {
        self.placeholders
            .iter()
            .any(|placeholder| azure_protocol::same_name(placeholder, name))
    }
}

/// Whether agents are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Remove,
    /// It is only said which would be.
    DryRun,
}

/// What a run wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The pod of this name, by a GET; then [`crate::Run::pod`].
    GetPod {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// The agent with its capabilities; then [`crate::Run::agent`].
    GetAgent(PoolId, AgentId),
    /// The agent's removal; then [`crate::Run::deleted`].
    Delete(PoolId, AgentId),
    /// Nothing more.
    Done,
}

/// What the API server said of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodAnswer {
    /// 404.
    Gone,
    /// There is a pod of this name, with this UID.
    Present(Pod),
    /// There is a pod of this name without our sidecar, with this UID.
    Foreign {
        /// Its UID.
        uid: String,
    },
    /// Any other answer, or none.
    Unreadable(String),
}

/// What Azure DevOps said of an agent.
#[derive(Debug, Clone)]
pub enum AgentAnswer {
    /// 404.
    Gone,
    /// The agent, with its marker, at this time of the server's clock.
    Present(Box<Listed>, ServerTime),
    /// Any other answer, or none.
    Unreadable(String),
}

/// What Azure DevOps said to a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// The agent was removed.
    Removed,
    /// There was none (404).
    Gone,
    /// It has a job.
    Busy,
    /// Any other answer, or none.
    Failed(String),
}
