//! SIGTERM waits for the job: every start script with a job of a quarter of a minute, for each way in which an agent's pod
//! leaves a cluster that goes on.

use crate::case::{Case, LIMIT};
use crate::life::{hurry, with_grace};
use crate::scripts::own_exchange;
use crate::suite::say;
use crate::usual::{all_succeeded, apply_all, queue};
use crate::workload::{CONTAINER, agent, deployment, template};
use anyhow::{Context, Result, ensure};
use cluster::agent_image;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::demo::stage::{SCRIPTS, does_own_exchange};
use tokio::sync::Mutex;

/// How long each job takes, in seconds; the grace is four times as long.
const JOB: u32 = 15;

/// Until there is room for all pods: a node of two processors takes some twenty sidecars, and other tests have theirs.
const ROOM: Duration = Duration::from_secs(240);

/// These tests need half of that room each, so they take turns: otherwise each could hold a part and wait for the rest forever.
static TURN: Mutex<()> = Mutex::const_new(());

/// A way in which pods leave.
#[derive(Clone, Copy, Debug)]
enum Way {
    Deleted,
    Evicted,
    ScaledIn,
    Drained,
}

pub(crate) async fn a_job_outlives_the_deletion_of_its_pod(case: Case) -> Result<()> {
    every_script(&case, Way::Deleted).await
}

pub(crate) async fn a_job_outlives_the_eviction_of_its_pod(case: Case) -> Result<()> {
    every_script(&case, Way::Evicted).await
}

pub(crate) async fn a_job_outlives_scaling_in(case: Case) -> Result<()> {
    every_script(&case, Way::ScaledIn).await
}

pub(crate) async fn a_job_outlives_the_drain_of_its_node(case: Case) -> Result<()> {
    let left = every_script(&case, Way::Drained).await;
    case.kubectl(&["uncordon", "node0"])?;
    left
}

async fn every_script(case: &Case, way: Way) -> Result<()> {
    let _turn = TURN.lock().await;
    let deployments = SCRIPTS.map(|script| {
        let mut template = with_grace(template(script), 4 * JOB);
        hurry(&mut template);
        // As the Debian image has it: some scripts write where only root may.
        template["spec"]["securityContext"] = json!({"runAsUser": 0});
        agent(&mut template)["securityContext"] = json!({});
        if does_own_exchange(script) {
            own_exchange(case, &mut template);
        }
        deployment(script, 1, &template)
    });
    apply_all(case, &deployments)?;
    case.wait_for_agents_within(ROOM, SCRIPTS.len()).await?;
    let pods = case.ready_pods().await?;
    let pods: Vec<(&str, String)> = SCRIPTS
        .iter()
        .map(|script| Ok((*script, of_script(&pods, script)?)))
        .collect::<Result<_>>()?;
    for (_, pod) in &pods {
        queue(case, pod, &format!("sleep {JOB}"))?;
    }
    case.wait_for_pool("every agent with its job", |agents| {
        agents.iter().all(|agent| agent.job.is_some())
    })
    .await?;

    let began = Instant::now();
    leave(case, way, &pods).await?;
    let mut table = vec![format!("{way:?} under a job of {JOB} s: seconds to the pod's end")];
    for (script, pod) in &pods {
        case.wait_until_gone(pod).await?;
        table.push(format!("{script:14} | {:4.1}", began.elapsed().as_secs_f32()));
    }
    say(&table.join("\n"));
    all_succeeded(case).await?;
    case.kubectl(&["delete", "deployments", "--all"])?;
    case.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    case.wait_for_agents(0).await
}

/// Name of the pod with this script.
fn of_script(pods: &[Value], script: &str) -> Result<String> {
    let image = agent_image::name(script);
    let pod = pods.iter().find(|pod| {
        let containers = pod["spec"]["containers"].as_array();
        let mut containers = containers.into_iter().flatten();
        containers.any(|container| container["name"] == CONTAINER && container["image"] == image.as_str())
    });
    let name = pod.and_then(|pod| pod["metadata"]["name"].as_str());
    name.map(str::to_owned).with_context(|| format!("no pod has {image}"))
}

async fn leave(case: &Case, way: Way, pods: &[(&str, String)]) -> Result<()> {
    match way {
        Way::Deleted => case.kubectl(&["delete", "pods", "--all", "--wait=false"]).map(drop),
        Way::ScaledIn => case
            .kubectl(&["scale", "deployments", "--all", "--replicas=0"])
            .map(drop),
        Way::Drained => {
            let limit = format!("--timeout={}s", LIMIT.as_secs());
            let drain = [
                "drain",
                "node0",
                "--pod-selector=app=azp-agent",
                "--delete-emptydir-data",
            ];
            case.kubectl(&[&drain[..], &[limit.as_str()]].concat()).map(drop)
        }
        Way::Evicted => {
            for (_, pod) in pods {
                let eviction = json!({
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"name": pod, "namespace": case.namespace},
                });
                let path = format!("{}/{pod}/eviction", case.path("pods"));
                let (status, answer) = case
                    .suite
                    .api
                    .send(reqwest::Method::POST, &path, Some(&eviction))
                    .await?;
                ensure!(status == 201, "the eviction of {pod}: {status} {answer}");
            }
            Ok(())
        }
    }
}
