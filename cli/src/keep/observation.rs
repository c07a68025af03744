//! What rounds and pods mean for metrics and Events. The decisions are in the crate `observe`; here what `keep` knows is brought
//! into its form, and what is to be told is told.

mod fleet;
mod tell;

pub(super) use tell::tell;

use super::events::{About, controller, view};
use super::{Observer, Round};
use crate::session::{Failure, Sent};
use azure_protocol::{AdoErrorKind, AgentId, ServerTime};
use contract::{AdoReason, OutcomeReason};
use k8s_openapi::api::core::v1::Pod;
use observe::{Happening, Job, Listing, Metrics, Notice, Pods, Pool};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use sweep::Decision;
use tokio::sync::mpsc;

/// Notices that wait to be written. More are dropped and counted: Events are a comfort.
const WAITING: usize = 1_000;

/// What is to be written, about which pod.
pub(super) type Notices = mpsc::Receiver<(About, Notice)>;

/// Tells metrics and Events what happens.
pub struct Observation {
    metrics: Arc<Metrics>,
    organization: String,
    namespaces: Vec<String>,
    placeholders: Vec<String>,
    notices: mpsc::Sender<(About, Notice)>,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pods: Pods,
    /// By UID: pods that are there, and those whose agent is in the ledger.
    about: BTreeMap<String, About>,
    /// By pool: agents of the ledger, with the UIDs of their pods. A pool that is not here was not looked at yet, so all that is
    /// in it is no news.
    agents: BTreeMap<String, BTreeMap<(AgentId, ServerTime), String>>,
    /// Agents of which was told that they were left behind.
    left: BTreeSet<(String, AgentId)>,
}

impl Observation {
    /// For these pools and namespaces; `placeholders` are the names of agents that only hold a place.
    pub(super) fn new(
        metrics: Arc<Metrics>,
        organization: &str,
        pools: &[String],
        namespaces: &[String],
        placeholders: &[String],
    ) -> (Arc<Self>, Notices) {
        for name in pools {
            metrics.expect(&pool(organization, name), namespaces);
        }
        let (notices, waiting) = mpsc::channel(WAITING);
        let observation = Self {
            metrics,
            organization: organization.to_owned(),
            namespaces: namespaces.to_vec(),
            placeholders: placeholders.to_vec(),
            notices,
            started: Instant::now(),
            state: Mutex::default(),
        };
        (Arc::new(observation), waiting)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, about: &About, notice: Notice) {
        if self.notices.try_send((about.clone(), notice)).is_err() {
            self.metrics.failed("events", "queue-full");
        }
    }

    /// A probe of a pod's sidecar failed.
    pub(super) fn unhealthy(&self, uid: &str, message: &str) {
        let mut state = self.state();
        if let Some(happening) = state.pods.unhealthy(self.started.elapsed(), uid, message) {
            self.happened(&state, uid, &happening);
        }
        self.metrics.problem_pods(&state.pods.problems());
    }

    fn happened(&self, state: &State, uid: &str, happening: &Happening) {
        let Some(about) = state.about.get(uid) else {
            return;
        };
        if let Happening::Ended { outcome, .. } = happening {
            self.left(state, about, *outcome);
        }
        if let Some(notice) = Notice::of(happening) {
            self.say(about, notice);
        }
    }

    /// A pod ended: its agent's pool is that of the ledger, or the only one that there is.
    fn left(&self, state: &State, about: &About, outcome: OutcomeReason) {
        let mut pools = state.agents.iter();
        let known = pools
            .clone()
            .find(|(_, agents)| agents.values().any(|uid| *uid == about.uid));
        let only = || pools.next().filter(|_| state.agents.len() == 1);
        if let Some((name, _)) = known.or_else(only) {
            self.metrics
                .left(&pool(&self.organization, name), &about.namespace, outcome);
        }
    }

    /// Agents that the ledger did not have before.
    fn registered(&self, state: &mut State, round: &Round<'_>) {
        let name = round.reading.pool.name.as_str();
        let known = fleet::known(round);
        let before = state.agents.insert(name.to_owned(), known.clone());
        let Some(before) = before else { return };
        for (agent, uid) in known.iter().filter(|(agent, _)| !before.contains_key(*agent)) {
            let Some(entry) = round.ledger.entries().get(uid) else {
                continue;
            };
            self.metrics
                .registered(&pool(&self.organization, name), &entry.namespace);
            let about = state.about.entry(uid.clone()).or_insert_with(|| About {
                namespace: entry.namespace.clone(),
                name: entry.pod.clone(),
                uid: uid.clone(),
                owner: None,
            });
            let agents = round.reading.agents.iter();
            let listed = agents.map(|agent| &agent.agent).find(|listed| listed.id == agent.0);
            let called = listed.map_or(entry.pod.as_str(), |agent| agent.name.as_str());
            self.say(about, Notice::registered(called, agent.0.0, name));
        }
    }

