//! What is true: pods, their agents, and what the API server and Azure DevOps show of them.

use super::agent::SimAgent;
use super::scenario::{BEGIN, Dice, LONGEST_LIFE, Misfortune, Scenario, Trouble};
use azure_protocol::{AgentId, PoolId, ServerTime};
use contract::{Foreign, Marker};
use proptest::prelude::TestCaseError;
use std::collections::{BTreeMap, BTreeSet};
use sweep::{Ledger, Life, Listed, Listing, Pod};

pub(super) const POOL: PoolId = PoolId(7);
pub(super) const NAMESPACE: &str = "agents";
const CLUSTER: &str = "c";
/// An agent without a process is offline after this time, and loses its job after that.
const SESSION: i64 = 300;
const LOCK: i64 = 600;

#[derive(Debug, Clone)]
struct SimPod {
    pod: Pod,
    dies: i64,
    /// When the API server forgets it.
    leaves: i64,
    violent: bool,
    /// Whether the API server shows it.
    shown: bool,
    is_started: bool,
}

/// Everything.
pub(super) struct Fleet {
    pub(super) now: i64,
    pub(super) ledger: Ledger,
    pub(super) agents: BTreeMap<AgentId, SimAgent>,
    /// Agents whose pods left them behind.
    pub(super) left_behind: usize,
    /// Agents that were removed from outside.
    pub(super) removed: usize,
    pods: Vec<SimPod>,
    coming: Vec<usize>,
    next_agent: i64,
    troubles: Vec<Misfortune>,
    /// etcd as it was, and which pods it showed.
    backups: Vec<(i64, Ledger, BTreeSet<String>)>,
    is_restored: bool,
    /// Pods that nobody can know about any more.
    forgotten: BTreeSet<String>,
    known: BTreeSet<String>,
}

