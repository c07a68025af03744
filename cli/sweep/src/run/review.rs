//! What a list alone says: which agents to ask about, and which stay without a question.

use super::{Candidate, Index, Run, Settings, Stage, Task, resting, verdict};
use crate::{Decision, Entry, Kept, Life, Listed, Listing, Pod, Sighting};
use azure_protocol::ServerTime;
use contract::Marker;
use std::collections::BTreeSet;

/// Questions about pods that were not listed, and about agents that were not, in one run.
const MOST_QUESTIONS: usize = 100;
/// An agent has to be seen offline twice, at least so far apart, in seconds.
const BETWEEN: i64 = 30;
/// And at most so far: what an old copy of the ledger says does not count.
const AT_MOST: i64 = 3_600;

impl Run<'_> {
    pub(super) fn review(&mut self, listing: &Listing, pods: &[Pod]) {
        let index: Index<'_> = listing.agents.iter().map(|agent| (agent.id, agent)).collect();
        let living: BTreeSet<&str> = pods
            .iter()
            .filter(|pod| pod.life == Life::Lives)
            .map(|pod| pod.uid.as_str())
            .collect();
        let shown: BTreeSet<&str> = pods.iter().map(|pod| pod.uid.as_str()).collect();
        let missing = self
            .ledger
            .entries
            .iter()
            .filter(|(uid, entry)| entry.gone.is_none() && !shown.contains(uid.as_str()))
            .map(|(uid, _)| Task::Pod(uid.clone()));
        let missing: Vec<Task> = missing.take(MOST_QUESTIONS).collect();
        self.tasks.extend(missing);
        self.suspects(listing);
        self.absent(&index);
        let is_read = listing
            .agents
            .iter()
            .all(|agent| !agent.online || agent.marker.is_some());
        self.candidates(&index, &living, is_read);
        self.unknown(listing);
        self.skip();
    }

    /// Agents that are online and ours by their marker, of whose pod nobody knows.
    fn suspects(&mut self, listing: &Listing) {
        for agent in listing.agents.iter().filter(|agent| agent.online) {
            if let Some(marker) = self.stranger(agent) {
                self.tasks.push_back(Task::Suspect(Box::new(agent.clone()), marker));
            }
        }
    }

    /// Agents that are offline and ours by their marker, of whose pod nobody knows: a person's business.
    fn unknown(&mut self, listing: &Listing) {
        for agent in &listing.agents {
            if resting(agent, self.date, self.settings).is_err() || self.settings.is_placeholder(&agent.name) {
                continue;
            }
            if let Some(marker) = self.stranger(agent) {
                self.verdicts.push(verdict(self.pool, agent, marker, Decision::Unknown));
            }
        }
    }

    /// The marker of an agent of our clusters and namespaces whose pod is not in the ledger.
    fn stranger(&self, agent: &Listed) -> Option<Marker> {
        let marker = agent.owner()?;
        let ours = self.settings.namespaces.contains(&marker.namespace)
            && self.clusters.contains(&marker.cluster)
            && !self.ledger.entries.contains_key(&marker.uid);
        ours.then(|| marker.clone())
    }

    /// Agents of the ledger that the list does not show.
    fn absent(&mut self, index: &Index<'_>) {
        let claimed: BTreeSet<&str> = index
            .values()
            .filter_map(|agent| Some(agent.owner()?.uid.as_str()))
            .collect();
        let absent = self.ledger.entries.iter().filter_map(|(uid, entry)| {
            let registered = entry.agent.filter(|agent| agent.pool == self.pool)?;
            // While the pod lives, it matters only if the pod has another agent by now.
            let matters = entry.gone.is_some() || claimed.contains(uid.as_str());
            (matters && !index.contains_key(&registered.id)).then(|| Task::Absent(uid.clone(), registered))
        });
        let absent: Vec<Task> = absent.take(MOST_QUESTIONS).collect();
        self.tasks.extend(absent);
    }

    /// Agents of the ledger that may be removed, the longest offline first.
    fn candidates(&mut self, index: &Index<'_>, living: &BTreeSet<&str>, is_read: bool) {
        let mut candidates = Vec::new();
        for (uid, entry) in &mut self.ledger.entries {
            let Some(registered) = entry.agent.filter(|agent| agent.pool == self.pool) else {
                continue;
            };
            let Some(agent) = index.get(&registered.id) else {
                continue;
            };
            let judged = if living.contains(uid.as_str()) {
                Err(Kept::PodExists)
            } else {
                judge(entry, agent, registered.created, self.date, self.settings)
            };
            let marker = Marker {
                cluster: entry.cluster.clone(),
                namespace: entry.namespace.clone(),
                pod: entry.pod.clone(),
                uid: uid.clone(),
            };
            let verdict = |decision| verdict(self.pool, agent, marker, decision);
            match judged {
                Ok(()) if !is_read => self.verdicts.push(verdict(Decision::Kept(Kept::Unread))),
                Ok(()) => candidates.push(Candidate {
                    verdict: verdict(Decision::WouldRemove),
                    registered,
                    stage: Stage::Pod,
                }),
                // Nothing is to be said of an agent that is at work or whose pod is there.
                Err(Kept::PodExists | Kept::Online) => entry.seen_offline = None,
                Err(kept) => self.verdicts.push(verdict(Decision::Kept(kept))),
            }
        }
        candidates.sort_by_key(|candidate| (candidate.verdict.status_changed, candidate.registered.id));
        let candidates = candidates
            .into_iter()
            .map(|candidate| Task::Candidate(Box::new(candidate)));
        self.tasks.extend(candidates);
    }
}

/// Whether an agent of the ledger may be asked about, as far as the list says; notes that it was seen.
fn judge(
    entry: &mut Entry,
    agent: &Listed,
    created: ServerTime,
    date: ServerTime,
    settings: &Settings,
) -> Result<(), Kept> {
    if entry.placeholder || settings.is_placeholder(&agent.name) {
        return Err(Kept::Placeholder);
    }
    if agent.created != Some(created) {
        return Err(Kept::Replaced);
    }
    let since = resting(agent, date, settings).inspect_err(|_| entry.seen_offline = None)?;
    let age = |sighting: Sighting| date.0.saturating_sub(sighting.at.0);
    match entry.seen_offline {
        Some(sighting) if sighting.status_changed == since && (0..=AT_MOST).contains(&age(sighting)) => {
            if age(sighting) >= BETWEEN {
                Ok(())
            } else {
                Err(Kept::SeenOnce)
            }
        }
        Some(_) | None => {
            entry.seen_offline = Some(Sighting {
                at: date,
                status_changed: since,
            });
            Err(Kept::SeenOnce)
        }
    }
}