    /// What the sweep said of agents whose pods are gone.
    fn swept(&self, state: &mut State, round: &Round<'_>) {
        let name = round.reading.pool.name.as_str();
        let pool = pool(&self.organization, name);
        let mut orphans = BTreeMap::new();
        let mut clashes = BTreeSet::new();
        for verdict in round.verdicts {
            let namespace = &verdict.pod.namespace;
            if verdict.decision == Decision::Clash {
                clashes.insert(namespace.clone());
            }
            if let Some(orphan) = fleet::orphan(&verdict.decision) {
                *orphans.entry((namespace.clone(), orphan)).or_default() += 1;
            }
            let about = || About {
                namespace: namespace.clone(),
                name: verdict.pod.name.clone(),
                uid: verdict.pod.uid.clone(),
                owner: None,
            };
            let about = state.about.get(&verdict.pod.uid).cloned().unwrap_or_else(about);
            if let Some(outcome) = fleet::outcome(&verdict.decision) {
                self.metrics.swept(&pool, namespace, outcome);
                if let Some(notice) = Notice::swept(&verdict.name, verdict.agent.0, name, outcome) {
                    self.say(&about, notice);
                }
            } else if fleet::is_left(&verdict.decision) && state.left.insert((name.to_owned(), verdict.agent)) {
                self.say(&about, Notice::left_behind(&verdict.name, verdict.agent.0, name));
            }
        }
        let listed: BTreeSet<AgentId> = round.reading.agents.iter().map(|agent| agent.agent.id).collect();
        state.left.retain(|(of, agent)| of != name || listed.contains(agent));
        self.metrics.orphans(&pool, &orphans, &self.namespaces);
        self.metrics.clashes(&pool, &clashes, &self.namespaces);
    }
}

impl Observer for Observation {
    fn sent(&self, sent: &Sent) {
        self.metrics.requested(&self.organization, sent.operation, sent.status);
        if let Some(pause) = sent.retry_after {
            self.metrics.throttled(&self.organization, pause);
        }
    }

    fn round(&self, round: &Round<'_>) {
        let mut state = self.state();
        let pool = pool(&self.organization, &round.reading.pool.name);
        let listing = Listing {
            time: round.reading.date,
            agents: fleet::agents(round, &self.placeholders),
            jobs: round.reading.jobs.iter().map(Job::from).collect(),
        };
        self.metrics.listed(&pool, &listing);
        self.registered(&mut state, round);
        self.swept(&mut state, round);
        if round.stopped.is_some() {
            self.metrics.failed("sweep", "stopped");
        }
        let there: BTreeSet<&str> = round.pods.iter().map(|pod| pod.uid.as_str()).collect();
        state
            .about
            .retain(|uid, _| there.contains(uid.as_str()) || round.ledger.entries().contains_key(uid));
    }

    fn failed(&self, _subject: &str, problem: &anyhow::Error) {
        self.metrics.failed("pool", error_type(problem));
    }

    fn pod(&self, pod: &Pod) {
        let seen = view(pod);
        let mut state = self.state();
        state.about.insert(
            seen.uid.clone(),
            About {
                namespace: seen.namespace.clone(),
                name: seen.name.clone(),
                uid: seen.uid.clone(),
                owner: controller(&pod.metadata),
            },
        );
        for happening in state.pods.changed(self.started.elapsed(), &seen) {
            self.happened(&state, &seen.uid, &happening);
        }
        self.metrics.problem_pods(&state.pods.problems());
    }

    fn pod_gone(&self, uid: &str) {
        let mut state = self.state();
        state.pods.gone(uid);
        self.metrics.problem_pods(&state.pods.problems());
    }
}

fn pool(organization: &str, name: &str) -> Pool {
    Pool {
        organization: organization.to_owned(),
        name: name.to_owned(),
    }
}

/// A closed word for what went wrong.
fn error_type(problem: &anyhow::Error) -> &'static str {
    let Some(failure) = problem.chain().find_map(|cause| cause.downcast_ref::<Failure>()) else {
        return "other";
    };
    match failure {
        Failure::Paused(_) => AdoReason::AdoThrottled.as_str(),
        Failure::NoToken(_) => "no-token",
        Failure::Refused { error, .. } => match error.kind {
            AdoErrorKind::Unreachable | AdoErrorKind::UnexpectedResponse => AdoReason::AdoUnreachable.as_str(),
            AdoErrorKind::Unavailable => AdoReason::AdoUnavailable.as_str(),
            AdoErrorKind::Throttled => AdoReason::AdoThrottled.as_str(),
            AdoErrorKind::Unauthorized => AdoReason::TokenRefused.as_str(),
            AdoErrorKind::IdentityUnknown => AdoReason::IdentityUnknown.as_str(),
            AdoErrorKind::Forbidden => AdoReason::RoleMissing.as_str(),
            AdoErrorKind::NotFound => AdoReason::PoolMissing.as_str(),
            AdoErrorKind::JobRunning => AdoReason::JobStillAssigned.as_str(),
            AdoErrorKind::Refused => AdoReason::AdoRefused.as_str(),
        },
    }
}
