//! One look at one pool, and what follows of it: a machine that says what it wants to know next.
//!
//! First the ledger learns which of its pods are gone, then come the agents that could mean a clash, then those that are no
//! longer in the pool, then those that may be removed, each with fresh answers.

mod review;
mod step;

pub use step::{AgentAnswer, DeleteAnswer, Mode, PodAnswer, Settings, Step};

use crate::{Decision, Kept, Ledger, Listed, Listing, Pod, PodRef, Registered, Verdict};
use azure_protocol::{AgentId, PoolId, ServerTime};
use contract::Marker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is being found out.
#[derive(Debug, Clone)]
enum Task {
    /// Is this pod of the ledger, which was not listed, gone?
    Pod(String),
    /// Is the pod of this agent, which is online and of which nobody knows, there?
    Suspect(Box<Listed>, Marker),
    /// Is this agent of the ledger, which was not listed, gone?
    Absent(String, Registered),
    /// May this agent be removed?
    Candidate(Box<Candidate>),
}

#[derive(Debug, Clone)]
struct Candidate {
    verdict: Verdict,
    registered: Registered,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pod,
    Agent,
    Delete,
}

/// One look at one pool.
#[derive(Debug)]
pub struct Run<'a> {
    ledger: &'a mut Ledger,
    settings: &'a Settings,
    mode: Mode,
    date: ServerTime,
    pool: PoolId,
    tasks: VecDeque<Task>,
    verdicts: Vec<Verdict>,
    clashes: BTreeSet<(String, String)>,
    /// IDs that our cluster has or had.
    clusters: BTreeSet<String>,
    removed: usize,
    limit: usize,
    stopped: Option<String>,
}

impl<'a> Run<'a> {
    /// Looks at a pool. `pods` are those that the API server showed; that one is missing there proves nothing.
    pub fn new(ledger: &'a mut Ledger, listing: &Listing, pods: &[Pod], settings: &'a Settings, mode: Mode) -> Self {
        ledger.see_pods(pods);
        ledger.see_agents(listing);
        ledger.forget(listing.date);
        let clusters = ledger.entries.values().map(|entry| entry.cluster.clone()).collect();
        let mut run = Self {
            clusters,
            ledger,
            settings,
            mode,
            date: listing.date,
            pool: listing.pool,
            tasks: VecDeque::new(),
            verdicts: Vec::new(),
            clashes: BTreeSet::new(),
            removed: 0,
            limit: limit(listing.agents.len()),
            stopped: None,
        };
        run.review(listing, pods);
        run
    }

    /// What it wants next.
    pub fn next(&self) -> Step {
        match self.tasks.front() {
            None => Step::Done,
            Some(Task::Pod(uid)) => self.ledger.entries.get(uid).map_or(Step::Done, |entry| Step::GetPod {
                namespace: entry.namespace.clone(),
                name: entry.pod.clone(),
            }),
            Some(Task::Suspect(_, marker)) => Step::GetPod {
                namespace: marker.namespace.clone(),
                name: marker.pod.clone(),
            },
            Some(Task::Absent(_, registered)) => Step::GetAgent(registered.pool, registered.id),
            Some(Task::Candidate(candidate)) => match candidate.stage {
                Stage::Pod => Step::GetPod {
                    namespace: candidate.verdict.pod.namespace.clone(),
                    name: candidate.verdict.pod.name.clone(),
                },
                Stage::Agent => Step::GetAgent(candidate.registered.pool, candidate.registered.id),
                Stage::Delete => Step::Delete(candidate.registered.pool, candidate.registered.id),
            },
        }
    }

    /// The answer to [`Step::GetPod`].
    pub fn pod(&mut self, answer: PodAnswer) {
        let (present, life) = match answer {
            PodAnswer::Unreadable(problem) => return self.stop(problem),
            PodAnswer::Gone => (None, crate::Life::Ended),
            PodAnswer::Present(pod) => (Some(pod.uid), pod.life),
            PodAnswer::Foreign { uid } => (Some(uid), crate::Life::Lives),
        };
        let is = |uid: &str| present.as_deref() == Some(uid);
        match self.tasks.pop_front() {
            Some(Task::Pod(uid)) => {
                if !is(&uid) {
                    self.gone(&uid);
                }
            }
            Some(Task::Suspect(agent, marker)) => {
                if !is(&marker.uid) {
                    self.clash(&agent, marker);
                }
            }
            Some(Task::Candidate(mut candidate)) => {
                if is(&candidate.verdict.pod.uid) && life == crate::Life::Lives {
                    return self.keep(candidate, Kept::PodExists);
                }
                self.gone(&candidate.verdict.pod.uid.clone());
                candidate.stage = Stage::Agent;
                self.tasks.push_front(Task::Candidate(candidate));
            }
            task @ (Some(Task::Absent(..)) | None) => self.tasks.extend(task),
        }
        self.skip();
    }

    /// The answer to [`Step::GetAgent`].
    pub fn agent(&mut self, answer: AgentAnswer) {
        if let AgentAnswer::Unreadable(problem) = answer {
            return self.stop(problem);
        }
        match (self.tasks.pop_front(), answer) {
            (Some(Task::Absent(uid, registered)), AgentAnswer::Gone) => self.without_agent(&uid, registered),
            // The list was not whole. So it proves nothing else, either, but what is removed is looked at freshly.
            (Some(Task::Absent(..)), AgentAnswer::Present(..)) => {}
            (Some(Task::Candidate(mut candidate)), AgentAnswer::Gone) => {
                self.without_agent(&candidate.verdict.pod.uid.clone(), candidate.registered);
                candidate.verdict.decision = Decision::AlreadyGone;
                self.verdicts.push(candidate.verdict);
            }
            (Some(Task::Candidate(mut candidate)), AgentAnswer::Present(agent, date)) => {
                match self.objection(&candidate, &agent, date) {
                    Some(kept) => return self.keep(candidate, kept),
                    None if self.mode == Mode::DryRun => {
                        self.removed += 1;
                        candidate.verdict.decision = Decision::WouldRemove;
                        self.verdicts.push(candidate.verdict);
                    }
                    None => {
                        candidate.stage = Stage::Delete;
                        self.tasks.push_front(Task::Candidate(candidate));
                    }
                }
            }
            (task, _) => self.tasks.extend(task),
        }
        self.skip();
    }

