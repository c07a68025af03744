//! The webhook's pods come and go, and the API server, while pods are created.

use crate::case::{Case, LIMIT};
use crate::load::{Load, Tally};
use crate::webhook::{DEPLOYMENT, Webhook, lives, plain, runtime_specification, wait_until_injected};
use crate::workload::{deployment, pod, template};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::apiserver::review::of_pod;

/// `timeoutSeconds` of the webhook: the longest that its loss may be noticed.
const NOTICED: Duration = Duration::from_secs(5);

/// Also: read-only, by number, without rights, in half of the memory that the manifests give it.
pub(crate) async fn a_rolling_update_and_evictions_lose_no_call(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    webhook.wait_until_ready().await?;
    let load = Load::start(&case);
    webhook.kubectl(&["set", "resources", DEPLOYMENT, "--limits=memory=32Mi"])?;
    let arguments = ["rollout", "status", DEPLOYMENT, "--timeout=100s"];
    webhook.kubectl(&arguments)?;
    let new = webhook.wait_until_ready().await?;
    for pod in &new {
        check_rights(&runtime_specification(&case, pod)?)?;
    }
    for pod in &new {
        evict(&case, pod).await?;
    }
    let after = webhook.wait_until_ready().await?;
    load.pass(&case, 40).await?;
    load.end_without_failure()?;
    ensure!(
        lives(&after).iter().all(|(_, restarts)| *restarts == 0),
        "no pod ran out of memory: {after:#?}"
    );
    Ok(())
}

/// As `kubectl drain` does: again and again while the PodDisruptionBudget does not allow it, then until the pod is gone.
async fn evict(case: &Case, pod: &Value) -> Result<()> {
    let (name, namespace) = (&pod["metadata"]["name"], &pod["metadata"]["namespace"]);
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}",
        namespace.as_str().unwrap_or_default(),
        name.as_str().unwrap_or_default()
    );
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    });
    let api = &case.suite.api;
    let looked = || async {
        let (status, text) = api
            .send(reqwest::Method::POST, &format!("{path}/eviction"), Some(&eviction))
            .await?;
        ensure!(status == 201, "{status} {text}");
        Ok(Some(()))
    };
    case.wait(&format!("the eviction of {name}"), LIMIT, looked).await?;
    let looked = || async { Ok(api.find(&path).await?.is_none().then_some(())) };
    case.wait(&format!("the end of {name}"), LIMIT, looked).await
}

/// What the container may do, as the runtime was told.
fn check_rights(specification: &Value) -> Result<()> {
    let process = &specification["process"];
    ensure!(
        process["user"]["uid"] == 65532 && process["user"]["gid"] == 65532,
        "{process}"
    );
    ensure!(process["noNewPrivileges"] == true, "{process}");
    for (set, rights) in process["capabilities"].as_object().into_iter().flatten() {
        ensure!(rights.as_array().is_none_or(Vec::is_empty), "{set}: {rights}");
    }
    ensure!(specification["root"]["readonly"] == true, "{}", specification["root"]);
    let memory = &specification["linux"]["resources"]["memory"]["limit"];
    ensure!(memory == 32 << 20, "{memory}");
    ensure!(
        specification["linux"]["seccomp"].is_object(),
        "without a seccomp profile"
    );
    Ok(())
}

/// SIGKILL of the process, then the loss of the pod as kubectl can force it.
pub(crate) async fn a_webhook_pod_that_dies_causes_a_short_outage_only(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    case.apply(&deployment("agent", 0, &template("gen3")))?;
    let load = Load::start(&case);
    let ready = webhook.wait_until_ready().await?;
    load.pass(&case, 20).await?;

    let killed = Instant::now();
    case.signal(&ready[0], "webhook", "SIGKILL")?;
    // Controllers try again what was refused.
    case.scale("deployment/agent", 3)?;
    case.wait_for_agents(3).await?;
    let restarted = |pods: &[Value]| lives(pods).iter().map(|(_, restarts)| restarts).sum::<u64>() > 0;
    let looked = || async { Ok(restarted(&webhook.wait_until_ready().await?).then_some(())) };
    case.wait("the killed process to be started again", LIMIT, looked)
        .await?;
    let name = ready[1]["metadata"]["name"].as_str().context("pods have names")?;
    let deleted = Instant::now();
    webhook.kubectl(&["delete", "pod", name, "--force", "--grace-period=0"])?;
    webhook.wait_until_ready().await?;
    load.pass(&case, 100).await?;
    check_gaps(&load.end(), &[killed, deleted])?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}

/// Calls may fail only from the moment of a loss until it can be noticed; a little sooner, if they were on their way.
fn check_gaps(tally: &Tally, losses: &[Instant]) -> Result<()> {
    let is_excused = |time: Instant| {
        losses
            .iter()
            .any(|loss| time <= *loss + NOTICED && *loss <= time + NOTICED)
    };
    let others: Vec<_> = tally.failures.iter().filter(|(time, _)| !is_excused(*time)).collect();
    ensure!(others.is_empty(), "calls that no loss excuses: {others:#?}");
    Ok(())
}

pub(crate) async fn an_outage_of_the_api_server_restarts_nothing(case: Case) -> Result<()> {
    let webhook = Webhook::of(&case);
    case.apply(&deployment("agent", 1, &template("gen3")))?;
    case.wait_for_agents(1).await?;
    let before = webhook.wait_until_ready().await?;
    let agents = case.ready_pods().await?;
    let bundle = webhook.bundle().await?;

    case.blocking(|| case.suite.node.kill("kube-apiserver"))?;
    let asked = webhook.pods().await;
    ensure!(asked.is_err(), "the API server is away: {asked:?}");
    let mut review = pod("asks", &template("gen3"));
    review["metadata"]["namespace"] = json!(case.namespace);
    for pod in &before {
        let answer = webhook.review(pod, &bundle, &of_pod(&case.namespace, &review)).await?;
        ensure!(
            answer["response"]["allowed"] == true && answer["response"]["patch"].is_string(),
            "{answer}"
        );
        let (status, body) = plain(pod, "/readyz").await?;
        ensure!(status == 200, "/readyz: {status} {body}");
    }

    case.blocking(|| {
        case.suite.node.start_again("kube-apiserver", |_| {})?;
        case.suite.node.wait_for_api_server()
    })?;
    wait_until_injected(&case).await?;
    // One that the webhook can know only from an API server that is back.
    case.apply(&case.account("later"))?;
    let mut later = template("gen3");
    later["spec"]["serviceAccountName"] = json!("later");
    let later = pod("later", &later);
    let looked = || async { crate::webhook::injected(&case, &later).await.map(Some) };
    case.wait("a pod with a new ServiceAccount", LIMIT, looked).await?;
    ensure!(
        lives(&webhook.wait_until_ready().await?) == lives(&before),
        "no pod of the webhook was started again"
    );
    // The kubelet tells what it could not tell meanwhile.
    let now = case.ready_pods().await?;
    let restarts = |pods: &[Value]| -> Vec<Value> {
        pods.iter()
            .map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].clone())
            .collect()
    };
    ensure!(
        restarts(&now) == restarts(&agents),
        "no agent was started again: {now:#?}"
    );
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}
