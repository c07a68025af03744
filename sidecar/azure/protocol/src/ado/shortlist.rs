//! The few agents of a long list that may be a pod's.
//!
//! A pool may have any number of agents, and the sidecar has 32 MiB of memory. So a list is never held: each of its agents
//! is offered as it arrives, and only the best candidates are kept.

use super::{Agent, AgentId};
use crate::ServerTime;
use std::cmp::Reverse;

/// Which agents of a list may be a pod's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criteria {
    /// The name under which the agent is expected.
    pub agent_name: String,
    /// The pod's name, which an invented one may contain.
    pub pod_name: String,
    /// When the pod's sidecar started first.
    pub started: Option<ServerTime>,
    /// Agents that were fetched already and are left out.
    pub seen: Vec<AgentId>,
    /// How many to keep.
    pub most: usize,
}

/// Created since our start first, then names that contain ours, then live ones, then the oldest: ours registered soon after
/// our start.
type Rank = (Reverse<bool>, Reverse<bool>, Reverse<bool>, Option<ServerTime>, AgentId);

/// The best candidates, in the order in which to request each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortlist {
    criteria: Criteria,
    agents: Vec<(Rank, Agent)>,
    is_whole: bool,
}

impl Shortlist {
    /// An empty one.
    pub fn new(criteria: Criteria) -> Self {
        Self {
            criteria,
            agents: Vec::new(),
            is_whole: true,
        }
    }

    /// Keeps the agent if it may be ours and is a better candidate than one that is kept.
    pub fn offer(&mut self, agent: Agent) {
        let Some(rank) = self.criteria.rank(&agent) else {
            return;
        };
        let place = self.agents.partition_point(|(other, _)| *other <= rank);
        if self.agents.len() == self.criteria.most {
            self.is_whole = false;
            if place == self.agents.len() {
                return;
            }
            self.agents.pop();
        }
        self.agents.insert(place, (rank, agent));
    }

    /// The agents, the best candidate first.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter().map(|(_, agent)| agent)
    }

    /// Whether every agent that may be ours was kept.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

impl Criteria {
    /// `None` where the agent cannot be ours.
    fn rank(&self, agent: &Agent) -> Option<Rank> {
        let is_young = agent.was_created_after(self.started);
        let name = agent.name.to_lowercase();
        let ours = self.agent_name.to_lowercase();
        if !(is_young || name == ours) || self.seen.contains(&agent.id) {
            return None;
        }
        let is_akin = [ours, self.pod_name.to_lowercase()]
            .iter()
            .any(|ours| !ours.is_empty() && name.contains(ours));
        Some((
            Reverse(is_young),
            Reverse(is_akin),
            Reverse(agent.online),
            agent.created,
            agent.id,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: i64, name: &str, created: i64, online: bool) -> Agent {
        Agent {
            id: AgentId(id),
            name: name.to_owned(),
            created: Some(ServerTime(created)),
            enabled: true,
            online,
            assigned: None,
            owner: None,
        }
    }

    fn shortlist(most: usize) -> Shortlist {
        Shortlist::new(Criteria {
            agent_name: "Agent-0".to_owned(),
            pod_name: "pod-0".to_owned(),
            started: Some(ServerTime(1000)),
            seen: vec![AgentId(99)],
            most,
        })
    }

    fn ids(shortlist: &Shortlist) -> Vec<i64> {
        shortlist.agents().map(|agent| agent.id.0).collect()
    }

    #[test]
    fn the_best_candidates_are_kept_in_any_order() {
        let agents = [
            agent(1, "agent-0", 10, true), // our name, from before
            agent(2, "elsewhere", 10, true),
            agent(3, "x", 1010, false),
            agent(4, "x", 1005, true),
            agent(5, "x", 1006, true),
            agent(6, "POD-0-abc", 1020, false),
            agent(7, "x", 1001, false),
            agent(99, "agent-0", 1001, true),
        ];
        for turn in 0..agents.len() {
            let mut whole = shortlist(6);
            let mut short = shortlist(2);
            for agent in agents.iter().cycle().skip(turn).take(agents.len()) {
                whole.offer(agent.clone());
                short.offer(agent.clone());
            }
            assert_eq!((ids(&whole), whole.is_whole()), (vec![6, 4, 5, 7, 3, 1], true));
            assert_eq!((ids(&short), short.is_whole()), (vec![6, 4], false));
        }
    }
}
