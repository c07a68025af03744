//! Manifests that `ado-agent inject --manual` wrote, in a namespace that the webhook never sees.

use crate::case::Case;
use crate::usual::{short_grace, status};
use crate::workload::{deployment, template};
use anyhow::{Context, Result, ensure};
use contract::INJECT_LABEL;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs the program against the node, with a manifest on stdin; answers what it wrote.
fn by_hand(case: &Case, manifest: &Value) -> Result<String> {
    let mut child = Command::new(tests::programs::program("ado-agent")?)
        .args(["inject", "-", "--manual", "--kubeconfig"])
        .arg(case.suite.node.pki().kubeconfig("admin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin was piped")?;
    stdin.write_all(manifest.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "ado-agent inject: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

pub(crate) async fn a_manually_injected_deployment_registers_and_is_removed(case: Case) -> Result<()> {
    case.kubectl(&["label", "namespace", &case.namespace, &format!("{INJECT_LABEL}-")])?;
    let mut template = template("gen3");
    short_grace(&mut template);
    let mut manifest = deployment("agent", 1, &template);
    manifest["metadata"]["namespace"] = json!(case.namespace);
    let written = case.blocking(|| by_hand(&case, &manifest))?;
    case.kubectl_fed(&["apply", "--filename=-"], &written)?;
    case.wait_for_agents(1).await?;
    for pod in case.ready_pods().await? {
        let status = status(&pod)?;
        ensure!(status["isolated"] == true, "{status}");
    }
    // A webhook that sees the pods after all leaves them as they are.
    case.kubectl(&["label", "namespace", &case.namespace, &format!("{INJECT_LABEL}=true")])?;
    case.scale("deployment/agent", 2)?;
    case.wait_for_agents(2).await?;
    let pods = case.ready_pods().await?;
    let first = &pods.first().context("two pods")?["spec"]["initContainers"];
    let count = |containers: &Value| containers.as_array().map_or(0, Vec::len);
    ensure!(
        pods.iter()
            .all(|pod| count(&pod["spec"]["initContainers"]) == count(first)),
        "the sidecar was added twice: {pods:#?}"
    );
    case.scale("deployment/agent", 0)?;
    case.wait_for_agents(0).await
}
