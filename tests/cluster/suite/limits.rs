//! Namespaces with a ResourceQuota or a LimitRange.

use crate::case::{Case, LIMIT};
use crate::usual::{apply_all, delete_all, ensure_says, named, online, short_grace};
use crate::workload::{agent, annotate, deployment, pod, template};
use anyhow::{Context, Result, ensure};
use contract::{SIDECAR_CONTAINER, SIDECAR_MEMORY_ANNOTATION};
use serde_json::json;

/// A quota of requests and limits wants both of every container, and no LimitRange gives them.
pub(crate) async fn a_quota_without_a_limit_range_admits_and_counts_the_sidecar(case: Case) -> Result<()> {
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota"},
        "spec": {"hard": {"requests.cpu": "2", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "320Mi"}},
    });
    let mut template = template("gen3");
    short_grace(&mut template);
    agent(&mut template)["resources"] = json!({
        "requests": {"cpu": "10m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    });
    case.apply(&quota)?;
    let is_counted = || async {
        let quota = case
            .suite
            .api
            .get(&format!("{}/quota", case.path("resourcequotas")))
            .await?;
        Ok((!quota["status"]["used"].is_null()).then_some(()))
    };
    case.wait("the quota to be known", LIMIT, is_counted).await?;
    case.apply(&pod("agent", &template))?;
    online(&case, &["agent"]).await?;
    let used = case
        .suite
        .api
        .get(&format!("{}/quota", case.path("resourcequotas")))
        .await?;
    let used = &used["status"]["used"];
    ensure!(
        used["requests.cpu"] == "110m" && used["limits.cpu"] == "600m" && used["limits.memory"] == "288Mi",
        "agent and sidecar together: {used:#}"
    );
    let second = case
        .apply(&pod("second", &template))
        .err()
        .context("a second one does not fit")?;
    ensure_says(&second.to_string(), &["exceeded quota", "limits.memory"])?;
    delete_all(&case).await
}

/// The sidecar's 32Mi are more than the namespace allows; the ReplicaSet says so, and an annotation cures it.
pub(crate) async fn a_limit_range_below_the_sidecar_is_reported_and_worked_around(case: Case) -> Result<()> {
    let range = json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "31Mi"}, "default": {"memory": "31Mi"}}]},
    });
    let mut template = template("gen3");
    short_grace(&mut template);
    agent(&mut template)["resources"] = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
    apply_all(&case, &[range, deployment("agent", 1, &template)])?;
    let looked = || async {
        let events = case.kubectl(&["get", "events", "--field-selector=reason=FailedCreate"])?;
        ensure_says(
            &events,
            &["maximum memory usage per Container is 31Mi, but limit is 32Mi"],
        )?;
        Ok(Some(()))
    };
    case.wait("an event that names both sizes", LIMIT, looked).await?;
    annotate(&mut template, SIDECAR_MEMORY_ANNOTATION, "24Mi");
    case.apply(&deployment("agent", 1, &template))?;
    case.wait_for_agents(1).await?;
    let pods = case.pods().await?;
    let sidecar = named(&pods[0]["spec"]["initContainers"], SIDECAR_CONTAINER)?;
    ensure!(
        sidecar["resources"]["limits"]["memory"] == "24Mi" && sidecar["resources"]["requests"]["memory"] == "24Mi",
        "{:#}",
        sidecar["resources"]
    );
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}
