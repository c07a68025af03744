//! The agent that this pod registered through the gateway: the sidecar observed it, so nothing has to be inferred.

use crate::Snapshot;
use azure_protocol::{Agent, AgentId, ServerTime, same_name};
use contract::Marker;

/// How far the creation times of one agent in two answers may be apart.
const SLACK_SECONDS: u64 = 5;

/// The agent that this pod registered last. There is one at a time: the next registration begins when the one before is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Its request is being sent or was sent; its result is not known.
    Begun {
        /// The agent's name.
        name: String,
        /// When it began, by the server's clock.
        since: Option<ServerTime>,
    },
    /// Azure DevOps registered it.
    Known(Registered),
    /// It was in the pool and is not any more.
    Gone {
        /// The agent's ID.
        id: AgentId,
        /// The agent's name.
        name: String,
        /// Who removed it.
        by: Remover,
    },
}

/// An agent that Azure DevOps registered for this pod. Its ID is never given to another one, so with its creation time it is
/// proof enough; what the agent says of itself (the marker) proves nothing here, since a job can change that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// ID.
    pub id: AgentId,
    /// When it was created.
    pub created: Option<ServerTime>,
    /// Name.
    pub name: String,
    /// Whether it has a session, as far as the gateway saw.
    pub is_online: bool,
}

/// Who removed an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remover {
    /// The sidecar.
    Sidecar,
    /// Its start script, or somebody outside the pod.
    Another,
}

impl Registration {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Begun { name, .. } | Self::Gone { name, .. } => name,
            Self::Known(registered) => &registered.name,
        }
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        same_name(self.name(), name)
    }
}

/// Whether an agent matches the registration of this pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// It is the agent that this pod registered.
    Ours,
    /// It may be: no answer to the registration came, and it has the name and was created since, but carries another pod's marker.
    /// Its owner can change that at any time, and another pod may have taken the name in between, so it is undecidable.
    Doubtful,
    /// It is not.
    None,
}

/// Whether this agent is the one that the pod registered. Where no answer to its registration came, name, marker and
/// age decide; a start script that uses `sudo` drops the marker.
pub(crate) fn match_of(agent: &Agent, marker: &Marker, snapshot: &Snapshot) -> Match {
    match &snapshot.registration {
        Some(Registration::Known(registered)) => {
            // An unknown time proves nothing, and the times of two answers may be rounded.
            let differs = match (agent.created, registered.created) {
                (Some(now), Some(then)) => now.0.abs_diff(then.0) > SLACK_SECONDS,
                (None, _) | (_, None) => false,
            };
            if agent.id == registered.id && !differs {
                Match::Ours
            } else {
                Match::None
            }
        }
        Some(Registration::Begun { name, since }) => {
            let carries_another = agent
                .owner
                .as_deref()
                .is_some_and(|text| Marker::parse(text).as_ref() != Ok(marker));
            match agent.is_named(name) && agent.was_created_after(since.or(snapshot.started)) {
                true if carries_another => Match::Doubtful,
                true => Match::Ours,
                false => Match::None,
            }
        }
        Some(Registration::Gone { .. }) | None => Match::None,
    }
}
