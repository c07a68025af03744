//! What was seen, and what a person reads of it.

pub(crate) mod rows;

use azure_protocol::{ServerTime, TaskAgent};

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    /// Pods with the sidecar.
    pub(crate) pods: Vec<AgentPod>,
    /// What Azure DevOps said; `None`: it was not asked.
    pub(crate) azure: Option<Azure>,
}

/// A pod with the sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) sidecar: Sidecar,
}

/// What came of asking a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sidecar {
    /// It answered.
    Says(Probe),
    /// It does not run: why, or its last words.
    Stopped(String),
    /// It could not be asked.
    Unasked(String),
}

/// What `ado-agent-sidecar probe --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Probe {
    pub(crate) reason: String,
    pub(crate) sentence: String,
    pub(crate) organization: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) agent: Option<String>,
    /// Age of the token, and how long it is still valid, in seconds.
    pub(crate) token: Option<(u64, u64)>,
}

impl Probe {
    /// Reads the line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(line.trim()).ok()?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let token = &value[contract::PROBE_TOKEN];
        let seconds = |key: &str| token[key].as_u64();
        Some(Self {
            reason: text(contract::PROBE_REASON)?,
            sentence: text(contract::PROBE_SENTENCE)?,
            organization: text(contract::PROBE_ORGANIZATION),
            pool: text(contract::PROBE_POOL),
            agent: text(contract::PROBE_AGENT),
            token: seconds(contract::PROBE_TOKEN_AGE).zip(seconds(contract::PROBE_TOKEN_REMAINING)),
        })
    }

    /// Whether something is wrong: every reason but those of a life without trouble.
    pub(crate) fn is_trouble(&self) -> bool {
        use contract::StateReason::{Draining, Online, Ready, Starting, Used};
        ![Starting, Ready, Online, Used, Draining]
            .iter()
            .any(|good| good.as_str() == self.reason)
    }
}

impl AgentPod {
    pub(crate) fn probe(&self) -> Option<&Probe> {
        match &self.sidecar {
            Sidecar::Says(probe) => Some(probe),
            Sidecar::Stopped(_) | Sidecar::Unasked(_) => None,
        }
    }
}

/// What Azure DevOps said.
#[derive(Debug, Clone)]
pub(crate) struct Azure {
    /// Each pool that was asked for, by organization and name, with its agents.
    pub(crate) pools: Vec<Pool>,
    /// Agents of this cluster whose pod is gone.
    pub(crate) left: Vec<Left>,
    /// What could not be asked, as sentences.
    pub(crate) problems: Vec<String>,
    /// Now, to count from.
    pub(crate) now: ServerTime,
}

/// A pool.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) organization: String,
    pub(crate) name: String,
    pub(crate) agents: Vec<TaskAgent>,
}

/// An agent whose pod is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) organization: String,
    pub(crate) pool: String,
    pub(crate) pool_id: i64,
    pub(crate) agent: String,
    pub(crate) agent_id: i64,
    pub(crate) pod: String,
    pub(crate) namespace: String,
}

impl Azure {
    /// The agent of a pod, by the name and pool that its sidecar says.
    pub(crate) fn agent(&self, probe: &Probe) -> Option<&TaskAgent> {
        let (organization, pool, name) = (
            probe.organization.as_ref()?,
            probe.pool.as_ref()?,
            probe.agent.as_ref()?,
        );
        let pool = self
            .pools
            .iter()
            .find(|one| one.organization == *organization && azure_protocol::same_name(&one.name, pool))?;
        pool.agents
            .iter()
            .find(|agent| azure_protocol::same_name(&agent.name, name))
    }
}
