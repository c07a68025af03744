//! A control group with the memory limit of the shipped Deployment.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cluster::cgroup::{Hierarchies, hierarchies};

/// A group of its own below the top, removed when it is dropped.
pub(super) struct Group {
    folder: PathBuf,
    files: Files,
}

/// What version 1 and version 2 call the same.
struct Files {
    limit: &'static str,
    peak: &'static str,
    events: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};
const V2: Files = Files {
    limit: "memory.max",
    peak: "memory.peak",
    events: "memory.events",
};

impl Group {
    /// Makes the group with a limit in bytes.
    ///
    /// # Errors
    /// There are no control groups here, or they cannot be made: that needs root.
    pub(super) fn new(name: &str, limit: u64) -> anyhow::Result<Self> {
        let (tree, files) = match hierarchies()? {
            Hierarchies::V1(trees) => {
                let memory = trees.into_iter().find(|tree| tree.ends_with("memory"));
                (memory.context("there is no controller of memory")?, V1)
            }
            Hierarchies::V2(tree) => (tree, V2),
        };
        let folder = tree.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let group = Self { folder, files };
        group.write(group.files.limit, &limit.to_string())?;
        Ok(group)
    }

    fn write(&self, file: &str, value: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        std::fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// A process writes itself into this file.
    pub(super) fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// The most memory that there was, in MiB. Version 2 counts what sockets hold, version 1 does not.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn peak(&self) -> anyhow::Result<f64> {
        let bytes: f64 = self.read(self.files.peak)?.trim().parse()?;
        Ok(bytes / f64::from(1 << 20))
    }

    /// How many processes were killed for memory.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn kills(&self) -> anyhow::Result<u64> {
        let events = self.read(self.files.events)?;
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills.context("the kernel counts no kills")?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes were killed a moment ago, and the kernel takes a moment to let go of them.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The memory limit of the shipped Deployment, in bytes.
///
/// # Errors
/// The manifest has none, or in another unit than `Mi`.
pub fn shipped_limit(repository: &Path) -> anyhow::Result<u64> {
    let path = repository.join("manifests/base/deployment.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = crate::kustomize::parse(&text)?;
    let limit = documents
        .first()
        .and_then(|deployment| {
            let containers = &deployment["spec"]["template"]["spec"]["containers"];
            containers[0]["resources"]["limits"]["memory"].as_str()
        })
        .context("the Deployment has no memory limit")?;
    match limit.strip_suffix("Mi").and_then(|number| number.parse::<u64>().ok()) {
        Some(number) => Ok(number << 20),
        None => bail!("the memory limit is {limit} and not in Mi"),
    }
}
