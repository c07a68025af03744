//! containerd, the pods' network, and the kubelet.

use crate::dns;
use crate::layout::text;
use crate::namespace::NODE_ADDRESS;
use crate::packages;
use crate::pki::Pki;
use crate::service::Program;
use anyhow::{Context, Result};
use oci_image::{Entry, Image, Layer};
use serde_json::json;
use std::fs;
use std::path::Path;

/// containerd's socket. `/run` is the node's own, so this is nobody else's.
pub(crate) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Addresses of pods.
pub(crate) const PODS: &str = "10.77.8.0/22";
/// Image of the process that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "registry.invalid/pause:1";

/// An image of this name for the process that holds a pod's namespaces: a static program that waits.
pub(crate) fn pause(name: &str) -> Result<Image<'static>> {
    let busybox = packages::find("busybox").context("busybox is gone")?;
    Ok(Image {
        name: name.to_owned(),
        entrypoint: ["/busybox", "sleep", "infinity"].map(str::to_owned).to_vec(),
        layers: vec![Layer::Files(vec![Entry::program("/busybox", &busybox)?])],
        ..Image::default()
    })
}

/// Folder of the node with the logs of containers.
pub(crate) const CONTAINER_LOGS: &str = "pods";

/// Writes containerd's configuration and that of the pods' network.
pub(crate) fn containerd(programs: &Path, plugins: &Path, node: &Path) -> Result<Program> {
    let file = node.join("containerd.toml");
    write(&file, &containerd_configuration(node, plugins))?;
    let networks = node.join("cni");
    fs::create_dir_all(&networks).with_context(|| format!("cannot make {}", networks.display()))?;
    write(&networks.join("10-pods.conflist"), &network_configuration(node))?;
    // The shim is looked up in PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    Ok(Program {
        name: "containerd".to_owned(),
        program: programs.join("containerd"),
        arguments: vec![format!("--config={}", text(&file))],
        environment: vec![("PATH".to_owned(), format!("{}:{path}:/usr/sbin:/sbin", text(programs)))],
    })
}

fn containerd_configuration(node: &Path, plugins: &Path) -> String {
    let (node, plugins) = (text(node), text(plugins));
    // restrict_oom_score_adj: some virtual machines refuse negative scores even to root, and every pod would fail.
    // nri, opt: nobody here uses them, and they would make folders outside.
    format!(
        r#"version = 3
root = "{node}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
address = "{SOCKET}"

[plugins.'io.containerd.internal.v1.opt']
path = "{node}/opt"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{plugins}"]
conf_dir = "{node}/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    )
}

/// Point to point links: between two pods everything is routed, so that Services work between them without the kernel
/// filtering bridges, which is a setting of the whole machine.
fn network_configuration(node: &Path) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": text(&node.join("addresses")),
            },
        }],
    })
    .to_string()
}

/// Writes the kubelet's configuration. `minor` is that of Kubernetes.
pub(crate) fn kubelet(programs: &Path, node: &Path, cgroup: &str, pki: &Pki, minor: u32) -> Result<Program> {
    let file = node.join("kubelet.json");
    write(&file, &kubelet_configuration(node, cgroup, pki, minor))?;
    Ok(Program {
        name: "kubelet".to_owned(),
        program: programs.join("kubelet"),
        arguments: vec![
            format!("--config={}", text(&file)),
            format!("--kubeconfig={}", pki.kubeconfig("kubelet")),
            format!("--root-dir={}", text(&node.join("kubelet"))),
            format!("--node-ip={NODE_ADDRESS}"),
            "--hostname-override=node0".to_owned(),
            "--v=2".to_owned(),
        ],
        environment: vec![(
            "PATH".to_owned(),
            format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
        )],
    })
}

fn kubelet_configuration(node: &Path, cgroup: &str, pki: &Pki, minor: u32) -> String {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.certificate("ca")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.certificate("kubelet"),
        "tlsPrivateKeyFile": pki.key("kubelet"),
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDomain": dns::DOMAIN,
        "clusterDNS": [dns::ADDRESS],
        "resolvConf": "",
        "podLogsDir": text(&node.join(CONTAINER_LOGS)),
        "volumePluginDir": text(&node.join("volume-plugins")),
        "maxPods": 250,
        // The machine's disk is somebody else's business; loaded images cannot be fetched again.
        "evictionHard": {"memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
    });
    // From 1.35 on the kubelet wants to pull images again that it did not pull itself.
    if minor >= 35 {
        configuration["imagePullCredentialsVerificationPolicy"] = json!("NeverVerify");
    }
    configuration.to_string()
}

pub(crate) fn write(file: &Path, content: &str) -> Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}
