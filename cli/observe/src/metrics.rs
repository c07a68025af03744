//! The metrics of one program, and the text for `/metrics`.

mod listing;

use self::listing::{active, pods, workers};
use crate::family::{
    BUILD, CLASH, ERRORS, Family, JOB_RESULTS, JOB_SECONDS, JOBS, LISTED, LOST, ORPHANS, POD, PROBLEM_PODS,
    REGISTRATIONS, REMOVALS, REQUESTS, THROTTLED, WORKERS,
};
use crate::fleet::{Listing, Pool};
use crate::jobs::{Change, Pools};
use crate::words::{JobResult, JobState, OrphanState, Remover, SweepOutcome};
use contract::{OutcomeReason, Reason};
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Series;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of the buckets: from an agent that was there to a job of half a day.
const SECONDS: [f64; 7] = [5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0, 43_200.0];

type Labels = Vec<(&'static str, String)>;
type Count = Counter<u64, AtomicU64>;
type SecondsCount = Counter<f64, AtomicU64>;

/// What `/metrics` is served as.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Whether there are series of single pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Labels are organizations, pools, namespaces and closed words.
    Fleet,
    /// One series more for each agent, with its pod's name.
    Pods,
}

/// All metrics of one program. A scrape sees a listing wholly or not at all.
#[derive(Debug)]
pub struct Metrics(Mutex<State>);

#[derive(Debug)]
struct State {
    registry: Registry,
    detail: Detail,
    pools: Pools,
    workers: Levels<Pool>,
    jobs: Levels<Pool>,
    orphans: Levels<Pool>,
    clash: Levels<Pool>,
    pods: Levels<Pool>,
    listed: Levels<Pool>,
    problem_pods: Levels<()>,
    job_seconds: Series<Labels, Histogram>,
    job_results: Series<Labels, Count>,
    lost: Series<Labels, Count>,
    registrations: Series<Labels, Count>,
    removals: Series<Labels, Count>,
    requests: Series<Labels, Count>,
    throttled: Series<Labels, SecondsCount>,
    errors: Series<Labels, Count>,
}

/// A gauge's series, which are replaced together for each key.
#[derive(Debug)]
struct Levels<K> {
    series: Series<Labels, Gauge>,
    set: BTreeMap<K, BTreeSet<Labels>>,
}

impl<K: Ord> Levels<K> {
    fn replace(&mut self, key: K, values: BTreeMap<Labels, i64>) {
        for old in self.set.remove(&key).unwrap_or_default() {
            if !values.contains_key(&old) {
                self.series.remove(&old);
            }
        }
        for (labels, value) in &values {
            self.series.get_or_create(labels).set(*value);
        }
        self.set.insert(key, values.into_keys().collect());
    }
}

fn labels<const N: usize>(family: &Family, values: [&str; N]) -> Labels {
    debug_assert_eq!(family.labels.len(), N, "{}", family.name);
    let values = values.into_iter().map(str::to_owned);
    family.labels.iter().copied().zip(values).collect()
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Detail::Fleet, env!("CARGO_PKG_VERSION"))
    }
}

