//! What the machine has to bring: root, namespaces, and programs of the distribution. Whatever is missing is named,
//! with the command that installs it; nothing is ever skipped instead.

use crate::command::{Interrupt, output};
use anyhow::{Context, Result, bail, ensure};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A program and the Debian package it comes in.
struct Program(&'static str, &'static str);

/// What programs are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The suite, wherever it runs.
    Suite,
    /// A bare node.
    BareNode,
    /// An image for a node of kind.
    NodeImage,
    /// A Docker Engine of ours.
    Engine,
}

impl Purpose {
    /// Components that Debian has in a version that serves, and the tools that the driver calls.
    fn programs(self) -> &'static [Program] {
        match self {
            Self::Suite => &[
                Program("busybox", "busybox-static"),
                Program("nsenter", "util-linux"),
                Program("setsid", "util-linux"),
                Program("mmdebstrap", "mmdebstrap"),
            ],
            Self::BareNode => &[
                Program("etcd", "etcd-server"),
                Program("runc", "runc"),
                Program("ip", "iproute2"),
                Program("nft", "nftables"),
                Program("conntrack", "conntrack"),
                Program("unshare", "util-linux"),
                Program("mount", "mount"),
            ],
            Self::NodeImage => &[
                Program("runc", "runc"),
                Program("nft", "nftables"),
                Program("unshare", "util-linux"),
                Program("mount", "mount"),
            ],
            // The engine's own packages are unpacked and not installed: `kind/engine.rs`.
            Self::Engine => &[
                Program("runc", "runc"),
                Program("ip", "iproute2"),
                Program("iptables", "iptables"),
                Program("jq", "jq"),
                Program("dpkg", "dpkg"),
                Program("unshare", "util-linux"),
                Program("mount", "mount"),
            ],
        }
    }

    fn needs_plugins(self) -> bool {
        matches!(self, Self::BareNode | Self::NodeImage)
    }
}

const PLUGINS_PACKAGE: &str = "containernetworking-plugins";
/// Network plugins that the node's configuration names.
pub(crate) const PLUGINS: &[&str] = &["ptp", "host-local", "loopback", "portmap"];
const PLUGIN_FOLDERS: &[&str] = &["/usr/lib/cni", "/opt/cni/bin"];

/// Folder with the network plugins.
pub(crate) fn plugin_folder() -> Result<PathBuf> {
    PLUGIN_FOLDERS
        .iter()
        .map(PathBuf::from)
        .find(|folder| PLUGINS.iter().all(|plugin| folder.join(plugin).is_file()))
        .with_context(|| format!("no network plugins: install the package {PLUGINS_PACKAGE}"))
}

/// Path of a program, looked for as the shell does and where administrators' programs lie.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// What to do about missing packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingPackages {
    /// Fail, with the command that installs them.
    Fail,
    /// Install them with apt-get.
    Install,
}

impl MissingPackages {
    /// As the flag `--install` says.
    pub fn from_flag(install: bool) -> Self {
        if install { Self::Install } else { Self::Fail }
    }
}

/// Makes sure that everything is there, or says what is not.
pub(crate) fn require(
    purposes: &[Purpose],
    if_missing: MissingPackages,
    interrupt: &Interrupt,
    report: &dyn Fn(&str),
) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a node needs root: namespaces, mounts, control groups. Run the same command with `sudo --preserve-env=PATH,HOME`"
    );
    let missing = missing(purposes);
    if !missing.is_empty() {
        let line = format!("apt-get install --no-install-recommends {}", missing.join(" "));
        ensure!(
            if_missing == MissingPackages::Install,
            "packages are missing. Pass --install, or run: {line}"
        );
        report(&line);
        update(interrupt)?;
        let mut arguments = vec!["install", "-qy", "--no-install-recommends"];
        arguments.extend(&missing);
        apt(&arguments, interrupt)?;
    }
    namespaces(interrupt)?;
    ::tests::cgroup::hierarchies().map(drop)
}

fn missing(purposes: &[Purpose]) -> Vec<&'static str> {
    let programs = purposes.iter().flat_map(|purpose| purpose.programs());
    let mut missing: Vec<&str> = programs
        .filter(|Program(name, _)| find(name).is_none_or(|file| *name == "busybox" && !is_static(&file)))
        .map(|Program(_, package)| *package)
        .collect();
    if purposes.iter().any(|purpose| purpose.needs_plugins()) && plugin_folder().is_err() {
        missing.push(PLUGINS_PACKAGE);
    }
    // etcd and runc of other origins lie in other places; two programs of one package are one package.
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The pause image holds busybox and nothing else, so Debian's package `busybox`, which needs the C library, will not do.
fn is_static(program: &Path) -> bool {
    const LOADER: &[u8] = b"/ld-";
    let mut head = [0; 4096];
    let read = std::fs::File::open(program).and_then(|mut file| file.read(&mut head));
    // The name of the loader stands behind the program headers, at the beginning.
    read.is_ok_and(|length| !head[..length].windows(LOADER.len()).any(|bytes| bytes == LOADER))
}

/// Has apt-get read which packages there are.
pub(crate) fn update(interrupt: &Interrupt) -> Result<()> {
    apt(&["update", "-q"], interrupt)
}

fn apt(arguments: &[&str], interrupt: &Interrupt) -> Result<()> {
    if find("apt-get").is_none() {
        bail!("there is no apt-get here: install the programs by the means of this distribution");
    }
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut command, Duration::from_mins(10), interrupt).map(drop)
}

/// Containers and hardened machines may forget some namespaces: better said now than by the fifth program.
fn namespaces(interrupt: &Interrupt) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "true"]);
    output(&mut command, Duration::from_secs(10), interrupt)
        .context("this machine does not let root make network, mount and process namespaces")?;
    ensure!(
        Path::new("/proc/self/task").is_dir(),
        "/proc is not mounted, and everything here is found through it"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        assert!(
            !is_static(&std::env::current_exe().unwrap()),
            "rustc links the C library dynamically"
        );
        let busybox = find("busybox").expect("busybox, from the package busybox-static");
        assert!(
            is_static(&busybox),
            "{}: install the package busybox-static",
            busybox.display()
        );
    }
}
