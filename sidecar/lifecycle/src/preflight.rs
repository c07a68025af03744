//! What is checked before the agent may start: by reading only, never by a trial write.
//!
//! The pool is asked for by name first, which also proves that the organization is reachable and takes the token.

use crate::ownership::{owner, pod_of_our_namespace};
use crate::sentences::{self, Trouble};
use crate::{Settings, Snapshot};
use azure_protocol::{AdoRequest, Agent, PoolId};

/// The step that comes once the pool is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// May we manage the pool?
    Role,
    /// Is the agent's name free, ours, or at least not in use?
    Name,
    /// Everything was checked; the token file may still have to be written.
    Passed,
}

/// Who has the agent's name, where that does not hold the agent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An offline agent.
    LeftOver,
    /// The agent of this other pod of our namespace, which is online.
    Pod(String),
}

impl Preflight {
    pub(crate) fn question(self, pool: PoolId, settings: &Settings) -> Option<AdoRequest> {
        match self {
            Self::Role => Some(AdoRequest::MayManage(pool)),
            Self::Name => Some(AdoRequest::AgentByName(pool, settings.agent_name.clone())),
            Self::Passed => None,
        }
    }

    pub(crate) fn role(&mut self, may_manage: bool, settings: &Settings) -> Result<(), Trouble> {
        if may_manage {
            *self = Self::Name;
            Ok(())
        } else {
            Err(sentences::role_missing(settings))
        }
    }

    /// A live agent of this name that is not ours blocks, unless it is one of our namespace: of two pods with one name the
    /// newer takes it over, or a rolling update would wait for a pod that waits for it. An offline one does not block, either: it
    /// is what a pod before us left behind. Start scripts configure with `--replace`.
    pub(crate) fn name(
        &mut self,
        agents: &[Agent],
        settings: &Settings,
        kept: &Snapshot,
    ) -> Result<Option<Holder>, Trouble> {
        let stranger = agents
            .iter()
            .filter(|agent| agent.is_named(&settings.agent_name))
            .find(|agent| !owner(agent, settings, kept.started).is_us());
        let holder = match stranger {
            None => None,
            Some(agent) if !agent.online => Some(Holder::LeftOver),
            Some(agent) => match pod_of_our_namespace(agent, settings) {
                Some(pod) => Some(Holder::Pod(pod)),
                None => return Err(sentences::name_taken(settings)),
            },
        };
        *self = Self::Passed;
        Ok(holder)
    }
}
