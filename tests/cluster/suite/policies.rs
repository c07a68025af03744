//! Pod Security, NetworkPolicies and the two components with admission policies, judged by the API server.

use crate::case::{Case, LIMIT};
use crate::usual::{ensure_says, names, short_grace, would_become};
use crate::workload::{agent, deployment, pod, template};
use anyhow::{Context, Result, ensure};
use cluster::command::Said;
use contract::{INJECT_LABEL, SIDECAR_CONTAINER, SYSTEM_NAMESPACE};
use serde_json::{Value, json};
use tests::programs::repository;

/// kubectl outside the namespace of the test.
fn kubectl(case: &Case, arguments: &[&str]) -> Result<Said> {
    case.blocking(|| case.suite.node.kubectl_fed(arguments, "", LIMIT))
}

/// `kubectl apply -k` or `delete -k` of a folder of the repository.
fn kustomized(case: &Case, verb: &str, folder: &str, options: &[&str]) -> Result<Said> {
    let folder = repository().join(folder);
    let folder = folder.to_str().context("the repository's path is UTF-8")?;
    kubectl(case, &[&[verb, "-k", folder], options].concat())
}

/// A pod that the level `restricted` refuses.
fn unrestricted() -> Value {
    let mut template = template("gen3");
    agent(&mut template)["securityContext"] = json!({"allowPrivilegeEscalation": true});
    pod("unrestricted", &template)
}

pub(crate) async fn restricted_namespaces_admit_agents_and_the_webhook(case: Case) -> Result<()> {
    let levels = ["enforce", "audit", "warn"].map(|mode| format!("pod-security.kubernetes.io/{mode}=restricted"));
    let [enforce, audit, warn] = levels.each_ref().map(String::as_str);
    case.kubectl(&["label", "namespace", &case.namespace, enforce, audit, warn])?;
    let refusal = would_become(&case, &unrestricted())
        .err()
        .context("the level is enforced")?;
    ensure_says(&refusal.to_string(), &["violates PodSecurity \"restricted:latest\""])?;
    let mut template = template("gen3");
    short_grace(&mut template);
    let said = case.apply(&deployment("agent", 1, &template))?;
    ensure!(said.error.is_empty(), "no warning: {}", said.error);
    case.wait_for_agents(1).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await?;

    // Our own namespace came with the level, before the webhook's pods did.
    let namespace = case
        .suite
        .api
        .get(&format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}"))
        .await?;
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    ensure!(*level == "restricted", "{namespace:#}");
    let path = format!("/apis/apps/v1/namespaces/{SYSTEM_NAMESPACE}/deployments/ado-agent-webhook");
    let webhook = case.suite.api.get(&path).await?;
    ensure!(webhook["status"]["readyReplicas"] == 2, "{:#}", webhook["status"]);
    Ok(())
}

pub(crate) async fn every_manifest_is_valid_to_the_api_server(case: Case) -> Result<()> {
    for (folder, kinds) in [
        (
            "manifests/base",
            &[
                "networkpolicy.networking.k8s.io",
                "poddisruptionbudget.policy",
                "resourcequota",
            ][..],
        ),
        (
            "manifests/overlays/production",
            &["networkpolicy.networking.k8s.io", "validatingadmissionpolicy."],
        ),
        (
            "tests/cluster/manifests/failure-policy-ignore",
            &["validatingadmissionpolicybinding."],
        ),
    ] {
        let said = kustomized(&case, "apply", folder, &["--dry-run=server"])?;
        ensure!(said.error.is_empty(), "{folder}: {}", said.error);
        for kind in kinds {
            let line = said.output.lines().find(|line| line.starts_with(kind));
            ensure_says(line.unwrap_or_default(), &[kind, "(server dry run)"])?;
        }
    }
    Ok(())
}

