//! How a container's process sees its image and its volumes.
//!
//! In **namespaces** (as root, or as a user where the system allows unprivileged user namespaces) a container has its own
//! root, PIDs and host name, so paths are what the pod says, the main process is PID 1 (bash without a trap ignores
//! SIGTERM there) and SIGKILL takes everything along. Where that is not allowed, paths that the pod names are
//! **rewritten** in arguments and variables; scripts that spell `/azp` themselves do not work then.

use super::image::Image;
use super::sandbox::Sandbox;
use anyhow::{Context, ensure};
use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The way in which containers are kept apart on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// Own mount, PID and UTS namespaces, made by root: users are real.
    Root,
    /// Own user, mount, PID and UTS namespaces: a user's number is what the pod says, but all are the same user.
    Unprivileged,
    /// None; the reason is given.
    Rewritten(String),
}

/// Where the tools of containers have to be, since only these folders of the host are shown.
const SHOWN: [&str; 10] = [
    "bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "nix", "opt",
];

impl Isolation {
    /// Finds out, once a process, by trying.
    pub fn detect() -> Self {
        static DETECTED: OnceLock<Isolation> = OnceLock::new();
        DETECTED.get_or_init(Self::find_out).clone()
    }

    fn find_out() -> Self {
        let way = if rustix::process::geteuid().is_root() {
            Self::Root
        } else {
            Self::Unprivileged
        };
        match way.attempt() {
            Ok(()) => way,
            Err(error) => Self::Rewritten(format!("{error:#}")),
        }
    }

    fn attempt(&self) -> anyhow::Result<()> {
        for tool in [
            "bash",
            "env",
            "setpriv",
            "unshare",
            "nsenter",
            "mount",
            "umount",
            "pivot_root",
            "curl",
            "jq",
            "tar",
        ] {
            let path = find_tool(tool).with_context(|| format!("{tool} is not installed"))?;
            let real = path.canonicalize()?;
            let top = real
                .components()
                .nth(1)
                .map(|part| part.as_os_str().to_string_lossy().into_owned());
            ensure!(
                top.is_some_and(|top| SHOWN.contains(&top.as_str())),
                "{tool} is at {}, which containers do not see",
                real.display()
            );
        }
        let folder = tempfile::tempdir()?;
        let sandbox = Sandbox::prepare(folder.path(), self, &Image::default(), "attempt", Vec::new())?;
        let command = ["true".to_owned()];
        let output = sandbox.command(&command)?.into_std().output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{}",
            complaint.lines().next().unwrap_or("the attempt failed without a word")
        );
        Ok(())
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "each container in namespaces of its own, users as the pod says"),
            Self::Unprivileged => write!(f, "each container in unprivileged namespaces of its own"),
            Self::Rewritten(reason) => {
                write!(
                    f,
                    "no namespaces here ({reason}), so paths of the pod are rewritten to folders of this machine"
                )
            }
        }
    }
}

/// The path of a program, as a shell would find it; `/sbin` too, which is not on every user's path.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
