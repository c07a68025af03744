//! Takes a node down, whatever state it is in: up, half up, or left by a crash. Doing it twice does no harm.

use crate::layout::Layout;
use crate::state::State;
use crate::{cgroup, kernel, kind};
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// Kills the node's world, and with it every process, mount and link; then removes its control groups and its folder, and
/// sets the kernel back. Answers whether there was a node. Logs stay until the next one starts.
pub fn down(layout: &Layout) -> Result<bool> {
    let _lock = layout.lock("node")?;
    down_locked(layout)
}

/// [`down`] for those who hold the lock.
pub(crate) fn down_locked(layout: &Layout) -> Result<bool> {
    let state = State::read(layout)?;
    if let Some(state) = &state {
        if let Some(kind) = &state.kind {
            kind::remove(kind)?;
        }
        if let Some(namespaces) = &state.namespaces {
            namespaces.destroy(Duration::from_secs(60))?;
        }
        cgroup::remove(&state.cgroup, Duration::from_secs(30))?;
        kernel::restore(&state.kernel)?;
        for folder in state.folders.iter().rev() {
            remove_empty(folder)?;
        }
    }
    // The state lies in the node's folder, which therefore goes last.
    remove_all(&layout.engine())?;
    remove_all(&layout.node())?;
    Ok(state.is_some())
}

fn remove_all(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a folder that the node only mounted over. If somebody has put something there since, it is theirs now.
fn remove_empty(folder: &Path) -> Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