impl Fleet {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut dice = Dice(scenario.seed);
        let mut pods: Vec<SimPod> = (0..scenario.pods)
            .map(|number| {
                let created = BEGIN + dice.below(scenario.seconds);
                let dies = created + 60 + dice.below(LONGEST_LIFE - 60);
                SimPod {
                    pod: Pod {
                        uid: format!("u-{number}"),
                        namespace: NAMESPACE.to_owned(),
                        name: String::new(),
                        cluster: CLUSTER.to_owned(),
                        created: ServerTime(created),
                        placeholder: number % 50 == 49,
                        life: Life::Lives,
                    },
                    dies,
                    leaves: dies + dice.below(120),
                    violent: u64::try_from(dice.below(100)).unwrap_or_default() < scenario.violent_percent,
                    shown: false,
                    is_started: false,
                }
            })
            .collect();
        pods.sort_by_key(|pod| pod.pod.created);
        // Few names, as a StatefulSet has them: the next pod of a name comes when the one before is gone.
        let mut free_from: Vec<i64> = Vec::new();
        for pod in &mut pods {
            let name = free_from.iter().position(|free| *free < pod.pod.created.0);
            let name = name.unwrap_or_else(|| {
                free_from.push(0);
                free_from.len() - 1
            });
            free_from[name] = pod.leaves + 60;
            pod.pod.name = format!("pod-{name}");
        }
        let mut fleet = Self {
            now: BEGIN,
            ledger: Ledger::new("o"),
            agents: BTreeMap::new(),
            left_behind: 0,
            removed: 0,
            coming: (0..pods.len()).rev().collect(),
            pods,
            next_agent: 1,
            troubles: scenario.troubles.clone(),
            backups: Vec::new(),
            is_restored: false,
            forgotten: BTreeSet::new(),
            known: BTreeSet::new(),
        };
        for marker in [
            Err(Foreign),
            Ok(marker("elsewhere", NAMESPACE, "pod-1", "u-elsewhere")),
            Ok(marker(CLUSTER, "another", "pod-1", "u-another")),
            Ok(marker(CLUSTER, NAMESPACE, "pod-1", "u-forged")),
        ] {
            fleet.add(None, marker, i64::MIN);
        }
        fleet
    }

    /// An agent that goes offline then.
    fn add(&mut self, pod: Option<usize>, marker: Result<Marker, Foreign>, offline_at: i64) -> AgentId {
        let id = AgentId(self.next_agent);
        self.next_agent += 1;
        let online = offline_at > self.now;
        let agent = SimAgent {
            listed: Listed {
                id,
                name: format!("agent-{}", id.0),
                created: Some(ServerTime(self.now)),
                online,
                busy: false,
                status_changed: Some(ServerTime(self.now)),
                marker: Some(marker),
            },
            pod,
            busy_until: 0,
            offline_at,
            blip: (i64::MAX, i64::MAX),
        };
        self.agents.insert(id, agent);
        id
    }

    pub(super) fn suffers(&self, trouble: Trouble) -> bool {
        self.troubles
            .iter()
            .any(|it| it.trouble == trouble && (it.from..it.until).contains(&self.now))
    }

    pub(super) fn advance(&mut self, seconds: i64) {
        self.now += seconds;
        while let Some(number) = self.coming.last().copied()
            && self.pods[number].pod.created.0 <= self.now
        {
            self.coming.pop();
            self.begin(number);
        }
        for number in 0..self.pods.len() {
            if self.pods[number].is_started {
                self.live(number);
            }
        }
        for agent in self.agents.values_mut() {
            agent.advance(self.now);
        }
        self.clash();
        self.back_up();
    }

    fn begin(&mut self, number: usize) {
        let pod = &mut self.pods[number];
        pod.is_started = true;
        pod.shown = true;
        let (uid, name) = (pod.pod.uid.clone(), pod.pod.name.clone());
        let (dies, violent) = (pod.dies, pod.violent);
        let id = self.add(
            Some(number),
            Ok(marker(CLUSTER, NAMESPACE, &name, &uid)),
            dies + SESSION,
        );
        let now = self.now;
        if let Some(agent) = self.agents.get_mut(&id) {
            // Some lose their job, some their network for a while.
            if violent && number.is_multiple_of(3) {
                agent.busy_until = dies + LOCK;
            }
            if number.is_multiple_of(5) {
                agent.blip = (now + 300, now + 1_800);
            }
        }
    }

    fn live(&mut self, number: usize) {
        let now = self.now;
        let pod = &mut self.pods[number];
        if now >= pod.leaves {
            pod.shown = false;
        }
        if now < pod.dies || pod.pod.life == Life::Ended {
            return;
        }
        pod.pod.life = Life::Ended;
        let (violent, placeholder) = (pod.violent, pod.pod.placeholder);
        if violent {
            self.left_behind += usize::from(!placeholder);
        } else if !placeholder {
            self.agents.retain(|_, agent| agent.pod != Some(number));
        }
    }

    /// The other cluster's agent, which is online as long as the trouble lasts.
    fn clash(&mut self) {
        let theirs = marker(CLUSTER, NAMESPACE, "pod-theirs", "u-theirs");
        let there = self.agents.values().find(|agent| agent.listed.owner() == Some(&theirs));
        match (self.suffers(Trouble::Clash), there.map(|agent| agent.listed.id)) {
            (true, None) => drop(self.add(None, Ok(theirs), i64::MAX)),
            (false, Some(id)) => drop(self.agents.remove(&id)),
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn back_up(&mut self) {
        const EVERY: i64 = 1_800;
        if self.now % EVERY < 60 {
            let shown = self.pods.iter().filter(|pod| pod.shown).map(|pod| pod.pod.uid.clone());
            self.backups.push((self.now, self.ledger.clone(), shown.collect()));
        }
        let suffers = self.suffers(Trouble::EtcdRestored);
        if suffers && !self.is_restored {
            self.restore();
        }
        self.is_restored = suffers;
    }

    /// Pods that are younger than the backup run on until the kubelet finds out; those that were deleted since are back until it does.
    fn restore(&mut self) {
        let Some((at, ledger, shown)) = self.backups.iter().rfind(|(at, ..)| *at <= self.now - 1_800).cloned() else {
            return;
        };
        self.ledger = ledger;
        for pod in self.pods.iter_mut().filter(|pod| pod.is_started) {
            let is_young = pod.pod.created.0 > at;
            if shown.contains(&pod.pod.uid) && pod.leaves < self.now {
                pod.shown = true;
                pod.leaves = self.now + 300;
            } else if is_young {
                pod.shown = false;
                pod.leaves = 0;
                if pod.dies > self.now {
                    pod.dies = self.now + 90;
                }
            }
            if pod.pod.created.0 > at - 120 {
                self.forgotten.insert(pod.pod.uid.clone());
            }
        }
        let dies: BTreeMap<usize, i64> = self.pods.iter().map(|pod| pod.dies).enumerate().collect();
        for agent in self.agents.values_mut() {
            if let Some(number) = agent.pod {
                agent.offline_at = dies[&number] + SESSION;
            }
        }
    }

    /// The pods that the API server has.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.shown).map(|pod| &pod.pod)
    }

    /// The pods that a watch has shown a keeper.
    pub(super) fn were_seen(&mut self, pods: &[Pod]) {
        self.known.extend(pods.iter().map(|pod| pod.uid.clone()));
    }

    /// The pod of this name.
    pub(super) fn pod(&self, name: &str) -> Option<Pod> {
        let pods = self.pods.iter().rev();
        pods.filter(|pod| pod.shown)
            .find(|pod| pod.pod.name == name)
            .map(|pod| pod.pod.clone())
    }

    pub(super) fn listing(&self) -> Listing {
        let half = self.suffers(Trouble::HalfAList);
        let all = self.agents.values().filter(|agent| !half || agent.listed.id.0 % 2 == 0);
        Listing {
            pool: POOL,
            date: ServerTime(self.now),
            agents: all.map(|agent| agent.listed.clone()).collect(),
        }
    }

    /// Removes an agent, if that is right.
    pub(super) fn remove(&mut self, id: AgentId) -> Result<(), TestCaseError> {
        let Some(agent) = self.agents.remove(&id) else {
            return Err(TestCaseError::fail(format!("agent {id:?} is not there")));
        };
        self.removed += 1;
        let pod = agent.pod.map(|number| &self.pods[number]);
        let wrong = match pod {
            None => Some("it is foreign"),
            Some(pod) if pod.pod.placeholder => Some("it is a placeholder's"),
            // One that etcd has forgotten is gone for everybody, and soon for its kubelet.
            Some(pod) if pod.dies > self.now && !self.forgotten.contains(&pod.pod.uid) => Some("its pod lives"),
            Some(_) if agent.listed.online => Some("it is online"),
            Some(_) if agent.listed.busy => Some("it has a job"),
            Some(_) if agent.listed.status_changed.is_none_or(|since| self.now - since.0 < 600) => Some("it is young"),
            Some(_) => None,
        };
        match wrong {
            Some(wrong) => Err(TestCaseError::fail(format!(
                "{wrong}: {agent:?} of {pod:?} at {}",
                self.now
            ))),
            None => Ok(()),
        }
    }

    /// Whoever is left was never seen by anybody, or etcd has forgotten it.
    pub(super) fn nothing_is_left(&self) -> Result<(), TestCaseError> {
        for agent in self.agents.values() {
            let Some(number) = agent.pod else { continue };
            let pod = &self.pods[number].pod;
            let excused = pod.placeholder || self.forgotten.contains(&pod.uid) || !self.known.contains(&pod.uid);
            if !excused {
                return Err(TestCaseError::fail(format!(
                    "left: {agent:?} of {:?}",
                    self.pods[number]
                )));
            }
        }
        Ok(())
    }
}

fn marker(cluster: &str, namespace: &str, pod: &str, uid: &str) -> Marker {
    Marker {
        cluster: cluster.to_owned(),
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: uid.to_owned(),
    }
}
