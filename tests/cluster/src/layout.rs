//! Where everything lies: one folder outside the repository, which may be deleted at any time while no node runs.

use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The folders of a cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    top: PathBuf,
}

impl Layout {
    /// `${XDG_CACHE_HOME:-~/.cache}/ado-agent-injector/cluster`, made if it is not there.
    pub fn find() -> Result<Self> {
        let cache = tests::programs::cache()?;
        // The node mounts file systems of its own over these, so that nothing of it shows on the machine.
        for hidden in crate::namespace::PRIVATE_FOLDERS {
            ensure!(
                !cache.starts_with(hidden),
                "{} cannot be used, because the node hides {hidden} from itself: set XDG_CACHE_HOME to another place",
                cache.display()
            );
        }
        let top = cache.join("cluster");
        fs::create_dir_all(&top).with_context(|| format!("cannot make {}", top.display()))?;
        Ok(Self { top })
    }

    /// Built components, a folder for each key.
    pub fn components(&self) -> PathBuf {
        self.top.join("components")
    }

    /// Cargo's target directory for the static programs.
    pub fn target(&self) -> PathBuf {
        self.top.join("target")
    }

    /// Root file systems and image archives.
    pub fn images(&self) -> PathBuf {
        self.top.join("images")
    }

    /// Docker Engine's programs, for a node of kind where the machine has none.
    pub fn docker(&self) -> PathBuf {
        self.top.join("docker")
    }

    /// What that Docker Engine keeps. Beside the node's folder, since containers mount that one. Gone when the node is down.
    pub fn engine(&self) -> PathBuf {
        self.top.join("engine")
    }

    /// Logs of the node that runs, or of the last one that ran.
    pub fn logs(&self) -> PathBuf {
        self.top.join("log")
    }

    /// What the running node keeps: certificates, etcd's data, containers. Gone when it is down.
    pub fn node(&self) -> PathBuf {
        self.top.join("node")
    }

    /// Says what runs; written before anything is started.
    pub fn state(&self) -> PathBuf {
        self.node().join("node.json")
    }

    /// Name of the control groups: different for every cache, so that two people's nodes do not meet.
    pub fn cgroup(&self) -> String {
        let hash = digest(&SHA256, self.top.as_os_str().as_encoded_bytes());
        format!("ado-agent-injector-{}", hex(&hash.as_ref()[..4]))
    }

    /// Keeps others from starting, stopping or building at the same time, until the answer is dropped.
    pub fn lock(&self, what: &str) -> Result<File> {
        let path = self.top.join(format!("{what}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("another process holds {}: wait until it has ended", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as an argument or in a configuration file.
///
/// # Panics
/// When it is not UTF-8; ours are below the cache folder.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the cache folder's path is UTF-8")
}
