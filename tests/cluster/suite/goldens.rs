//! The pods of the webhook's goldens, judged by the real API server.

use crate::case::Case;
use crate::suite::say;
use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use tests::programs::repository;

/// Where no webhook of ours is asked, and with a ServiceAccount that every namespace has.
const PATH: &str = "/api/v1/namespaces/default/pods?dryRun=All";

/// Fewer would mean that something else is wrong.
const MANY: usize = 80;

pub(crate) async fn the_api_server_accepts_every_patched_pod_whose_original_it_accepts(case: Case) -> Result<()> {
    let folder = repository().join("webhook/inject/testdata");
    let mut accepted = 0;
    let mut refused_before = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let golden = entry?.path();
        let patched = golden.join("pod.patched.json");
        if !patched.exists() {
            continue;
        }
        let name = golden.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let before = judged(&case, &golden.join("pod.json")).await?;
        let after = judged(&case, &patched).await?;
        match (before, after) {
            (None, None) => accepted += 1,
            (None, Some(why)) => anyhow::bail!("{name}: what the webhook made of it is refused: {why}"),
            (Some(why), _) => refused_before.push(format!("{name}: {why}")),
        }
    }
    say(&format!(
        "{accepted} goldens are accepted with and without the sidecar; {} are refused without it, too:\n{}",
        refused_before.len(),
        refused_before.join("\n")
    ));
    ensure!(accepted >= MANY, "only {accepted} goldens were judged");
    Ok(())
}

/// Why the API server would not create the pod; `None` where it would.
async fn judged(case: &Case, file: &Path) -> Result<Option<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut pod: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["namespace"] = json!("default");
    if !pod["metadata"]["name"].is_string() {
        pod["metadata"]["generateName"] = json!("golden-");
    }
    pod["spec"]["serviceAccountName"] = json!("default");
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("serviceAccount");
    }
    let (status, answer) = case.suite.api.send(Method::POST, PATH, Some(&pod)).await?;
    if status == 201 {
        return Ok(None);
    }
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::String(answer));
    Ok(Some(format!(
        "{status} {}",
        answer["message"].as_str().unwrap_or_default()
    )))
}