    /// The answer to [`Step::Delete`].
    pub fn deleted(&mut self, answer: DeleteAnswer) {
        let Some(Task::Candidate(mut candidate)) = self.tasks.pop_front() else {
            return;
        };
        let uid = candidate.verdict.pod.uid.clone();
        match answer {
            DeleteAnswer::Busy => return self.keep(candidate, Kept::Busy),
            DeleteAnswer::Removed => {
                self.removed += 1;
                self.without_agent(&uid, candidate.registered);
                candidate.verdict.decision = Decision::Removed;
                self.verdicts.push(candidate.verdict);
            }
            DeleteAnswer::Gone => {
                self.without_agent(&uid, candidate.registered);
                candidate.verdict.decision = Decision::AlreadyGone;
                self.verdicts.push(candidate.verdict);
            }
            DeleteAnswer::Failed(problem) => {
                // It may have been removed nevertheless.
                self.removed += 1;
                candidate.verdict.decision = Decision::Failed(problem.clone());
                self.verdicts.push(candidate.verdict);
                return self.stop(problem);
            }
        }
        self.skip();
    }

    /// Ends the run: what was not looked at stays.
    pub fn stop(&mut self, problem: String) {
        for task in std::mem::take(&mut self.tasks) {
            if let Task::Candidate(mut candidate) = task {
                candidate.verdict.decision = Decision::Kept(Kept::Stopped);
                self.verdicts.push(candidate.verdict);
            }
        }
        self.stopped.get_or_insert(problem);
    }

    /// What was found, and why the run was stopped, if it was.
    pub fn finish(self) -> (Vec<Verdict>, Option<String>) {
        (self.verdicts, self.stopped)
    }

    /// Why the agent, looked at freshly, stays.
    fn objection(&self, candidate: &Candidate, agent: &Listed, date: ServerTime) -> Option<Kept> {
        let is_ours = agent
            .owner()
            .is_some_and(|owner| owner.uid == candidate.verdict.pod.uid);
        if agent.created != Some(candidate.registered.created) || !is_ours {
            return Some(Kept::Replaced);
        }
        if self.settings.is_placeholder(&agent.name) {
            return Some(Kept::Placeholder);
        }
        resting(agent, date, self.settings).err()
    }

    /// Drops candidates that may not be removed any more, without asking about them.
    fn skip(&mut self) {
        while let Some(Task::Candidate(candidate)) = self.tasks.front() {
            let pod = &candidate.verdict.pod;
            let why = if self.clashes.contains(&(pod.cluster.clone(), pod.namespace.clone())) {
                Kept::Clash
            } else if self.removed >= self.limit {
                Kept::Limit
            } else {
                return;
            };
            let Some(Task::Candidate(mut candidate)) = self.tasks.pop_front() else {
                return;
            };
            candidate.verdict.decision = Decision::Kept(why);
            self.verdicts.push(candidate.verdict);
        }
    }

    fn keep(&mut self, mut candidate: Box<Candidate>, why: Kept) {
        if let Some(entry) = self.ledger.entries.get_mut(&candidate.verdict.pod.uid) {
            entry.seen_offline = None;
        }
        candidate.verdict.decision = Decision::Kept(why);
        self.verdicts.push(candidate.verdict);
        self.skip();
    }

    fn gone(&mut self, uid: &str) {
        let date = self.date;
        if let Some(entry) = self.ledger.entries.get_mut(uid) {
            entry.gone.get_or_insert(date);
        }
    }

    fn without_agent(&mut self, uid: &str, registered: Registered) {
        if let Some(entry) = self.ledger.entries.get_mut(uid)
            && entry.agent == Some(registered)
        {
            entry.agent = None;
            entry.seen_offline = None;
        }
    }

    fn clash(&mut self, agent: &Listed, marker: Marker) {
        self.clashes.insert((marker.cluster.clone(), marker.namespace.clone()));
        self.verdicts.push(verdict(self.pool, agent, marker, Decision::Clash));
    }
}

/// Whether an agent is offline without a job for long enough by the server's clock; with since when.
fn resting(agent: &Listed, date: ServerTime, settings: &Settings) -> Result<ServerTime, Kept> {
    if agent.online {
        return Err(Kept::Online);
    }
    if agent.busy {
        return Err(Kept::Busy);
    }
    let since = agent.status_changed.ok_or(Kept::NoTime)?;
    if date.0.saturating_sub(since.0) < settings.offline_seconds {
        return Err(Kept::Young);
    }
    Ok(since)
}

fn verdict(pool: PoolId, agent: &Listed, marker: Marker, decision: Decision) -> Verdict {
    Verdict {
        pool,
        agent: agent.id,
        name: agent.name.clone(),
        pod: PodRef {
            cluster: marker.cluster,
            namespace: marker.namespace,
            name: marker.pod,
            uid: marker.uid,
        },
        status_changed: agent.status_changed,
        decision,
    }
}

/// How many agents of a pool one run may remove.
fn limit(agents: usize) -> usize {
    (agents / 10).max(5)
}

type Index<'l> = BTreeMap<AgentId, &'l Listed>;
