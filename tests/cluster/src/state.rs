//! What runs, in a file: written before it runs, so that `down` finds it after any crash.

use crate::kind::Docker;
use crate::layout::Layout;
use crate::namespace::Namespaces;
use crate::node::Keeper;
use crate::service::Program;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// A node, from the moment before it is made to the moment after it is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The world that holds everything which was started, once made: killed, and all of it has ended. There is none where Docker
    /// Engine of the machine runs the node.
    pub namespaces: Option<Namespaces>,
    /// What else there is where kind makes the node.
    pub kind: Option<Kind>,
    /// Branch of the control groups.
    pub cgroup: String,
    /// Settings of the machine's kernel that a kubelet changes, as they were before.
    pub kernel: BTreeMap<String, String>,
    /// Folders that were made on the machine for the node to mount over, in order.
    pub folders: Vec<PathBuf>,
    /// Version of Kubernetes, with the `v`.
    pub kubernetes: String,
    /// Programs of Kubernetes.
    pub programs: PathBuf,
    /// Programs of containerd.
    pub runtime: PathBuf,
    /// Services by name: what was started, and who keeps it running.
    pub services: BTreeMap<String, (Program, Keeper)>,
    /// Whether it came up.
    pub ready: bool,
}

/// A node in a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// Where the container runs.
    pub docker: Docker,
    /// File of kind.
    pub program: PathBuf,
    /// The container, once it runs.
    pub container: Option<Namespaces>,
}

impl State {
    /// The node's own world.
    pub(crate) fn node(&self) -> Option<Namespaces> {
        match &self.kind {
            Some(kind) => kind.container,
            None => self.namespaces,
        }
    }

    /// Reads it; nothing when there is no node.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>> {
        let file = layout.state();
        match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                let file = file.display();
                format!("{file} is not what this version writes: take the node down with the version that started it")
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Writes it: all of it or nothing.
    pub(crate) fn write(&self, layout: &Layout) -> Result<()> {
        let file = layout.state();
        let new = file.with_extension("new");
        fs::create_dir_all(layout.node())
            .and_then(|()| fs::write(&new, serde_json::to_vec_pretty(self)?))
            .and_then(|()| fs::rename(&new, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}
