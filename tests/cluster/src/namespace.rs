//! The node's own world: network, mounts and process numbers of its own, held by one process. When that process is killed
//! the kernel kills every other in there and drops mounts and links, so nothing can be left behind, whoever crashed.

use crate::command::{Interrupt, output, until};
use crate::process::Process;
use anyhow::{Context, Result};
use rustix::thread::LinkNameSpaceType;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The node's address.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Nobody has this address: a route must exist for the kubelet and the API server, and it leads nowhere.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Name of the link with the node's addresses.
pub(crate) const LINK: &str = "node0";

/// Empty file systems in the node's world. Programs write there whatever their configuration says: containerd's shims put
/// their sockets into `/run/containerd`, its network library notes results in `/var/lib/cni`, the kubelet listens for
/// devices in `/var/lib/kubelet` and links logs into `/var/log/containers`, the controller-manager makes `/usr/libexec/kubernetes`.
pub(crate) const PRIVATE_FOLDERS: &[&str] = &[
    "/run",
    "/var/log",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/usr/libexec/kubernetes",
];

/// Where mount(8) takes notes. It makes the folder on the machine before anything is mounted over it.
const MOUNT_NOTES: &str = "/run/mount";

/// Those of these folders that have to be made, or there is nothing to mount over. Parents come first.
pub(crate) fn missing(folders: &[&str]) -> Vec<PathBuf> {
    let mut missing = Vec::new();
    for folder in folders.iter().chain([&MOUNT_NOTES]) {
        let mut parents: Vec<&Path> = Path::new(folder)
            .ancestors()
            .filter(|parent| !parent.exists())
            .collect();
        parents.reverse();
        missing.extend(parents.into_iter().map(Path::to_owned));
    }
    missing
}

/// Makes them. What is made has been noted before.
pub(crate) fn make(folders: &[&str]) -> Result<()> {
    folders
        .iter()
        .try_for_each(|folder| std::fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}")))
}

/// The first process in the node's world. It waits for a line before it stays, so that it ends with a driver that died
/// before it had noted its number; then it only reaps orphans, as every first process has to.
const INIT: &str = "read -r go || exit 1; exec <&-; busybox sleep infinity & wait";

/// The namespaces of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process 1 of the node's world, as the machine numbers it.
    init: Process,
}

/// Namespaces that vanish unless they are kept.
#[derive(Debug)]
pub struct Unkept {
    namespaces: Namespaces,
    standard_input: std::process::ChildStdin,
}

impl Unkept {
    /// What has to be noted before [`Self::keep`].
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces
    }

    /// From here on they live until they are destroyed.
    pub fn keep(mut self) -> Result<Namespaces> {
        self.standard_input
            .write_all(b"go\n")
            .context("the first process of the node ended at once")?;
        Ok(self.namespaces)
    }
}

impl Namespaces {
    /// Makes them, with nothing in them.
    pub fn create(interrupt: &Interrupt) -> Result<Unkept> {
        // A session of its own: Ctrl-C in the terminal is for the driver, which knows what to do.
        let mut child = Command::new("setsid")
            .args([
                "unshare",
                "--net",
                "--mount",
                "--propagation=private",
                "--pid",
                "--fork",
                "--mount-proc",
            ])
            .args(["--kill-child", "busybox", "sh", "-c", INIT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start setsid")?;
        let standard_input = child.stdin.take().expect("the standard input was asked for");
        let unshare = Process::of(child.id().cast_signed())?;
        let init = until(
            "the first process of the node",
            Duration::from_secs(10),
            interrupt,
            || Ok(unshare.only_child()),
        )?;
        Ok(Unkept {
            namespaces: Self { init },
            standard_input,
        })
    }

    /// Those of a container, by its first process.
    pub(crate) fn of(init: Process) -> Self {
        Self { init }
    }

    /// The top of its file system, as the machine sees it (proc(5), `/proc/PID/root`).
    pub(crate) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.init.pid))
    }

    /// A command in the node's world. What runs is a child of the process that is started, `nsenter`.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.enter(&["--net", "--mount", "--pid"], program)
    }

    /// A command that shares nothing but the node's network: it stays the process that is started, and sees the machine's files.
    pub fn network_command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.enter(&["--net"], program)
    }

    fn enter(&self, namespaces: &[&str], program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init.pid));
        command.args(namespaces).arg("--").arg(program);
        command
    }

    /// Moves the calling thread into the network.
    pub fn enter_network(&self) -> Result<()> {
        let path = format!("/proc/{}/ns/net", self.init.pid);
        let network = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter {path}"))
    }

    /// Mounts and links: what the bare node finds in its world.
    pub fn furnish(&self, interrupt: &Interrupt) -> Result<()> {
        let node = format!("{NODE_ADDRESS}/24");
        let gateway = GATEWAY.to_string();
        // As systemd does it: volumes that a pod mounts for others are seen by them, in here.
        self.run(&["mount", "--make-rshared", "/"], interrupt)?;
        self.run(&["ip", "link", "set", "lo", "up"], interrupt)?;
        self.add_link(interrupt)?;
        self.run(&["ip", "address", "add", &node, "dev", LINK], interrupt)?;
        self.run(
            &["ip", "route", "add", "default", "via", &gateway, "dev", LINK],
            interrupt,
        )?;
        self.hide(PRIVATE_FOLDERS, interrupt)
    }

    /// The link that carries the node's further addresses. It leads nowhere; some kernels have no dummy links, so it is half of
    /// a pair.
    pub(crate) fn add_link(&self, interrupt: &Interrupt) -> Result<()> {
        let peer = "node1";
        let add = ["ip", "link", "add", LINK, "type", "veth", "peer", "name", peer];
        self.run(&add, interrupt)?;
        for link in [LINK, peer] {
            self.run(&["ip", "link", "set", link, "up"], interrupt)?;
        }
        Ok(())
    }

    /// Mounts empty file systems over folders of the machine, in here.
    pub(crate) fn hide(&self, folders: &[&str], interrupt: &Interrupt) -> Result<()> {
        folders
            .iter()
            .try_for_each(|folder| self.run(&["mount", "-t", "tmpfs", "node", folder], interrupt).map(drop))
    }

    /// Runs a program to its end in here.
    pub(crate) fn run(&self, line: &[&str], interrupt: &Interrupt) -> Result<String> {
        let mut command = self.command(line[0]);
        output(command.args(&line[1..]), Duration::from_secs(10), interrupt)
    }

    /// Whether they are still there.
    pub fn exist(&self) -> bool {
        self.init.runs()
    }

    /// Kills everything inside and waits until the kernel is done with it.
    pub fn destroy(&self, limit: Duration) -> Result<()> {
        self.init.signal(rustix::process::Signal::KILL)?;
        // Not to be interrupted: this is what happens after an interrupt.
        until("the node's processes to end", limit, &Interrupt::default(), || {
            Ok((!self.exist()).then_some(()))
        })
    }
}
