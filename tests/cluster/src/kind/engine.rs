//! A Docker Engine for a machine that has none: Debian's packages, unpacked and not installed, in namespaces of their own. When
//! their first process is killed, the kernel ends the engine with every container, mount and link.

use super::docker::Docker;
use crate::command::{Interrupt, output, until};
use crate::layout::{Layout, text};
use crate::namespace::Namespaces;
use crate::packages;
use crate::service::Program;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tests::programs::repository;

/// The engine and its client, and what it starts. runc is the machine's.
const PACKAGES: [&str; 2] = ["docker.io", "containerd"];

/// Empty in the engine's world. There may be sockets and settings of an engine of the machine that does not answer, and ours writes a
/// key to `/etc/docker`, its containerd folders to `/opt/containerd`, whatever they are told.
const HIDDEN: &[&str] = &["/run", "/etc/docker", "/opt/containerd"];

/// Folders that have to exist on the machine: those, and the one that kind mounts into its nodes.
pub(super) const FOLDERS: &[&str] = &["/run", "/etc/docker", "/opt/containerd", "/lib/modules"];

/// Addresses of the network that nothing is connected to. It must not be one of the node's.
const BRIDGE: &str = "172.29.0.1/16";

/// The engine that [`start`] starts.
pub(super) fn of(layout: &Layout) -> Docker {
    Docker::Own {
        programs: layout.docker().join("usr/bin"),
        socket: layout.engine().join("docker.sock"),
    }
}

/// Fetches the packages and unpacks them, once.
pub(super) fn unpack(layout: &Layout, interrupt: &Interrupt, report: &dyn Fn(&str)) -> Result<()> {
    let folder = layout.docker();
    if folder.is_dir() {
        return Ok(());
    }
    report(&format!("fetching Debian's {}", PACKAGES.join(" and ")));
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let archives = unfinished.join("archives");
    fs::create_dir_all(&archives).with_context(|| format!("cannot make {}", archives.display()))?;
    if download(&archives, interrupt).is_err() {
        // A fresh machine has not read yet which packages there are.
        packages::update(interrupt)?;
        download(&archives, interrupt)?;
    }
    for archive in fs::read_dir(&archives)? {
        let mut command = Command::new("dpkg");
        command.args(["--extract", text(&archive?.path()), text(&unfinished)]);
        output(&mut command, Duration::from_secs(120), interrupt)?;
    }
    fs::remove_dir_all(&archives)?;
    fs::rename(&unfinished, &folder).with_context(|| format!("cannot rename {}", unfinished.display()))
}

fn download(folder: &Path, interrupt: &Interrupt) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-q", "download"]).args(PACKAGES).current_dir(folder);
    output(&mut command, Duration::from_mins(5), interrupt).map(drop)
}

/// Starts it in its world, and waits until it answers.
pub(super) fn start(
    docker: &Docker,
    namespaces: &Namespaces,
    layout: &Layout,
    cgroup: &str,
    interrupt: &Interrupt,
) -> Result<()> {
    namespaces.run(&["ip", "link", "set", "lo", "up"], interrupt)?;
    namespaces.hide(HIDDEN, interrupt)?;
    let mut service = dockerd(layout, cgroup)?.start(namespaces, &layout.logs(), interrupt)?;
    until("Docker Engine", Duration::from_secs(60), interrupt, || {
        if let ended @ Err(_) = service.check() {
            return Ok(Some(ended));
        }
        docker.version(interrupt).map(|_| Some(Ok(())))
    })?
}

fn dockerd(layout: &Layout, cgroup: &str) -> Result<Program> {
    let (programs, folder) = (layout.docker(), layout.engine());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let socket = folder.join("docker.sock");
    // unix(7): 108 bytes with the one at the end.
    ensure!(
        socket.as_os_str().len() < 108,
        "{} is too long for a socket: set XDG_CACHE_HOME to a shorter path",
        socket.display()
    );
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = [programs.join("usr/sbin"), programs.join("usr/bin")].map(|folder| text(&folder).to_owned());
    Ok(Program {
        name: "dockerd".to_owned(),
        program: programs.join("usr/sbin/dockerd"),
        arguments: vec![
            format!("--host=unix://{}", text(&socket)),
            format!("--data-root={}", text(&folder.join("data"))),
            "--exec-root=/run/docker".to_owned(),
            "--pidfile=/run/docker.pid".to_owned(),
            "--storage-driver=overlay2".to_owned(),
            "--exec-opt=native.cgroupdriver=cgroupfs".to_owned(),
            format!("--cgroup-parent=/{cgroup}"),
            format!("--add-runtime=capped={}", text(&runtime())),
            "--default-runtime=capped".to_owned(),
            format!("--bip={BRIDGE}"),
            "--log-level=warn".to_owned(),
        ],
        environment: vec![(
            "PATH".to_owned(),
            format!("{}:{path}:/usr/sbin:/sbin", folders.join(":")),
        )],
    })
}

/// runc for a root that may lack a capability.
fn runtime() -> PathBuf {
    repository().join("tests/cluster/kind/capped-runc")
}
