//! What an operator sees: `/metrics` of the running program, and Events.

use serde_json::{Value, json};

use crate::stage::{Keep, NAMESPACE, Stage};
use crate::sweep::pool_lacks;
use azure_emulators::ado::JobSpec;
use tests::monitoring::exposition::{Sample, read};

/// What `/metrics` says now.
async fn scrape(keep: &Keep) -> Vec<Sample> {
    let (status, text) = keep.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    read(&text)
}

/// The sum of the series of a metric that have these labels.
fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = samples.iter().filter(|sample| sample.name == name).filter(|sample| {
        let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|found| found == value);
        labels.iter().all(has)
    });
    wanted.map(|sample| sample.value.parse::<f64>().unwrap()).sum()
}

/// Waits until the metric is this high.
async fn until(keep: &Keep, name: &str, labels: &[(&str, &str)], least: f64) -> Vec<Sample> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let samples = scrape(keep).await;
        if sum(&samples, name, labels) >= least {
            return samples;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{name} {labels:?} is {} and not {least}\n{}",
            sum(&samples, name, labels),
            keep.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Reason and regarding's kind and name of every Event, sorted.
fn told(stage: &Stage) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = |event: &Value| {
        format!(
            "{}/{}",
            text(&event["regarding"]["kind"]),
            text(&event["regarding"]["name"])
        )
    };
    let mut told: Vec<_> = stage
        .api
        .events()
        .iter()
        .map(|event| (text(&event["reason"]), about(event)))
        .collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_jobs_and_removals_are_counted() {
    let stage = Stage::new().await;
    let dead = stage.pod("dead");
    stage.pod("alive");
    stage.world.pool.add_agent("laptop", &[]);
    let keep = stage.keep(&[]).await;
    stage.until_known(&keep, "dead", dead).await;
    let pool = stage.world.settings.pool.clone();
    let at = [("pool", pool.as_str()), ("namespace", NAMESPACE)];
    until(&keep, "cicd_worker_count", &[at[0], at[1], ("owner", "pod")], 2.0).await;
    // One that comes while it looks.
    stage.pod("later");
    until(&keep, "ado_agent_registrations_total", &at, 1.0).await;
    stage.world.pool.make_busy(dead);
    until(
        &keep,
        "cicd_pipeline_task_run_active",
        &[at[0], at[1], ("cicd_pipeline_task_run_state", "running")],
        1.0,
    )
    .await;
    stage.world.pool.queue_job(JobSpec::seconds(1.0)).unwrap();
    until(
        &keep,
        "cicd_pipeline_task_run_active",
        &[at[0], ("cicd_pipeline_task_run_state", "queued")],
        1.0,
    )
    .await;
    stage.api.delete_pod(NAMESPACE, "dead");
    until(&keep, "ado_agent_orphans", &at, 1.0).await;
    stage
        .until_swept(&keep, "it is removed", |stage| pool_lacks(stage, dead))
        .await;
    let by_sweep = [at[0], at[1], ("by", "sweep"), ("outcome", "removed")];
    let samples = until(&keep, "ado_agent_removals_total", &by_sweep, 1.0).await;
    assert_eq!(sum(&samples, "ado_agent_jobs_lost_total", &at), 1.0);
    assert_eq!(
        sum(&samples, "cicd_worker_count", &[at[0], ("owner", "foreign")]),
        1.0,
        "the laptop"
    );
    for route in ["list-agents", "list-job-requests", "delete-agent"] {
        let answered = sum(
            &samples,
            "ado_agent_requests_total",
            &[("route", route), ("code", "200")],
        ) + sum(
            &samples,
            "ado_agent_requests_total",
            &[("route", route), ("code", "204")],
        );
        assert!(answered >= 1.0, "{route}");
    }
    assert!(samples.iter().all(|sample| !sample.labels.contains_key("pod")));
    let told = told(&stage);
    assert!(
        told.contains(&("AgentRegistered".to_owned(), "Pod/later".to_owned())),
        "{told:?}"
    );
    assert!(
        told.contains(&("AgentRemoved".to_owned(), "Pod/dead".to_owned())),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_and_an_end_are_told_at_the_pod_and_at_its_deployment() {
    let stage = Stage::new().await;
    let deployment = stage
        .api
        .set_owner(NAMESPACE, "deployments", "Deployment", "azp-agent", None);
    let set = stage
        .api
        .set_owner(NAMESPACE, "replicasets", "ReplicaSet", "azp-agent-1", Some(deployment));
    let uid = stage.bare_pod("agent-0", &json!({}));
    let mut pod = stage.api.pod_object(NAMESPACE, "agent-0");
    pod["metadata"]["ownerReferences"] = json!([set]);
    stage.api.set_pod(pod.clone());
    let keep = stage.keep(&[]).await;
    assert_eq!(keep.until_ready(200).await, "ok\n");
    let refused = "pool-missing: There is no pool \"linx\"; check the name.";
    let sidecar = |state: &Value, last: &Value| {
        json!([{"name": contract::SIDECAR_CONTAINER, "image": "sidecar", "imageID": "", "ready": false, "restartCount": 1,
            "started": false, "state": state, "lastState": last}])
    };
    let running = json!({"running": {"startedAt": "2026-11-29T12:00:00Z"}});
    let ended = |message: &str| json!({"terminated": {"exitCode": 1, "message": message}});
    pod["status"]["initContainerStatuses"] = sidecar(&running, &ended(refused));
    stage.api.set_pod(pod.clone());
    let problem = [("namespace", NAMESPACE), ("reason", "pool-missing")];
    until(&keep, "ado_agent_problem_pods", &problem, 1.0).await;
    stage.agent("agent-0", "agent-0", &uid);
    let pool = stage.world.settings.pool.clone();
    until(&keep, "ado_agent_registrations_total", &[("pool", pool.as_str())], 1.0).await;
    pod["status"]["initContainerStatuses"] = sidecar(&ended("removed: The agent was removed."), &json!({}));
    stage.api.set_pod(pod);
    let by_sidecar = [("by", "sidecar"), ("outcome", "removed")];
    let samples = until(&keep, "ado_agent_removals_total", &by_sidecar, 1.0).await;
    assert_eq!(sum(&samples, "ado_agent_problem_pods", &problem), 0.0);
    keep.until("all is told", || told(&stage).len() >= 6).await;
    let expected = ["AgentRegistered", "AgentRemoved", "PoolMissing"]
        .map(|reason| ["Deployment/azp-agent", "Pod/agent-0"].map(|about| (reason.to_owned(), about.to_owned())));
    assert_eq!(told(&stage), expected.concat());
    let events = stage.api.events();
    let said = events.iter().find(|event| event["reason"] == "PoolMissing").unwrap();
    assert_eq!(said["note"], refused);
    assert_eq!(said["type"], "Warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubelets_events_are_heard_and_a_series_is_not_begun_twice() {
    let stage = Stage::new().await;
    let uid = stage.bare_pod("agent-0", &json!({}));
    let now = stage.world.ado.clock().now().iso();
    stage.api.set_event(
        NAMESPACE,
        "agent-0.1",
        json!({
            "reason": "Unhealthy", "type": "Warning", "eventTime": null, "deprecatedCount": 3, "deprecatedLastTimestamp": now,
            "note": "Startup probe failed: role-missing: The identity needs Administrator.",
            "regarding": {"kind": "Pod", "namespace": NAMESPACE, "name": "agent-0", "uid": uid,
                "fieldPath": format!("spec.initContainers{{{}}}", contract::SIDECAR_CONTAINER)},
        }),
    );
    for replica in 1..=2 {
        let keep = stage.keep(&[]).await;
        until(&keep, "ado_agent_problem_pods", &[("reason", "role-missing")], 1.0).await;
        keep.until("it is told", || {
            let events = stage.api.events();
            let found = events.iter().find(|event| event["reason"] == "RoleMissing");
            found.is_some_and(|event| replica == 1 || event["series"]["count"] == replica)
        })
        .await;
    }
    assert_eq!(told(&stage), [("RoleMissing".to_owned(), "Pod/agent-0".to_owned())]);
}
