//! An image for a node of kind, made without a registry and without a privileged container: Debian, kind's own files from its Go
//! module (`images/base` there says what they are for), the programs that this project builds anyway, and the images of the
//! control plane ([`super::control_plane_images`]) already where containerd looks for them.
//!
//! kind's two other parts are published as images only, so there is a stand-in for one and none for the other: the only node
//! needs no kindnetd, since point to point links do, and nobody asks for volumes from local-path-provisioner.

use super::control_plane_images;
use crate::command::{Interrupt, output};
use crate::components::Built;
use crate::debian;
use crate::layout::Layout;
use crate::packages;
use anyhow::{Context, Result};
use oci_image::{Entry, Image, Layer, archive};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What kind's own image is made with, less what only storage needs.
const PACKAGES: &str = "bash,ca-certificates,conntrack,ethtool,iproute2,iptables,jq,kmod,libseccomp2,mount,nftables,pigz,\
                        procps,systemd,util-linux";

/// Addresses of pods: the first /24 of what kind calls the network of pods, as the controller-manager gives it to the first node.
const PODS: &str = "10.244.0.0/24";

/// What an image is made of.
pub(super) struct Parts {
    pub(super) kubernetes: Built,
    pub(super) containerd: Built,
    pub(super) coredns: Built,
    pub(super) etcd: Built,
    pub(super) kind: Built,
}

/// Makes the archive of an image of this name, in the node's folder.
pub(super) fn archive(
    name: &str,
    parts: &Parts,
    layout: &Layout,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<PathBuf> {
    let debian = debian::root_file_system(layout, PACKAGES, interrupt, report)?;
    let store = control_plane_images::store(parts, layout, interrupt)?;
    report("the control plane's images are in containerd's store");
    let mut files = systemd();
    files.extend(of_kind(&parts.kind.share())?);
    files.extend(programs(parts)?);
    files.extend(configuration(parts, interrupt)?);
    let archive = layout.node().join("node-image.tar");
    let image = Image {
        name: name.to_owned(),
        entrypoint: ["/usr/local/bin/entrypoint", "/sbin/init"].map(str::to_owned).to_vec(),
        environment: &["container=docker"],
        layers: vec![
            Layer::Tar(&debian),
            Layer::Files(files),
            Layer::Tree(control_plane_images::PLACE, &store),
        ],
        ..Image::default()
    };
    archive::write(&archive, &[image])?;
    fs::remove_dir_all(&store).with_context(|| format!("cannot remove {}", store.display()))?;
    Ok(archive)
}

/// As in kind's Dockerfile: systemd starts kind's units and nothing that is for machines. An image says what it takes out of the
/// layers below with names that begin with `.wh.` (OCI image specification, "Whiteouts"); the long one takes out all.
fn systemd() -> Vec<Entry> {
    const UNITS: &str = "etc/systemd/system";
    const OF_PACKAGES: &str = "usr/lib/systemd/system";
    const ALL: &str = ".wh..wh..opq";
    let mut entries = vec![Entry::text(&format!("{UNITS}/{ALL}"), "")];
    for target in ["multi-user", "local-fs", "basic"] {
        entries.push(Entry::text(&format!("{OF_PACKAGES}/{target}.target.wants/{ALL}"), ""));
    }
    for unit in [
        "sysinit.target.wants/.wh.systemd-tmpfiles-setup.service",
        "sockets.target.wants/.wh.systemd-udevd-control.socket",
        "sockets.target.wants/.wh.systemd-udevd-kernel.socket",
        "sockets.target.wants/.wh.systemd-initctl.socket",
    ] {
        entries.push(Entry::text(&format!("{OF_PACKAGES}/{unit}"), ""));
    }
    let wants = |unit: &str| format!("{UNITS}/multi-user.target.wants/{unit}");
    entries.extend([
        Entry::link(&wants("kubelet.service"), "/etc/systemd/system/kubelet.service"),
        Entry::link(&wants("containerd.service"), "/etc/systemd/system/containerd.service"),
        Entry::link(
            &wants("undo-mount-hacks.service"),
            "/etc/systemd/system/undo-mount-hacks.service",
        ),
        // It would change the kernel for everybody.
        Entry::link(&format!("{UNITS}/systemd-binfmt.service"), "/dev/null"),
        Entry::link("usr/sbin/init", "/usr/lib/systemd/systemd"),
        Entry::text("etc/systemd/journald.conf.d/kind.conf", "[Journal]\nReadKMsg=no\n"),
    ]);
    entries
}

/// The files of kind's module. Those in folders of programs may be executed.
fn of_kind(share: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in crate::components::files(share)? {
        let path = file.strip_prefix(share)?;
        let name = path.to_str().context("kind's files have names in UTF-8")?;
        let mut entry = Entry::text(
            name,
            fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?,
        );
        if path.starts_with("usr/local/bin") || path.starts_with("kind/bin") {
            entry.mode = 0o755;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn programs(parts: &Parts) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for program in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        entries.push(Entry::program(
            &format!("usr/local/bin/{program}"),
            &parts.containerd.program(program),
        )?);
    }
    for program in ["kubeadm", "kubelet", "kubectl"] {
        entries.push(Entry::program(
            &format!("usr/bin/{program}"),
            &parts.kubernetes.program(program),
        )?);
    }
    let runc = packages::find("runc").context("runc is gone")?;
    entries.push(Entry::program("usr/local/sbin/runc", &runc)?);
    let plugins = packages::plugin_folder()?;
    for plugin in packages::PLUGINS {
        entries.push(Entry::program(&format!("opt/cni/bin/{plugin}"), &plugins.join(plugin))?);
    }
    Ok(entries)
}

fn configuration(parts: &Parts, interrupt: &Interrupt) -> Result<Vec<Entry>> {
    Ok(vec![
        Entry::text("kind/version", parts.kubernetes.version.as_str()),
        Entry::folder("etc/kubernetes/manifests", 0o755),
        Entry::text("etc/cni/net.d/10-pods.conflist", network()),
        Entry::text("etc/containerd/cri-base.json", container(&parts.containerd, interrupt)?),
        // kind applies what is in these two, whatever it is.
        Entry::text("kind/manifests/default-cni.yaml", nothing()),
        Entry::text("kind/manifests/default-storage.yaml", nothing()),
    ])
}

/// Point to point links, with the addresses that the only node has.
fn network() -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-ipam-state",
                    "ranges": [[{"subnet": PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
    .to_string()
}

/// An object that does nothing.
fn nothing() -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "is-in-the-node-image", "namespace": "kube-system"},
    })
    .to_string()
}

/// containerd's own idea of a container, with the hook that kind adds to it.
fn container(containerd: &Built, interrupt: &Interrupt) -> Result<String> {
    let mut command = Command::new(containerd.program("ctr"));
    let text = output(command.args(["oci", "spec"]), Duration::from_secs(30), interrupt)?;
    let mut specification: Value = serde_json::from_str(&text).context("`ctr oci spec` writes JSON")?;
    specification["hooks"]["createContainer"] = json!([{"path": "/kind/bin/mount-product-files.sh"}]);
    if let Some(process) = specification["process"].as_object_mut() {
        process.remove("rlimits");
    }
    Ok(specification.to_string())
}
