//! Control groups of this machine: version 1 (one tree a controller) and version 2 (one tree), both of which are common.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where the kernel's trees are mounted.
#[derive(Debug, PartialEq, Eq)]
pub enum Hierarchies {
    /// A tree for each controller.
    V1(Vec<PathBuf>),
    /// One tree.
    V2(PathBuf),
}

/// The control groups of this machine.
///
/// # Errors
/// None are mounted.
pub fn hierarchies() -> Result<Hierarchies> {
    parse(&fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?)
}

fn parse(mounts: &str) -> Result<Hierarchies> {
    let mut controllers = Vec::new();
    let mut unified = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(_), Some(place), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        match kind {
            "cgroup" => controllers.push(PathBuf::from(place)),
            // Elsewhere it is mounted beside version 1 and has no controller.
            "cgroup2" if place == "/sys/fs/cgroup" => unified = Some(PathBuf::from(place)),
            _ => {}
        }
    }
    match unified {
        Some(place) => Ok(Hierarchies::V2(place)),
        None if controllers.is_empty() => bail!("no control groups are mounted below /sys/fs/cgroup"),
        None => Ok(Hierarchies::V1(controllers)),
    }
}

/// What processes in a group may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: u64,
    /// Thousandths of a processor, if limited.
    pub processor: Option<u64>,
}

/// A group of its own below the top, which is removed when it is dropped.
#[derive(Debug)]
pub struct Group {
    memory: PathBuf,
    /// The same folder in version 2.
    processor: Option<PathBuf>,
    files: Files,
}

/// Names of the files with the same meaning in both versions.
#[derive(Debug)]
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
/// Microseconds in which the processor time is counted.
const PERIOD: u64 = 100_000;

impl Group {
    /// Makes the group.
    ///
    /// # Errors
    /// There are no control groups here, or they cannot be made, which needs root.
    pub fn new(name: &str, limits: Limits) -> Result<Self> {
        let quota = limits.processor.map(|thousandths| thousandths * PERIOD / 1000);
        let group = match hierarchies()? {
            Hierarchies::V1(trees) => {
                let branch = |controller: &str| {
                    let tree = trees.iter().find(|tree| tree.ends_with(controller));
                    let branch = tree
                        .with_context(|| format!("there is no controller {controller}"))?
                        .join(name);
                    make(&branch)?;
                    anyhow::Ok(branch)
                };
                let group = Self {
                    memory: branch("memory")?,
                    processor: quota.map(|_| branch("cpu")).transpose()?,
                    files: V1,
                };
                if let (Some(branch), Some(quota)) = (&group.processor, quota) {
                    write(&branch.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
                    write(&branch.join("cpu.cfs_quota_us"), &quota.to_string())?;
                }
                group
            }
            Hierarchies::V2(tree) => {
                let controllers = if quota.is_some() { "+memory +cpu" } else { "+memory" };
                write(&tree.join("cgroup.subtree_control"), controllers)?;
                let branch = tree.join(name);
                make(&branch)?;
                let group = Self {
                    processor: quota.map(|_| branch.clone()),
                    memory: branch,
                    files: V2,
                };
                if let Some(quota) = quota {
                    write(&group.memory.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
                }
                group
            }
        };
        write(&group.memory.join(group.files.limit), &limits.memory.to_string())?;
        Ok(group)
    }

    /// A process that writes itself into these files is in the group.
    pub fn procs(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.folders().map(|folder| folder.join("cgroup.procs")).collect();
        files.dedup();
        files
    }

    /// The most memory that there was, in MiB. Version 2 counts what sockets hold, version 1 does not.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn peak(&self) -> Result<f64> {
        let bytes: f64 = self.read(self.files.peak)?.trim().parse()?;
        Ok(bytes / f64::from(1 << 20))
    }

    /// How many processes were killed for memory.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn kills(&self) -> Result<usize> {
        let events = self.read(self.files.events)?;
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills.context("the kernel counts no kills")?.trim().parse()?)
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.memory), self.processor.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.memory.join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes ended a moment ago, and the kernel takes a moment to release them.
        for folder in self.folders() {
            for _ in 0..50 {
                if !folder.exists() || fs::remove_dir(folder).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn make(branch: &Path) -> Result<()> {
    fs::create_dir(branch).with_context(|| format!("cannot make {}", branch.display()))
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{Hierarchies, parse};

    #[test]
    fn version_1_beside_an_empty_version_2_is_version_1() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      tmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(
            parse(mounts).unwrap(),
            Hierarchies::V1(vec!["/sys/fs/cgroup/cpu".into()])
        );
    }

    #[test]
    fn one_tree_is_version_2() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        assert_eq!(parse(mounts).unwrap(), Hierarchies::V2("/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_machine_without_control_groups_is_named() {
        assert!(
            parse("proc /proc proc rw 0 0\n")
                .unwrap_err()
                .to_string()
                .contains("/sys/fs/cgroup")
        );
    }
}
