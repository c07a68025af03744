//! What a pod beside azwi holds, and how often each webhook was called for it.

use crate::case::Case;
use crate::workload::CONTAINER;
use anyhow::{Context, Result, ensure};
use cluster::azwi;
use contract::SIDECAR_CONTAINER;
use serde_json::Value;

/// The agent's container has neither a variable nor a mount of azwi's: looked at from inside, and in the pod.
pub(super) fn holds_nothing(case: &Case, pod: &Value) -> Result<()> {
    let variables = variables(case, pod)?;
    let azure: Vec<_> = variables
        .iter()
        .filter(|variable| variable.starts_with("AZURE_FEDERATED"))
        .collect();
    ensure!(azure.is_empty(), "the agent's process has {azure:?}");
    let mounts = secret_mounts(case, pod)?;
    ensure!(mounts.is_empty(), "the agent's container has {mounts:?}");
    let audiences = audiences(pod, CONTAINER);
    ensure!(
        audiences.is_empty(),
        "the agent's container has tokens for {audiences:?}"
    );
    Ok(())
}

/// Mounts of the agent's container where secrets usually are, seen from inside.
pub(super) fn secret_mounts(case: &Case, pod: &Value) -> Result<Vec<String>> {
    let mounts = case.exec(name(pod), CONTAINER, &["cat", "/proc/1/mounts"])?;
    let secrets = mounts.lines().filter(|mount| mount.contains("/secrets/"));
    Ok(secrets.map(str::to_owned).collect())
}

/// The sidecar has exactly one token, of our own projection, and its variables are ours alone.
pub(super) fn own_identity(pod: &Value) -> Result<()> {
    let audiences = audiences(pod, SIDECAR_CONTAINER);
    ensure!(
        audiences == [contract::DEFAULT_AUDIENCE],
        "the sidecar's tokens are for {audiences:?}"
    );
    let container = container(pod, SIDECAR_CONTAINER).context("the pod has the sidecar")?;
    let variables = container["env"].as_array().into_iter().flatten();
    let files: Vec<_> = variables
        .filter(|variable| variable["name"] == contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE)
        .collect();
    ensure!(
        files.len() == 1 && !files[0]["value"].to_string().contains("/azure/"),
        "the sidecar's token file is {files:?}"
    );
    Ok(())
}

/// Audiences of the projected tokens that a container mounts.
pub(super) fn audiences<'p>(pod: &'p Value, name: &str) -> Vec<&'p str> {
    let mounts = container(pod, name).map(|container| &container["volumeMounts"]);
    let mounts = mounts.and_then(Value::as_array).into_iter().flatten();
    let volumes = pod["spec"]["volumes"].as_array();
    mounts
        .filter_map(|mount| volumes?.iter().find(|volume| volume["name"] == mount["name"]))
        .filter_map(|volume| volume["projected"]["sources"].as_array())
        .flatten()
        .filter_map(|source| source.get("serviceAccountToken")?["audience"].as_str())
        .collect()
}

/// A container of a pod's specification.
fn container<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    ["containers", "initContainers"]
        .iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .find(|container| container["name"] == name)
}

/// Variables that the first process of the agent's container was started with.
pub(super) fn variables(case: &Case, pod: &Value) -> Result<Vec<String>> {
    let environment = case.exec(name(pod), CONTAINER, &["cat", "/proc/1/environ"])?;
    let variables: Vec<String> = environment.split('\0').map(str::to_owned).collect();
    ensure!(
        variables.iter().any(|variable| variable.starts_with("AZP_URL=")),
        "this is not the agent's environment: {variables:?}"
    );
    Ok(variables)
}

pub(super) fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// How often the API server has called a webhook.
pub(super) async fn api_calls(case: &Case, webhook: &str) -> Result<u64> {
    let (status, metrics) = case.suite.api.text("/metrics").await?;
    ensure!(status == 200, "/metrics: {status}");
    let name = format!("name=\"{webhook}\"");
    sum(&metrics, "apiserver_admission_webhook_request_total{", &name)
}

/// How often azwi was called for pods of the namespace, as it counts itself.
pub(super) async fn azwi_calls(case: &Case) -> Result<u64> {
    let pods = format!("/api/v1/namespaces/{}/pods", azwi::NAMESPACE);
    let list = case.suite.api.get(&pods).await?;
    let mut calls = 0;
    let namespace = format!("namespace=\"{}\"", case.namespace);
    for pod in list["items"].as_array().into_iter().flatten() {
        let path = format!("{pods}/{}:8095/proxy/metrics", name(pod));
        let (status, metrics) = case.suite.api.text(&path).await?;
        ensure!(status == 200, "{path}: {status}");
        calls += sum(&metrics, "azwi_mutation_request", &namespace)?;
    }
    Ok(calls)
}

/// Sum of a counter's, or of a histogram's counts, over all lines with a label.
fn sum(metrics: &str, metric: &str, label: &str) -> Result<u64> {
    metrics
        .lines()
        .filter(|line| line.starts_with(metric) && line.contains(label))
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum{"))
        .map(|line| {
            let value = line.rsplit(' ').next().unwrap_or_default();
            let value: f64 = value.parse().with_context(|| format!("no number in {line}"))?;
            Ok(value as u64)
        })
        .sum()
}
