//! What our programs count, and the API server about the webhook.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use contract::SYSTEM_NAMESPACE;
use std::collections::BTreeMap;

/// A counter's values by its labels, as they stand between the braces.
pub(crate) type Counts = BTreeMap<String, f64>;

/// The metrics page of each pod of ours of this name, as Prometheus reads it.
pub(crate) async fn pages(case: &Case, name: &str) -> Result<Vec<String>> {
    let pods = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods");
    let selector = format!("labelSelector=app.kubernetes.io%2Fname%3D{name}");
    let list = case.suite.api.get(&format!("{pods}?{selector}")).await?;
    let replicas = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(!replicas.is_empty(), "{name} has no pods");
    let mut pages = Vec::new();
    for replica in replicas {
        let name = replica["metadata"]["name"].as_str().unwrap_or_default();
        let (status, text) = case
            .suite
            .api
            .text(&format!("{pods}/{name}:8080/proxy/metrics"))
            .await?;
        ensure!(status == 200, "the metrics of {name}: {status} {text}");
        pages.push(text);
    }
    Ok(pages)
}

/// Reviews that the webhook's replicas have answered, together.
pub(crate) async fn reviews(case: &Case) -> Result<Counts> {
    let mut sum = Counts::new();
    for page in pages(case, "ado-agent-webhook").await? {
        for (labels, value) in counts(&page, "ado_agent_webhook_requests_total")? {
            *sum.entry(labels).or_default() += value;
        }
    }
    Ok(sum)
}

/// What the API server counted about our webhook: `request_total`, `rejection_count` or `fail_open_count`.
pub(crate) async fn calls(case: &Case, counter: &str) -> Result<Counts> {
    let (status, text) = case.suite.api.text("/metrics").await?;
    ensure!(status == 200, "the API server's metrics: {status} {text}");
    let mut counts = counts(&text, &format!("apiserver_admission_webhook_{counter}"))?;
    counts.retain(|labels, _| labels.contains(r#"name="inject.ado-agent.dev""#));
    Ok(counts)
}

/// All of a counter, whatever its labels.
pub(crate) fn total(counts: &Counts) -> f64 {
    counts.values().sum()
}

/// What was added since: zero is left out.
pub(crate) fn since(before: &Counts, after: &Counts) -> Counts {
    let added = after.iter().map(|(labels, value)| {
        let added = value - before.get(labels).copied().unwrap_or_default();
        (labels.clone(), added)
    });
    added.filter(|(_, added)| *added != 0.0).collect()
}

/// The lines of a counter in Prometheus' text format.
pub(crate) fn counts(text: &str, name: &str) -> Result<Counts> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    lines
        .map(|line| {
            let (labels, value) = line.rsplit_once("} ").context("a sample has labels and a value")?;
            Ok((labels.to_owned(), value.parse()?))
        })
        .collect()
}