impl Metrics {
    /// Metrics at zero.
    pub fn new(detail: Detail, version: &str) -> Self {
        let mut registry = Registry::default();
        let build = Series::<Labels, Gauge>::default();
        build.get_or_create(&labels(&BUILD, [version])).set(1);
        register(&mut registry, &BUILD, build);
        Self(Mutex::new(State {
            workers: levels(&mut registry, &WORKERS),
            jobs: levels(&mut registry, &JOBS),
            orphans: levels(&mut registry, &ORPHANS),
            clash: levels(&mut registry, &CLASH),
            pods: levels(&mut registry, &POD),
            listed: levels(&mut registry, &LISTED),
            problem_pods: levels(&mut registry, &PROBLEM_PODS),
            job_seconds: register(
                &mut registry,
                &JOB_SECONDS,
                Series::new_with_constructor(|| Histogram::new(SECONDS)),
            ),
            job_results: register(&mut registry, &JOB_RESULTS, Series::default()),
            lost: register(&mut registry, &LOST, Series::default()),
            registrations: register(&mut registry, &REGISTRATIONS, Series::default()),
            removals: register(&mut registry, &REMOVALS, Series::default()),
            requests: register(&mut registry, &REQUESTS, Series::default()),
            throttled: register(&mut registry, &THROTTLED, Series::default()),
            errors: register(&mut registry, &ERRORS, Series::default()),
            pools: Pools::default(),
            detail,
            registry,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool will be looked at for these namespaces. What can be counted begins at 0, so that the first time is a rise.
    pub fn expect(&self, pool: &Pool, namespaces: &[String]) {
        let mut state = self.state();
        let Pool { organization, name } = pool;
        state
            .throttled
            .get_or_create(&labels(&THROTTLED, [organization]))
            .inc_by(0.0);
        for namespace in namespaces {
            let at = [organization, name, namespace.as_str()];
            state.lost.get_or_create(&labels(&LOST, at)).inc_by(0);
            state.registrations.get_or_create(&labels(&REGISTRATIONS, at)).inc_by(0);
            for result in JobResult::ALL {
                let labels = labels(&JOB_RESULTS, [organization, name, namespace, result.as_str()]);
                state.job_results.get_or_create(&labels).inc_by(0);
            }
            for state_of_job in JobState::ALL {
                let labels = labels(&JOB_SECONDS, [organization, name, namespace, state_of_job.as_str()]);
                drop(state.job_seconds.get_or_create(&labels));
            }
            let ends = OutcomeReason::ALL.iter().filter_map(|outcome| {
                let by = Remover::of(*outcome)?;
                Some((by, outcome.as_str()))
            });
            let swept = SweepOutcome::ALL
                .iter()
                .map(|outcome| (Remover::Sweep, outcome.as_str()));
            for (by, outcome) in ends.chain(swept) {
                let labels = labels(&REMOVALS, [organization, name, namespace, by.as_str(), outcome]);
                state.removals.get_or_create(&labels).inc_by(0);
            }
        }
        let never = BTreeMap::from([(labels(&LISTED, [organization, name]), 0)]);
        state.listed.replace(pool.clone(), never);
    }

    /// A pool was listed completely.
    pub fn listed(&self, pool: &Pool, listing: &Listing) {
        let mut state = self.state();
        let changes = state.pools.changes(pool, listing);
        let workers = workers(pool, listing);
        state.workers.replace(pool.clone(), workers);
        state.jobs.replace(pool.clone(), active(pool, listing));
        let at = labels(&LISTED, [&pool.organization, &pool.name]);
        state.listed.replace(pool.clone(), [(at, listing.time.0)].into());
        if state.detail == Detail::Pods {
            state.pods.replace(pool.clone(), pods(pool, listing));
        }
        for change in changes {
            state.count(pool, &change);
        }
    }

    /// How many agents without a pod the pool has, by namespace and state; every namespace that is swept is named.
    pub fn orphans(&self, pool: &Pool, orphans: &BTreeMap<(String, OrphanState), usize>, namespaces: &[String]) {
        let Pool { organization, name } = pool;
        let mut values = BTreeMap::new();
        for namespace in namespaces {
            for state in OrphanState::ALL {
                let count = orphans.get(&(namespace.clone(), *state)).copied().unwrap_or_default();
                let labels = labels(&ORPHANS, [organization, name, namespace, state.as_str()]);
                values.insert(labels, level(count));
            }
        }
        self.state().orphans.replace(pool.clone(), values);
    }

    /// In which of the namespaces that are swept another cluster uses this cluster's ID.
    pub fn clashes(&self, pool: &Pool, clashing: &BTreeSet<String>, namespaces: &[String]) {
        let all = namespaces.iter().chain(clashing);
        let values = all.map(|namespace| {
            let labels = labels(&CLASH, [&pool.organization, &pool.name, namespace]);
            (labels, i64::from(clashing.contains(namespace)))
        });
        self.state().clash.replace(pool.clone(), values.collect());
    }

    /// An agent of a pod came into the pool.
    pub fn registered(&self, pool: &Pool, namespace: &str) {
        let labels = labels(&REGISTRATIONS, [&pool.organization, &pool.name, namespace]);
        self.state().registrations.get_or_create(&labels).inc();
    }

    /// A pod ended, and its sidecar said what became of the agent.
    pub fn left(&self, pool: &Pool, namespace: &str, outcome: OutcomeReason) {
        if let Some(by) = Remover::of(outcome) {
            self.removal(pool, namespace, by, outcome.as_str());
        }
    }

    /// The sweep took up an agent.
    pub fn swept(&self, pool: &Pool, namespace: &str, outcome: SweepOutcome) {
        self.removal(pool, namespace, Remover::Sweep, outcome.as_str());
    }

    fn removal(&self, pool: &Pool, namespace: &str, by: Remover, outcome: &str) {
        let at = [&pool.organization, &pool.name, namespace, by.as_str(), outcome];
        self.state().removals.get_or_create(&labels(&REMOVALS, at)).inc();
    }

    /// Pods with a problem now, by namespace and reason.
    pub fn problem_pods(&self, pods: &BTreeMap<(String, Reason), usize>) {
        let values = pods.iter().map(|((namespace, reason), count)| {
            let labels = labels(&PROBLEM_PODS, [namespace, reason.as_str()]);
            (labels, level(*count))
        });
        self.state().problem_pods.replace((), values.collect());
    }

    /// Azure DevOps was asked; `route` is a closed word, `code` the HTTP status of its answer.
    pub fn requested(&self, organization: &str, route: &'static str, code: Option<u16>) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let labels = labels(&REQUESTS, [organization, route, &code]);
        self.state().requests.get_or_create(&labels).inc();
    }

    /// A request waited, since Azure DevOps or the budget asked for it.
    pub fn throttled(&self, organization: &str, waited: Duration) {
        let labels = labels(&THROTTLED, [organization]);
        self.state()
            .throttled
            .get_or_create(&labels)
            .inc_by(waited.as_secs_f64());
    }

    /// Something could not be done; both are closed words.
    pub fn failed(&self, component: &'static str, reason: &'static str) {
        let labels = labels(&ERRORS, [component, reason]);
        self.state().errors.get_or_create(&labels).inc();
    }

    /// The text for `/metrics`, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(8192);
        // Writing into a string does not fail.
        let _ = prometheus_text::encode(&mut text, &self.state().registry);
        text
    }
}

impl State {
    fn count(&self, pool: &Pool, change: &Change) {
        let Pool { organization, name } = pool;
        match change {
            Change::Left {
                namespace,
                state,
                seconds,
            } => {
                let labels = labels(&JOB_SECONDS, [organization, name, namespace, state.as_str()]);
                self.job_seconds.get_or_create(&labels).observe(*seconds);
            }
            Change::Ended { namespace, result } => {
                let at = labels(&JOB_RESULTS, [organization, name, namespace, result.as_str()]);
                self.job_results.get_or_create(&at).inc();
                if *result == JobResult::Error && !namespace.is_empty() {
                    let at = labels(&LOST, [organization, name, namespace]);
                    self.lost.get_or_create(&at).inc();
                }
            }
        }
    }
}

fn register<M>(registry: &mut Registry, family: &Family, metric: M) -> M
where
    M: Clone + EncodeMetric + TypedMetric + std::fmt::Debug + Send + Sync + 'static,
{
    let (name, help) = family.base();
    registry.register(name, help, metric.clone());
    metric
}

fn levels<K>(registry: &mut Registry, family: &Family) -> Levels<K> {
    Levels {
        series: register(registry, family, Series::default()),
        set: BTreeMap::new(),
    }
}

fn level(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
