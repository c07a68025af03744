use super::*;
use crate::family::{Kind, families};
use crate::fleet::{Agent, Owner};
use crate::jobs::Job;
use azure_protocol::{AgentId, ServerTime};

fn pool() -> Pool {
    Pool {
        organization: "contoso".into(),
        name: "linux".into(),
    }
}

fn agent(id: i64, online: bool, owner: Owner) -> Agent {
    Agent {
        id: AgentId(id),
        online,
        enabled: true,
        assigned: false,
        owner,
    }
}

fn of_pod(pod: &str) -> Owner {
    Owner::Pod {
        namespace: "agents".into(),
        pod: pod.into(),
    }
}

fn job(id: i64, finished: Option<i64>, result: Option<JobResult>) -> Job {
    Job {
        id,
        queued: Some(ServerTime(10)),
        assigned: Some(ServerTime(12)),
        received: Some(ServerTime(15)),
        finished: finished.map(ServerTime),
        result,
        agent: Some(AgentId(1)),
    }
}

/// Everything that can be counted, counted once.
fn busy(detail: Detail) -> Metrics {
    let metrics = Metrics::new(detail, "1.2.3");
    let namespaces = ["agents".to_owned()];
    metrics.expect(&pool(), &namespaces);
    let mut listing = Listing {
        time: ServerTime(100),
        agents: vec![
            agent(1, true, of_pod("agent-0")),
            agent(
                2,
                false,
                Owner::Gone {
                    namespace: "agents".into(),
                },
            ),
            agent(
                3,
                false,
                Owner::Placeholder {
                    namespace: "agents".into(),
                },
            ),
            agent(4, true, Owner::Foreign),
        ],
        jobs: vec![job(7, None, None)],
    };
    metrics.listed(&pool(), &listing);
    listing.time = ServerTime(700);
    listing.jobs = vec![job(7, Some(690), Some(JobResult::Error)), job(8, None, None)];
    metrics.listed(&pool(), &listing);
    let orphans = [(("agents".to_owned(), OrphanState::Due), 1)].into();
    metrics.orphans(&pool(), &orphans, &namespaces);
    metrics.clashes(&pool(), &["agents".to_owned()].into(), &namespaces);
    metrics.registered(&pool(), "agents");
    metrics.left(&pool(), "agents", OutcomeReason::AlreadyGone);
    metrics.swept(&pool(), "agents", SweepOutcome::Removed);
    metrics.problem_pods(&[(("agents".to_owned(), Reason::PoolMissing), 2)].into());
    metrics.requested("contoso", "list-agents", Some(200));
    metrics.requested("contoso", "list-agents", None);
    metrics.throttled("contoso", Duration::from_millis(1500));
    metrics.failed("pool", "ado-unreachable");
    metrics
}

#[test]
fn every_metric_of_the_reference_is_rendered_with_its_help_and_its_labels() {
    let text = busy(Detail::Pods).render();
    for Family {
        name,
        kind,
        labels,
        help,
    } in families()
    {
        let head = format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str());
        assert!(text.contains(&head), "{name}:\n{text}");
        let sample = match kind {
            Kind::Histogram => format!("\n{name}_count{{"),
            Kind::Counter | Kind::Gauge => format!("\n{name}{{"),
        };
        let at = text.find(&sample).unwrap_or_else(|| panic!("no sample of {name}"));
        let line = text[at + 1..].lines().next().expect("a line");
        let inside = &line[line.find('{').expect("labels") + 1..line.rfind('}').expect("labels")];
        let written: Vec<_> = inside
            .split("\",")
            .map(|label| label.split('=').next().expect("a name"))
            .collect();
        assert_eq!(written, *labels, "{line}");
    }
    assert_eq!(text.matches("# TYPE").count(), families().len(), "{text}");
}

#[test]
fn a_listing_is_counted() {
    let text = busy(Detail::Fleet).render();
    let at = r#"organization="contoso",pool="linux",namespace="agents""#;
    for line in [
        format!(r#"cicd_worker_count{{{at},owner="pod",cicd_worker_state="available"}} 1"#),
        format!(r#"cicd_worker_count{{{at},owner="pod",cicd_worker_state="busy"}} 0"#),
        format!(r#"cicd_worker_count{{{at},owner="gone",cicd_worker_state="offline"}} 1"#),
        r#"cicd_worker_count{organization="contoso",pool="linux",namespace="",owner="foreign",cicd_worker_state="available"} 1"#.to_owned(),
        format!(r#"cicd_pipeline_task_run_active{{{at},cicd_pipeline_task_run_state="running"}} 1"#),
        format!(r#"cicd_pipeline_task_run_duration_seconds_bucket{{{at},cicd_pipeline_task_run_state="running",le="1800"}} 1"#),
        format!(r#"cicd_pipeline_task_run_results_total{{{at},cicd_pipeline_task_run_result="error"}} 1"#),
        format!(r#"cicd_pipeline_task_run_results_total{{{at},cicd_pipeline_task_run_result="success"}} 0"#),
        format!("ado_agent_jobs_lost_total{{{at}}} 1"),
        format!(r#"ado_agent_removals_total{{{at},by="image",outcome="already-gone"}} 1"#),
        format!(r#"ado_agent_removals_total{{{at},by="sidecar",outcome="removed"}} 0"#),
        format!(r#"ado_agent_orphans{{{at},state="due"}} 1"#),
        format!("ado_agent_cluster_clash{{{at}}} 1"),
        r#"ado_agent_requests_total{organization="contoso",route="list-agents",code="none"} 1"#.to_owned(),
        r#"ado_agent_throttled_seconds_total{organization="contoso"} 1.5"#.to_owned(),
        r#"ado_agent_pool_listed_timestamp_seconds{organization="contoso",pool="linux"} 700"#.to_owned(),
    ] {
        assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("agent-0"), "no pod is named unless asked for");
}

#[test]
fn what_is_gone_has_no_series() {
    let metrics = busy(Detail::Pods);
    assert!(metrics.render().contains(r#"pod="agent-0""#));
    let empty = Listing {
        time: ServerTime(800),
        agents: Vec::new(),
        jobs: Vec::new(),
    };
    metrics.listed(&pool(), &empty);
    metrics.problem_pods(&BTreeMap::new());
    let text = metrics.render();
    assert!(!text.contains("agent-0") && !text.contains("pool-missing"), "{text}");
    assert!(!text.contains(r#"owner="gone""#), "{text}");
}

#[test]
fn names_from_outside_are_escaped() {
    let metrics = Metrics::default();
    let pool = Pool {
        organization: "contoso".into(),
        name: "a\"b\\c\nd".into(),
    };
    metrics.registered(&pool, "agents");
    let text = metrics.render();
    assert!(text.contains(r#"pool="a\"b\\c\nd""#), "{text}");
}
