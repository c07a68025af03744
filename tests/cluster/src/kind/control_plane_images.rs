//! Images of the control plane under the names that kubeadm and kind ask for, each one program, and a store of containerd with
//! all of them.

use super::node_image::Parts;
use crate::command::{Interrupt, output, until};
use crate::layout::{Layout, text};
use crate::namespace::Namespaces;
use crate::packages;
use crate::service::Program;
use anyhow::{Context, Result};
use oci_image::{Entry, Image, Layer, archive};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where containerd keeps what it has, without a slash in front.
pub(super) const PLACE: &str = "var/lib/containerd";

/// What kind's configuration of containerd names (`images/base/files/etc/containerd/config.toml`).
const PAUSE: &str = "registry.k8s.io/pause:3.10";

/// Makes the store, in the node's folder.
pub(super) fn store(parts: &Parts, layout: &Layout, interrupt: &Interrupt) -> Result<PathBuf> {
    let archive = layout.node().join("control-plane.tar");
    archive::write(&archive, &images(parts, interrupt)?)?;
    let folder = layout.node().join("store");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // They are gone when this function returns, and containerd with them.
    let unkept = Namespaces::create(interrupt)?;
    import(&unkept.namespaces(), parts, &folder, &archive, layout, interrupt)?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
    Ok(folder)
}

fn import(
    namespaces: &Namespaces,
    parts: &Parts,
    store: &Path,
    archive: &Path,
    layout: &Layout,
    interrupt: &Interrupt,
) -> Result<()> {
    namespaces.hide(&["/run"], interrupt)?;
    let file = layout.node().join("store.toml");
    crate::runtime::write(&file, &configuration(store))?;
    let containerd = Program {
        name: "containerd-store".to_owned(),
        program: parts.containerd.program("containerd"),
        arguments: vec![format!("--config={}", text(&file))],
        environment: Vec::new(),
    };
    let mut service = containerd.start(namespaces, &layout.logs(), interrupt)?;
    let ctr = |arguments: &[&str]| {
        let mut command = namespaces.command(parts.containerd.program("ctr"));
        output(command.args(arguments), Duration::from_secs(120), interrupt)
    };
    until("containerd", Duration::from_secs(30), interrupt, || {
        service.check()?;
        ctr(&["version"]).map(Some)
    })?;
    // Unpacked by the node, which has the file systems for that; the label is what the kubelet's containerd looks for.
    let label = "--label=io.cri-containerd.image=managed";
    ctr(&[
        "--namespace=k8s.io",
        "images",
        "import",
        "--local",
        "--no-unpack",
        label,
        text(archive),
    ])
    .map(drop)
}

/// Nothing but a store: no containers, and no folders outside.
fn configuration(store: &Path) -> String {
    let store = text(store);
    format!(
        r#"version = 3
root = "{store}"
state = "/run/containerd"
disabled_plugins = [
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "io.containerd.nri.v1.nri",
]

[plugins.'io.containerd.internal.v1.opt']
path = "/run/opt"
"#
    )
}

fn images(parts: &Parts, interrupt: &Interrupt) -> Result<Vec<Image<'static>>> {
    let mut kubeadm = Command::new(parts.kubernetes.program("kubeadm"));
    kubeadm.args(["config", "images", "list"]);
    kubeadm.arg(format!("--kubernetes-version={}", parts.kubernetes.version));
    let names = output(&mut kubeadm, Duration::from_secs(60), interrupt)?;
    let named = |program: &str| named(&names, program);
    let mut images = Vec::new();
    for program in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        images.push(of(
            named(program)?,
            &[parts.kubernetes.program(program)],
            program,
            interrupt,
        )?);
    }
    let nft = packages::find("nft").context("nft is gone")?;
    let proxy = [parts.kubernetes.program("kube-proxy"), nft];
    images.push(of(named("kube-proxy")?, &proxy, "kube-proxy", interrupt)?);
    // Go calls a program by its package, which is the server's.
    images.push(of(named("etcd")?, &[parts.etcd.program("server")], "etcd", interrupt)?);
    images.push(of(
        named("coredns")?,
        &[parts.coredns.program("coredns")],
        "coredns",
        interrupt,
    )?);
    images.push(crate::runtime::pause(PAUSE)?);
    Ok(images)
}

/// The name with tag that kubeadm uses for the image of a program.
fn named(names: &str, program: &str) -> Result<String> {
    let is_it = |name: &&str| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.split(':').next() == Some(program)
    };
    let found = names.lines().map(str::trim).find(is_it);
    found
        .map(str::to_owned)
        .with_context(|| format!("kubeadm names no image for {program}: {names}"))
}

/// The first of the programs in `/usr/local/bin` under this name, the others under theirs, and the libraries that they need.
fn of(name: String, programs: &[PathBuf], first: &str, interrupt: &Interrupt) -> Result<Image<'static>> {
    let mut entries = vec![Entry::folder("tmp", 0o1777)];
    let mut add = |path: &str, file: &Path| -> Result<()> {
        if !entries.iter().any(|entry| entry.path == path.trim_start_matches('/')) {
            entries.push(Entry::program(path, file)?);
        }
        Ok(())
    };
    for (index, program) in programs.iter().enumerate() {
        let own = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let called = if index == 0 { first } else { own };
        add(&format!("usr/local/bin/{called}"), program)?;
        for library in libraries(program, interrupt) {
            add(&library, Path::new(&library))?;
        }
    }
    Ok(Image {
        name,
        entrypoint: vec![format!("/usr/local/bin/{first}")],
        layers: vec![Layer::Files(entries)],
        ..Image::default()
    })
}

/// What a program is linked with (ldd(1)); nothing where it is static.
fn libraries(program: &Path, interrupt: &Interrupt) -> Vec<String> {
    let listed = output(Command::new("ldd").arg(program), Duration::from_secs(30), interrupt).unwrap_or_default();
    let words = listed.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(path.to_owned())
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn an_image_is_named_by_its_program_whatever_registry_and_tag() {
        let names = "registry.k8s.io/kube-proxy:v1.37.2\nregistry.k8s.io/coredns/coredns:v1.15.0\nregistry.k8s.io/etcd:3.7.0-0\n";
        assert_eq!(
            named(names, "coredns").unwrap(),
            "registry.k8s.io/coredns/coredns:v1.15.0"
        );
        assert_eq!(named(names, "etcd").unwrap(), "registry.k8s.io/etcd:3.7.0-0");
        assert!(named(names, "kube").is_err());
    }
}