pub(crate) async fn a_forgotten_label_is_denied_by_the_component(case: Case) -> Result<()> {
    const COMPONENT: &str = "tests/cluster/manifests/forgotten-label";
    kustomized(&case, "apply", COMPONENT, &[])?;
    let result = forgotten(&case).await;
    kustomized(&case, "delete", COMPONENT, &[])?;
    result
}

async fn forgotten(case: &Case) -> Result<()> {
    let advice = format!("{INJECT_LABEL}=true");
    case.kubectl(&["label", "namespace", &case.namespace, &format!("{INJECT_LABEL}-")])?;
    let labeled = pod("labeled", &template("gen3"));
    // The API server needs a moment to know a policy.
    let looked = || async { Ok(would_become(case, &labeled).err()) };
    let denial = case.wait("the policy's denial", LIMIT, looked).await?;
    let command = format!("kubectl label namespace {} {advice}", case.namespace);
    ensure_says(
        &denial.to_string(),
        &["ado-agent-forgotten-label", "has not opted in", &command],
    )?;
    let mut declining = labeled.clone();
    declining["metadata"]["labels"][INJECT_LABEL] = json!("false");
    would_become(case, &declining)?;
    // What the sentence says helps.
    case.kubectl(&["label", "namespace", &case.namespace, &advice])?;
    let (pod, _) = would_become(case, &labeled)?;
    ensure!(names(&pod["spec"]["initContainers"]) == [SIDECAR_CONTAINER], "{pod:#}");
    Ok(())
}

pub(crate) async fn without_a_webhook_the_component_denies_instead_of_the_call(case: Case) -> Result<()> {
    kustomized(&case, "apply", "tests/cluster/manifests/failure-policy-ignore", &[])?;
    let result = ignored(&case).await;
    kustomized(&case, "apply", "tests/cluster/manifests/private-ca", &[])?;
    kubectl(
        &case,
        &[
            "delete",
            "validatingadmissionpolicy,validatingadmissionpolicybinding",
            "ado-agent-sidecar-required",
        ],
    )?;
    rolled_out(&case)?;
    result
}

fn rolled_out(case: &Case) -> Result<()> {
    let status = ["rollout", "status", "deployment/ado-agent-webhook", "--timeout=110s"];
    let namespace = format!("--namespace={SYSTEM_NAMESPACE}");
    kubectl(case, &[&[namespace.as_str()], &status[..]].concat()).map(drop)
}

async fn ignored(case: &Case) -> Result<()> {
    let labeled = pod("labeled", &template("gen3"));
    let (pod, _) = would_become(case, &labeled)?;
    ensure!(names(&pod["spec"]["initContainers"]) == [SIDECAR_CONTAINER], "{pod:#}");
    let namespace = format!("--namespace={SYSTEM_NAMESPACE}");
    kubectl(
        case,
        &[&namespace, "scale", "deployment/ado-agent-webhook", "--replicas=0"],
    )?;
    // Replicas that are told to end still answer for some seconds.
    let looked = || async { Ok(would_become(case, &labeled).err()) };
    let denial = case.wait("the policy's denial", LIMIT, looked).await?;
    ensure_says(
        &denial.to_string(),
        &[
            "ado-agent-sidecar-required",
            "has none: the webhook could not be reached",
        ],
    )?;
    let mut unlabeled = labeled.clone();
    unlabeled["metadata"]["labels"] = json!({});
    would_become(case, &unlabeled)?;
    // A controller tries again by itself once the webhook is back.
    let mut template = template("gen3");
    short_grace(&mut template);
    case.apply(&deployment("agent", 1, &template))?;
    let looked = || async {
        let events = case.kubectl(&["get", "events", "--field-selector=reason=FailedCreate"])?;
        ensure_says(&events, &["ado-agent-sidecar-required"])?;
        Ok(Some(()))
    };
    case.wait("the ReplicaSet's event", LIMIT, looked).await?;
    kubectl(
        case,
        &[&namespace, "scale", "deployment/ado-agent-webhook", "--replicas=2"],
    )?;
    rolled_out(case)?;
    case.wait_for_agents(1).await?;
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}
