//! A Job of a thousand pods at once: all are admitted, and the node runs as many as it has room for. Controllers ask the API
//! server no more than 20 times in a second by default, so that "at once" is about a minute.

use crate::case::{Case, LIMIT};
use crate::suite::say;
use crate::workload::{job, template};
use anyhow::{Result, ensure};
use contract::SIDECAR_CONTAINER;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

const PODS: usize = 1000;
/// Fewer would be no crowd. Requests of CPU are what fills a small machine.
const CROWD: usize = 8;

pub(crate) async fn a_job_of_a_thousand_pods_is_admitted_as_a_whole(case: Case) -> Result<()> {
    let before = rejections(&case).await?;
    let mut object = job("crowd", &template("gen3"));
    object["spec"]["parallelism"] = json!(PODS);
    object["spec"]["completions"] = json!(PODS);
    let begin = Instant::now();
    case.apply(&object)?;
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/crowd", case.namespace);
    let looked = || async {
        let status = case.suite.api.get(&path).await?["status"].take();
        ensure!(status["active"] == PODS, "{status}");
        Ok(Some(()))
    };
    case.wait("a thousand pods", 2 * LIMIT, looked).await?;
    say(&format!("{PODS} pods were created within {:?}", begin.elapsed()));
    let pods = case.pods().await?;
    ensure!(
        pods.len() == PODS && pods.iter().all(has_one_sidecar),
        "every pod has the sidecar, once"
    );
    let rejected = rejections(&case).await?;
    ensure!(
        rejected == before,
        "rejections or failed calls: {rejected:#?}, before: {before:#?}"
    );

    case.wait_for_pool("a crowd of agents online", |agents| {
        agents.iter().filter(|agent| agent.online).count() >= CROWD
    })
    .await?;
    let online = case.pool.agents().len();

    // What the controllers may ask in a second is what the end would take; it is not what is looked at.
    case.blocking(|| {
        let node = &case.suite.node;
        node.kill("kube-controller-manager")?;
        node.start_again("kube-controller-manager", |program| {
            let faster = ["--kube-api-qps=200", "--kube-api-burst=400"];
            program.arguments.extend(faster.map(str::to_owned));
        })
    })?;
    case.kubectl(&["delete", "job", "crowd", "--wait=false"])?;
    // Those that wait for room have nothing to end.
    let pending = format!("{}?fieldSelector=status.phase%3DPending", case.path("pods"));
    case.suite.api.send(Method::DELETE, &pending, None).await?;
    let any = format!("{}?limit=1", case.path("pods"));
    let looked = || async {
        let left = case.suite.api.get(&any).await?;
        Ok(left["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    };
    case.wait("the end of all pods", 2 * LIMIT, looked).await?;
    say(&format!("{online} agents or more were online"));
    case.wait_for_agents(0).await
}

fn has_one_sidecar(pod: &Value) -> bool {
    let containers = pod["spec"]["initContainers"].as_array();
    containers
        .into_iter()
        .flatten()
        .filter(|container| container["name"] == SIDECAR_CONTAINER)
        .count()
        == 1
}

/// The API server's counters of this webhook's denials, and of calls that failed.
async fn rejections(case: &Case) -> Result<Vec<String>> {
    let (status, text) = case.suite.api.text("/metrics").await?;
    ensure!(status == 200, "/metrics: {status}");
    let counters = [
        "apiserver_admission_webhook_rejection_count",
        "apiserver_admission_webhook_fail_open_count",
    ];
    let ours = |line: &&str| {
        counters.iter().any(|counter| line.starts_with(counter)) && line.contains("name=\"inject.ado-agent.dev\"")
    };
    Ok(text.lines().filter(ours).map(str::to_owned).collect())
}
