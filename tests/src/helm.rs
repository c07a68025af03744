//! The chart as values: what `helm template` renders.

use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kustomize::parse;
use crate::programs::repository;

/// The chart, from the repository's top folder.
pub const CHART: &str = "manifests/chart";
/// A version of Kubernetes that the chart accepts.
const KUBERNETES: &str = "1.37.0";

/// The objects that `helm template` makes of the chart with these values, in its order.
///
/// # Errors
/// helm is missing, the chart refuses the values, or the output is no YAML; each says which.
pub fn render(values: &Value) -> Result<Vec<Value>> {
    render_for(KUBERNETES, values)
}

/// The same for another version of Kubernetes.
///
/// # Errors
/// As for [`render`].
pub fn render_for(kubernetes: &str, values: &Value) -> Result<Vec<Value>> {
    let output = helm(
        &[
            "template",
            "ado-agent-injector",
            CHART,
            "--namespace=ado-agent-system",
            "--kube-version",
            kubernetes,
        ],
        values,
    )?;
    if !output.status.success() {
        bail!("helm template failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&String::from_utf8(output.stdout)?).context("output of helm template")
}

/// Runs helm in the repository's top folder with these values. It finds no cluster.
///
/// # Errors
/// helm is missing.
pub fn helm(arguments: &[&str], values: &Value) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    // JSON is YAML.
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values.to_string())?;
    let mut helm = Command::new("helm");
    helm.args(arguments)
        .arg("--values")
        .arg(&file)
        .current_dir(repository())
        .env("HOME", folder.path())
        .env("KUBECONFIG", folder.path().join("none"))
        .stdin(Stdio::null());
    match helm.output() {
        Ok(output) => Ok(output),
        Err(error) => bail!(
            "helm cannot be started ({error}). It renders the chart and needs no cluster: get it from \
             https://helm.sh/docs/intro/install, or with Go: go install helm.sh/helm/v4/cmd/helm@v4.3.2"
        ),
    }
}
