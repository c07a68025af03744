//! Which pod owns an agent. The marker decides; see "Trust" in `docs/security.md` for what a job can forge.

use crate::{Settings, Snapshot};
use azure_protocol::{Agent, ServerTime};
use contract::Marker;

/// Who owns an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It carries our marker.
    Ours,
    /// It carries no marker, but our name, and it was created after our start: an image that clears its environment (`sudo`).
    Adoptable,
    /// It carries another pod's marker, or one that this version cannot read.
    Another,
    /// It carries no marker and nothing proves it ours.
    Unproven,
}

impl Owner {
    /// Whether we may disable and remove the agent.
    pub(crate) fn is_ours(self) -> bool {
        match self {
            Self::Ours | Self::Adoptable => true,
            Self::Another | Self::Unproven => false,
        }
    }
}

/// Decides by the newest response; `started` is when our first run started.
pub(crate) fn owner(agent: &Agent, settings: &Settings, started: Option<ServerTime>) -> Owner {
    match &agent.owner {
        Some(text) if Marker::parse(text).as_ref() == Ok(&settings.marker) => Owner::Ours,
        Some(_) => Owner::Another,
        None if agent.is_named(&settings.agent_name) && agent.was_created_after(started) => Owner::Adoptable,
        None => Owner::Unproven,
    }
}

/// Whether this is the agent that was first seen with our marker. `--replace` keeps ID and creation time, so a
/// successor that took the agent over is the same agent.
pub(crate) fn is_pinned(agent: &Agent, snapshot: &Snapshot) -> bool {
    snapshot.pinned.is_some_and(|(id, created)| {
        // An unknown time proves nothing.
        let differs = matches!((agent.created, created), (Some(now), Some(then)) if now != then);
        agent.id == id && !differs
    })
}

/// Whether an agent that is not provably ours may be all the same: a job can change the marker of its own agent, and may have
/// done so before we saw it.
pub(crate) fn may_have_been_ours(agent: &Agent, settings: &Settings, snapshot: &Snapshot) -> bool {
    let never_seen = snapshot.pinned.is_none();
    is_pinned(agent, snapshot)
        || never_seen && agent.is_named(&settings.agent_name) && agent.was_created_after(snapshot.started)
}

/// The pod of our cluster and namespace whose marker the agent carries: ours, or another one that its owner may have replaced
/// by us.
pub(crate) fn pod_of_our_namespace(agent: &Agent, settings: &Settings) -> Option<String> {
    let marker = Marker::parse(agent.owner.as_deref()?).ok()?;
    let ours = &settings.marker;
    (marker.cluster == ours.cluster && marker.namespace == ours.namespace).then_some(marker.pod)
}
