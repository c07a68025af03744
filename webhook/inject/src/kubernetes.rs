//! The parts of Kubernetes' API (`core/v1`) that the webhook adds to a pod, with the fields that it sets.
//!
//! They borrow from the pod and the settings, and are written as they are: the patch is the only copy. The tests read
//! every patched pod with the API's full types.

use crate::env_var::EnvVar;
use serde::Serialize;

/// A container.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    pub(crate) name: &'static str,
    pub(crate) image: &'a str,
    pub(crate) command: [&'static str; 1],
    pub(crate) args: [&'static str; 1],
    pub(crate) restart_policy: &'static str,
    pub(crate) env: Vec<EnvVar<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<ResourceRequirements<'a>>,
    pub(crate) security_context: SecurityContext,
    pub(crate) startup_probe: Probe,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) readiness_probe: Option<Probe>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) termination_message_policy: &'static str,
    pub(crate) volume_mounts: Vec<VolumeMount>,
}

/// What a container may use.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ResourceRequirements<'a> {
    pub(crate) requests: ResourceList<'a>,
    pub(crate) limits: ResourceList<'a>,
}

/// Quantities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ResourceList<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ephemeral_storage: Option<&'a str>,
}

/// A container's privileges.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityContext {
    pub(crate) allow_privilege_escalation: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) privileged: bool,
    pub(crate) read_only_root_filesystem: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_group: Option<i64>,
    pub(crate) run_as_non_root: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_as_user: Option<i64>,
    pub(crate) seccomp_profile: SeccompProfile,
}

/// Capabilities that are taken away.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Capabilities {
    pub(crate) drop: [&'static str; 1],
}

/// A seccomp profile.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct SeccompProfile {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// A probe by a program.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Probe {
    pub(crate) exec: ExecAction,
    pub(crate) period_seconds: i32,
    pub(crate) failure_threshold: i32,
    pub(crate) timeout_seconds: i32,
}

/// What the kubelet runs before it stops a container.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lifecycle {
    pub(crate) pre_stop: LifecycleHandler,
}

/// An action.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct LifecycleHandler {
    pub(crate) exec: ExecAction,
}

/// A program and its arguments.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ExecAction {
    pub(crate) command: &'static [&'static str],
}

/// Where a container mounts a volume.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount {
    pub(crate) name: &'static str,
    pub(crate) mount_path: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
}

/// A volume.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Volume<'a> {
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) source: VolumeSource<'a>,
}

/// What a volume holds.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum VolumeSource<'a> {
    EmptyDir {
        medium: &'static str,
        size_limit: &'static str,
    },
    Projected {
        sources: [VolumeProjection<'a>; 1],
    },
    ConfigMap {
        name: &'a str,
        items: [KeyToPath<'a>; 1],
    },
}

/// A source of a projected volume.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum VolumeProjection<'a> {
    ServiceAccountToken {
        audience: &'a str,
        expiration_seconds: i64,
        path: &'static str,
    },
}

/// A file of a volume.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct KeyToPath<'a> {
    pub(crate) key: &'a str,
    pub(crate) path: &'static str,
}
