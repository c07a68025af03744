//! What kind is told about the cluster: `cluster.yaml`, and what it refers to.

use crate::layout::{Layout, text};
use crate::pki::Pki;
use crate::runtime;
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;

const TEMPLATE: &str = include_str!("../../kind/cluster.yaml");

/// Folders that the container mounts, and patches for the control plane.
pub(super) fn prepare(layout: &Layout) -> Result<()> {
    let patches = layout.node().join("patches");
    for folder in [
        &layout.components(),
        &layout.images(),
        &layout.node().join("pods"),
        &patches,
    ] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Pki::at(layout.node().join("pki")).make_folder()?;
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let container = json!({"name": name, "resources": {"requests": {"cpu": "10m"}}});
        let patch = json!({"spec": {"containers": [container]}});
        runtime::write(&patches.join(format!("{name}+strategic.json")), &patch.to_string())?;
    }
    Ok(())
}

/// The configuration of the cluster for kind. `proxy` is how kube-proxy works.
pub(super) fn of_cluster(layout: &Layout, proxy: &str) -> String {
    TEMPLATE
        .replace("COMPONENTS", text(&layout.components()))
        .replace("IMAGES", text(&layout.images()))
        .replace("NODE", text(&layout.node()))
        .replace("LOGS", text(&layout.logs()))
        .replace("PROXY", proxy)
}
