//! Whose agents are, and what a verdict means for who looks on.

use super::super::Round;
use azure_protocol::{AgentId, ServerTime, same_name};
use observe::{Agent, OrphanState, Owner, SweepOutcome};
use std::collections::{BTreeMap, BTreeSet};
use sweep::{Decision, Kept};

/// Agents of this pool in the ledger, with the UIDs of their pods.
pub(super) fn known(round: &Round<'_>) -> BTreeMap<(AgentId, ServerTime), String> {
    let entries = round.ledger.entries().iter();
    entries
        .filter_map(|(uid, entry)| {
            let agent = entry.agent.filter(|agent| agent.pool == round.reading.pool.id)?;
            Some(((agent.id, agent.created), uid.clone()))
        })
        .collect()
}

/// The pool's agents, each with its owner, but for those that the sweep found gone or removed after the pool was read.
pub(super) fn agents(round: &Round<'_>, placeholders: &[String]) -> Vec<Agent> {
    let known = known(round);
    let there: BTreeSet<&str> = round.pods.iter().map(|pod| pod.uid.as_str()).collect();
    let reported: BTreeMap<AgentId, &str> = round
        .verdicts
        .iter()
        .filter(|verdict| orphan(&verdict.decision).is_some())
        .map(|verdict| (verdict.agent, verdict.pod.namespace.as_str()))
        .collect();
    let owner = |agent: &azure_protocol::TaskAgent| {
        let is_placeholder = placeholders.iter().any(|name| same_name(name, &agent.name));
        let uid = agent.created.and_then(|created| known.get(&(agent.id, created)));
        let entry = uid.and_then(|uid| Some((uid, round.ledger.entries().get(uid)?)));
        match (entry, reported.get(&agent.id)) {
            (Some((_, entry)), _) if entry.placeholder || is_placeholder => Owner::Placeholder {
                namespace: entry.namespace.clone(),
            },
            (None, None) if is_placeholder => Owner::Placeholder {
                namespace: String::new(),
            },
            (Some((uid, entry)), _) if there.contains(uid.as_str()) => Owner::Pod {
                namespace: entry.namespace.clone(),
                pod: entry.pod.clone(),
            },
            (Some((_, entry)), _) => Owner::Gone {
                namespace: entry.namespace.clone(),
            },
            (None, Some(namespace)) => Owner::Gone {
                namespace: (*namespace).to_owned(),
            },
            (None, None) => Owner::Foreign,
        }
    };
    let gone: BTreeSet<AgentId> = round
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict.decision, Decision::Removed | Decision::AlreadyGone))
        .map(|verdict| verdict.agent)
        .collect();
    let agents = round.reading.agents.iter().map(|agent| &agent.agent);
    agents
        .filter(|agent| !gone.contains(&agent.id))
        .map(|agent| Agent {
            id: agent.id,
            online: agent.online,
            enabled: agent.enabled,
            assigned: agent.assigned.is_some(),
            owner: owner(agent),
        })
        .collect()
}

/// Why the agent is still there; `None`: it is not, or its pod is not gone.
pub(super) fn orphan(decision: &Decision) -> Option<OrphanState> {
    match decision {
        Decision::WouldRemove | Decision::Failed(_) | Decision::Kept(Kept::Limit | Kept::Stopped) => {
            Some(OrphanState::Due)
        }
        Decision::Kept(Kept::Busy) => Some(OrphanState::Assigned),
        Decision::Kept(Kept::Young | Kept::SeenOnce | Kept::NoTime | Kept::Unread) => Some(OrphanState::Waiting),
        Decision::Kept(Kept::Clash) => Some(OrphanState::Clash),
        Decision::Unknown => Some(OrphanState::Unproven),
        Decision::Removed
        | Decision::AlreadyGone
        | Decision::Clash
        | Decision::Kept(Kept::Placeholder | Kept::Online | Kept::Replaced | Kept::PodExists) => None,
    }
}

/// What the sweep did; `None`: nothing.
pub(super) fn outcome(decision: &Decision) -> Option<SweepOutcome> {
    match decision {
        Decision::Removed => Some(SweepOutcome::Removed),
        Decision::AlreadyGone => Some(SweepOutcome::AlreadyGone),
        Decision::Failed(_) => Some(SweepOutcome::Failed),
        Decision::WouldRemove | Decision::Kept(_) | Decision::Clash | Decision::Unknown => None,
    }
}

/// Whether an Event says that the agent was left behind. One that went offline just now may be on its way out: its sidecar removes it.
pub(super) fn is_left(decision: &Decision) -> bool {
    !matches!(decision, Decision::Kept(Kept::Young)) && orphan(decision).is_some()
}
