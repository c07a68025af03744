//! Manifests as values: what `kubectl kustomize` renders, and what a file says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::programs::repository;

/// The objects that `kubectl kustomize` makes of a folder, in its order.
///
/// # Errors
/// kubectl is missing, the folder does not render, or the output is no YAML; each says which.
pub fn render(folder: &Path) -> Result<Vec<Value>> {
    let output = match Command::new("kubectl").arg("kustomize").arg(folder).output() {
        Ok(output) => output,
        Err(error) => bail!(
            "kubectl cannot be started ({error}). It renders the manifests and needs no cluster: get it from \
             https://kubernetes.io/docs/tasks/tools/, or with Go: go install k8s.io/kubectl/cmd/kubectl@v0.36.2"
        ),
    };
    if !output.status.success() {
        let folder = folder.display();
        bail!(
            "kubectl kustomize {folder} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    parse(&String::from_utf8(output.stdout)?)
        .with_context(|| format!("output of kubectl kustomize {}", folder.display()))
}

/// The objects in one of the repository's manifests, given from the top folder (`manifests/examples/job.yaml`).
///
/// # Errors
/// The file cannot be read, or it is no YAML.
pub fn documents(file: &str) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(repository().join(file)).with_context(|| file.to_owned())?;
    parse(&text).with_context(|| file.to_owned())
}

/// Every document of a YAML text. A key that occurs twice is an error.
///
/// # Errors
/// The text is no YAML.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(text)?)
}

/// The object of a kind and a name.
///
/// # Errors
/// There is none; the sentence lists what there is.
pub fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .with_context(|| {
            let all: Vec<_> = objects
                .iter()
                .map(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]))
                .collect();
            format!("no {kind} {name} among {}", all.join(", "))
        })
}
