//! An image: layers and a configuration.

use crate::layer::Layer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An image.
#[derive(Debug, Default)]
pub struct Image<'a> {
    /// Full name with registry and tag.
    pub name: String,
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// `UID:GID`; empty is root.
    pub user: &'a str,
    /// Where the program starts; empty is the top.
    pub folder: &'a str,
    /// Variables beyond `PATH`, as `NAME=VALUE`.
    pub environment: &'a [&'a str],
    /// Ports that the program listens on, as `8080/tcp`.
    pub ports: &'a [&'a str],
    /// Labels, such as those of the OCI image specification.
    pub labels: BTreeMap<&'static str, String>,
    /// When it was made, as RFC 3339 has it; empty says nothing.
    pub created: String,
    /// What is in it, each over the one before.
    pub layers: Vec<Layer<'a>>,
}

impl Image<'_> {
    /// The configuration, of layers with these hashes.
    pub(crate) fn configuration(&self, platform: Platform, layers: &[String]) -> Value {
        let mut environment = vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
        environment.extend(self.environment);
        let ids: Vec<String> = layers.iter().map(|hash| format!("sha256:{hash}")).collect();
        let mut configuration = json!({
            "architecture": platform.name(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "User": self.user,
                "WorkingDir": self.folder,
                "Env": environment,
            },
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        if !self.ports.is_empty() {
            let ports: Map<String, Value> = self.ports.iter().map(|port| ((*port).to_owned(), json!({}))).collect();
            configuration["config"]["ExposedPorts"] = Value::Object(ports);
        }
        if !self.labels.is_empty() {
            configuration["config"]["Labels"] = json!(self.labels);
        }
        if !self.created.is_empty() {
            configuration["created"] = json!(self.created);
        }
        configuration
    }
}

/// What the programs of an image run on. Always Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Platform {
    /// That of this machine.
    ///
    /// # Panics
    /// On a machine that is neither.
    pub fn here() -> Self {
        match std::env::consts::ARCH {
            "x86_64" => Self::Amd64,
            "aarch64" => Self::Arm64,
            other => panic!("images are made for x86_64 and aarch64, and this machine is {other}"),
        }
    }

    /// Go's name for the architecture, which images are marked with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}
