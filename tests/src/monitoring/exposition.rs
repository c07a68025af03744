//! What the programs expose, as they write it, and how it is read.

use azure_protocol::{AgentId, ServerTime};
use contract::{OutcomeReason, Reason, SkipReason};
use observe::{Agent, Detail, Job, JobResult, Listing, Metrics, OrphanState, Owner, Pool, SweepOutcome};
use std::collections::BTreeMap;
use std::time::Duration;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name with `_bucket`, `_sum`, `_count`.
    pub name: String,
    /// As they are written, between the braces.
    pub written: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value, as it is written.
    pub value: String,
}

/// Reads Prometheus' text format.
///
/// # Panics
/// The text is of another form: it comes from our own programs.
pub fn read(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("series and value");
            let (name, written) = match series.split_once('{') {
                Some((name, rest)) => (name, rest.strip_suffix('}').expect("a closing brace")),
                None => (series, ""),
            };
            let selector = super::promql::names(&format!("{name}{{{written}}}"));
            let matchers = selector.selectors.into_iter().flat_map(|selector| selector.matchers);
            Sample {
                name: name.to_owned(),
                written: written.to_owned(),
                labels: matchers.map(|(label, _, value)| (label, value)).collect(),
                value: value.to_owned(),
            }
        })
        .collect()
}

/// What `keep` and the webhook expose when they have just begun, and after everything happened once.
pub fn both() -> [String; 2] {
    let keep = Metrics::new(Detail::Pods, "0.0.0");
    let webhook = webhook::metrics::Metrics::default();
    let pool = Pool {
        organization: "contoso".to_owned(),
        name: "linux".to_owned(),
    };
    let namespaces = ["agents".to_owned()];
    keep.expect(&pool, &namespaces);
    keep.listed(&pool, &listing(0, Vec::new()));
    keep.orphans(&pool, &BTreeMap::new(), &namespaces);
    keep.clashes(&pool, &[].into(), &namespaces);
    reviewed(&webhook);
    let before = keep.render() + &webhook.render();
    keep.listed(&pool, &listing(60, vec![job(1, Some(JobResult::Error)), job(2, None)]));
    let mut queued = job(3, None);
    (queued.assigned, queued.received, queued.agent) = (None, None, None);
    let mut given = job(4, None);
    given.received = None;
    let jobs = vec![job(1, Some(JobResult::Error)), job(2, None), queued, given];
    keep.listed(&pool, &listing(120, jobs));
    let orphans = OrphanState::ALL.iter().map(|state| (("agents".to_owned(), *state), 1));
    keep.orphans(&pool, &orphans.collect(), &namespaces);
    keep.clashes(&pool, &["agents".to_owned()].into(), &namespaces);
    keep.registered(&pool, "agents");
    for outcome in OutcomeReason::ALL {
        keep.left(&pool, "agents", *outcome);
    }
    for outcome in SweepOutcome::ALL {
        keep.swept(&pool, "agents", *outcome);
    }
    keep.problem_pods(&[(("agents".to_owned(), Reason::PoolMissing), 2)].into());
    keep.requested("contoso", "list-agents", Some(200));
    keep.throttled("contoso", Duration::from_secs(3));
    keep.failed("pool", Reason::AdoUnreachable.as_str());
    reviewed(&webhook);
    webhook.certificate_loaded(4_000_000_000);
    [before, keep.render() + &webhook.render()]
}

fn reviewed(webhook: &webhook::metrics::Metrics) {
    let skipped = inject::Decision::Skip {
        reason: SkipReason::OptedOut,
        warnings: Vec::new(),
    };
    webhook.answered("CREATE", &skipped, Duration::from_millis(2), 4000);
    webhook.rejected(400);
}

fn listing(time: i64, jobs: Vec<Job>) -> Listing {
    let agent = |id, online, assigned, owner| Agent {
        id: AgentId(id),
        online,
        enabled: true,
        assigned,
        owner,
    };
    let namespace = || "agents".to_owned();
    let pod = |pod: &str| Owner::Pod {
        namespace: namespace(),
        pod: pod.to_owned(),
    };
    Listing {
        time: ServerTime(time),
        agents: vec![
            agent(1, true, true, pod("agent-0")),
            agent(2, true, false, pod("agent-1")),
            agent(3, false, false, Owner::Gone { namespace: namespace() }),
            agent(4, false, false, Owner::Placeholder { namespace: namespace() }),
            agent(5, true, false, Owner::Foreign),
        ],
        jobs,
    }
}

fn job(id: i64, result: Option<JobResult>) -> Job {
    Job {
        id,
        queued: Some(ServerTime(1)),
        assigned: Some(ServerTime(20)),
        received: Some(ServerTime(22)),
        finished: result.map(|_| ServerTime(59)),
        result,
        agent: Some(AgentId(1)),
    }
}
