//! A container of a pod.

use crate::Denial;
use crate::json::{Node, Object};
use serde_json::Value;
use std::fmt;

/// A container, with what a decision looks at.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) list: ContainerList,
    /// Position in its list.
    pub(crate) position: usize,
    pub(crate) name: &'a str,
    pub(crate) env: Vec<EnvEntry<'a>>,
    pub(crate) env_from: Vec<EnvSource<'a>>,
    pub(crate) mounts: Vec<Mount<'a>>,
    /// Names of the volumes of its `volumeDevices`.
    pub(crate) devices: Vec<&'a str>,
    pub(crate) privileges: Privileges<'a>,
    /// Whether its own `restartPolicy` is `Always`; among init containers that makes it a native sidecar.
    pub(crate) restarts_always: bool,
    pub(crate) has_pre_stop: bool,
    pub(crate) liveness_probe: Option<Probe>,
    pub(crate) startup_probe: Option<Probe>,
}

/// One of the lists of containers in a pod's spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerList {
    Init,
    Ordinary,
    Ephemeral,
}

/// An entry of `env`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvEntry<'a> {
    pub(crate) name: &'a str,
    /// `None` where the value comes from `valueFrom`.
    pub(crate) literal: Option<&'a str>,
    pub(crate) object: &'a Object,
}

/// An entry of `envFrom`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvSource<'a> {
    pub(crate) prefix: &'a str,
    /// Name of the ConfigMap.
    pub(crate) config_map: Option<&'a str>,
    /// Name of the Secret.
    pub(crate) secret: Option<&'a str>,
}

/// An entry of `volumeMounts`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mount<'a> {
    /// Name of the volume.
    pub(crate) volume: &'a str,
    pub(crate) path: &'a str,
}

/// What the security context says.
#[derive(Debug, Default)]
pub(crate) struct Privileges<'a> {
    pub(crate) is_privileged: bool,
    /// Capabilities that are added.
    pub(crate) capabilities: Vec<&'a str>,
    pub(crate) proc_mount: Option<&'a str>,
    pub(crate) run_as_user: Option<i64>,
    pub(crate) has_windows_options: bool,
}

/// A probe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Its own `terminationGracePeriodSeconds`.
    pub(crate) grace_seconds: Option<i64>,
}

impl ContainerList {
    /// The key in the pod's spec.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Ordinary => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

impl<'a> Container<'a> {
    pub(crate) fn read(list: ContainerList, position: usize, container: Node<'a, '_>) -> Result<Self, Denial> {
        let probe = |key| {
            container.object(key, |probe| {
                let grace_seconds = probe.integer("terminationGracePeriodSeconds")?;
                Ok(Probe { grace_seconds })
            })
        };
        let pre_stop = container.object("lifecycle", |lifecycle| lifecycle.object("preStop", |_| Ok(())))?;
        Ok(Self {
            list,
            position,
            name: container.name("name")?,
            env: container.list("env", |_, entry| EnvEntry::read(entry))?,
            env_from: container.list("envFrom", |_, source| EnvSource::read(source))?,
            mounts: container.list("volumeMounts", |_, mount| {
                Ok(Mount {
                    volume: mount.text("name")?.unwrap_or_default(),
                    path: mount.text("mountPath")?.unwrap_or_default(),
                })
            })?,
            devices: container.list("volumeDevices", |_, device| {
                Ok(device.text("name")?.unwrap_or_default())
            })?,
            privileges: container
                .object("securityContext", Privileges::read)?
                .unwrap_or_default(),
            restarts_always: container.text("restartPolicy")? == Some("Always"),
            has_pre_stop: pre_stop.flatten().is_some(),
            liveness_probe: probe("livenessProbe")?,
            startup_probe: probe("startupProbe")?,
        })
    }

    /// Its place in the pod, for messages.
    pub(crate) fn place(&self) -> impl fmt::Display {
        let (list, position) = (self.list.as_str(), self.position);
        fmt::from_fn(move |f| write!(f, "spec.{list}[{position}]"))
    }
}

impl<'a> EnvEntry<'a> {
    fn read(entry: Node<'a, '_>) -> Result<Self, Denial> {
        let is_elsewhere = entry.object("valueFrom", |_| Ok(()))?.is_some();
        let value = entry.text("value")?.unwrap_or_default();
        Ok(Self {
            name: entry.name("name")?,
            literal: (!is_elsewhere).then_some(value),
            object: entry.object,
        })
    }
}

impl<'a> EnvSource<'a> {
    fn read(source: Node<'a, '_>) -> Result<Self, Denial> {
        let name = |key| Ok::<_, Denial>(source.object(key, |reference| reference.text("name"))?.flatten());
        Ok(Self {
            prefix: source.text("prefix")?.unwrap_or_default(),
            config_map: name("configMapRef")?,
            secret: name("secretRef")?,
        })
    }
}

impl<'a> Privileges<'a> {
    fn read(context: Node<'a, '_>) -> Result<Self, Denial> {
        let added = context.object("capabilities", |capabilities| capabilities.texts("add"))?;
        Ok(Self {
            is_privileged: context.flag("privileged")?.unwrap_or_default(),
            capabilities: added.unwrap_or_default(),
            proc_mount: context.text("procMount")?,
            run_as_user: context.integer("runAsUser")?,
            has_windows_options: has_windows_options(context)?,
        })
    }
}

/// TCP ports on which a container listens: those that it declares, and those that its probes ask.
pub(super) fn ports(container: Node<'_, '_>) -> Result<Vec<i64>, Denial> {
    let declared = container.list("ports", |_, port| {
        let protocol = port.text("protocol")?.unwrap_or_default();
        let number = port.integer("containerPort")?;
        Ok(number.filter(|_| ["", "TCP"].contains(&protocol)))
    })?;
    let mut ports: Vec<i64> = declared.into_iter().flatten().collect();
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        container.object(probe, |probe| {
            for action in ["httpGet", "tcpSocket", "grpc"] {
                // A text is the name of a declared port.
                let number = probe.object(action, |action| Ok(action.object.get("port").and_then(Value::as_i64)))?;
                ports.extend(number.flatten());
            }
            Ok(())
        })?;
    }
    Ok(ports)
}

/// Whether a security context says anything for Windows.
pub(super) fn has_windows_options(context: Node<'_, '_>) -> Result<bool, Denial> {
    let found = context.object("windowsOptions", |options| {
        Ok(options.object.values().any(|value| !value.is_null()))
    })?;
    Ok(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Container;

    /// webhook/src/memory.rs plans for as many containers as a review may have values.
    #[test]
    fn many_containers_fit_into_the_planned_memory() {
        assert!(size_of::<Container<'_>>() <= 248, "{}", size_of::<Container<'_>>());
    }
}
