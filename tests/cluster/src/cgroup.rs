//! The node's own branch of the control groups: made before the kubelet, removed after the last process.

use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tests::cgroup::{Hierarchies, hierarchies};

/// Makes the branch `name`. The kubelet wants it to exist and to offer every controller.
pub(crate) fn make(name: &str) -> Result<()> {
    match hierarchies()? {
        Hierarchies::V1(trees) => trees.iter().try_for_each(|tree| make_v1(tree, name)),
        Hierarchies::V2(tree) => make_v2(&tree, name),
    }
}

fn make_v1(tree: &Path, name: &str) -> Result<()> {
    let branch = tree.join(name);
    fs::create_dir_all(&branch).with_context(|| format!("cannot make {}", branch.display()))?;
    // A new branch of cpuset is empty, and no process can be put into it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if tree.join(file).exists() {
            fs::read(tree.join(file))
                .and_then(|value| fs::write(branch.join(file), value))
                .with_context(|| format!("cannot set {}", branch.join(file).display()))?;
        }
    }
    Ok(())
}

fn make_v2(tree: &Path, name: &str) -> Result<()> {
    let branch = tree.join(name);
    fs::create_dir_all(&branch).with_context(|| format!("cannot make {}", branch.display()))?;
    for folder in [tree, &branch] {
        let controllers = fs::read_to_string(folder.join("cgroup.controllers"))
            .with_context(|| format!("cannot read the controllers of {}", folder.display()))?;
        for controller in controllers.split_whitespace() {
            let file = folder.join("cgroup.subtree_control");
            fs::write(&file, format!("+{controller}")).with_context(|| {
                format!("cannot hand the controller {controller} on in {}: processes may sit in it directly, as in a container", file.display())
            })?;
        }
    }
    Ok(())
}

/// Removes the branch. Its processes have just been killed, and the kernel takes a moment to let go of them.
pub(crate) fn remove(name: &str, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    // Wherever it is: runc joins the tree of version 2 as well where that stands beside version 1.
    for tree in trees()? {
        let branch = tree.join(name);
        while let Err(error) = remove_tree(&branch) {
            if Instant::now() >= deadline {
                return Err(error).with_context(|| format!("cannot remove {}", branch.display()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Every tree that is mounted.
fn trees() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
    });
    Ok(places.collect())
}

fn remove_tree(branch: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(branch) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // The files are the kernel's: a branch is removed as if it were empty.
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(branch)
}
