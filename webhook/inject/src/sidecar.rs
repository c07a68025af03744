//! The sidecar container and its volumes.

use crate::env_var::{EnvVar, escape, field, literal};
use crate::identity::Identity;
use crate::kubernetes::{
    Capabilities, Container, ExecAction, KeyToPath, Lifecycle, LifecycleHandler, Probe, ResourceList,
    ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount, VolumeProjection, VolumeSource,
};
use crate::overrides::Overrides;
use crate::pod::{ResourcesOf, VolumeGroup};
use crate::{ClusterFacts, Settings};

/// The agent may start once the probe passes; it is asked every second for an hour, since a new federated credential
/// takes minutes, and then the kubelet restarts the sidecar.
const STARTUP_SECONDS: i32 = 3600;
/// With the gateway the pod is ready while its agent is online: it is asked for as long as the pod runs.
const READINESS_SECONDS: i32 = 10;
/// An answer takes a second under the shipped CPU limit.
const PROBE_TIMEOUT_SECONDS: i32 = 5;

/// The variables that say who the sidecar is to Entra.
pub(crate) fn identity<'a>(identity: &Identity<'a>, settings: &'a Settings) -> Vec<EnvVar<'a>> {
    match identity {
        Identity::Azwi => vec![literal(contract::AZWI_IDENTITY_VARIABLE, "true")],
        Identity::Own {
            client_id,
            tenant_id,
            warning: _,
        } => {
            let mut variables = vec![literal(contract::AZURE_CLIENT_ID_VARIABLE, client_id.0)];
            if let Some((tenant, _)) = tenant_id {
                variables.push(literal(contract::AZURE_TENANT_ID_VARIABLE, *tenant));
            }
            variables.push(literal(
                contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
                contract::ASSERTION_FILE,
            ));
            variables.push(literal(
                contract::AZURE_AUTHORITY_HOST_VARIABLE,
                settings.authority.as_str(),
            ));
            variables
        }
    }
}

/// The variables that depend on neither identity nor organization.
pub(crate) fn variables<'a>(
    overrides: &Overrides<'a>,
    grace_seconds: i64,
    group: VolumeGroup,
    settings: &'a Settings,
) -> Vec<EnvVar<'a>> {
    let level = overrides.sidecar_log_level.unwrap_or(settings.sidecar_log_level);
    // With an fsGroup every container of the pod is in the file's group; without, only the mode lets the agent read it.
    let mode = match (&overrides.gateway, group) {
        (None, VolumeGroup::Pod) => "0640",
        (None, VolumeGroup::Process) => "0644",
        // The ticket is no secret, and some start scripts write the file that they are told to read.
        (Some(_), _) => "0666",
    };
    let mut variables = vec![
        literal(contract::CONTRACT_VARIABLE, contract::VERSION.to_string()),
        literal(contract::HANDOFF_VARIABLE, overrides.handoff().as_str()),
        literal(contract::SCOPE_VARIABLE, settings.scope.as_str()),
        literal(contract::ALLOWED_HOSTS_VARIABLE, settings.allowed_hosts.to_variable()),
        literal(
            contract::ALLOWED_AUTHORITIES_VARIABLE,
            settings.allowed_authorities.to_variable(),
        ),
        literal(contract::GRACE_SECONDS_VARIABLE, grace_seconds.to_string()),
        literal(contract::HANDOFF_DIR_VARIABLE, contract::HANDOFF_DIR),
        literal(contract::TOKEN_FILE_MODE_VARIABLE, mode),
        literal(contract::STATE_DIR_VARIABLE, contract::STATE_DIR),
        literal(contract::TERMINATION_LOG_VARIABLE, contract::TERMINATION_LOG),
        literal(contract::LOG_LEVEL_VARIABLE, level.as_str()),
    ];
    if let Some(gateway) = &overrides.gateway {
        variables.push(literal(contract::GATEWAY_PORT_VARIABLE, gateway.port.to_string()));
        if gateway.once {
            variables.push(literal(contract::ONCE_VARIABLE, "true"));
        }
    }
    if overrides.placeholder == Some(true) {
        variables.push(literal(contract::PLACEHOLDER_VARIABLE, "true"));
    }
    if let Some(pem) = &settings.ca_pem {
        variables.push(literal(contract::CA_PEM_VARIABLE, pem.as_str()));
    }
    if overrides.ca_config_map.is_some() {
        let file = format!("{}/{}", contract::CA_DIR, contract::CA_DEFAULT_KEY);
        variables.push(literal(contract::CA_FILE_VARIABLE, file));
    }
    variables
}

/// The volumes of the sidecar, and where it mounts each.
pub(crate) fn volumes<'a>(
    identity: &Identity<'_>,
    overrides: &Overrides<'a>,
    settings: &'a Settings,
) -> Vec<(Volume<'a>, VolumeMount)> {
    let mut volumes = Vec::new();
    if matches!(identity, Identity::Own { .. }) {
        let token = VolumeProjection::ServiceAccountToken {
            audience: &settings.audience,
            expiration_seconds: contract::ASSERTION_SECONDS,
            path: file_name(contract::ASSERTION_FILE),
        };
        let source = VolumeSource::Projected { sources: [token] };
        volumes.push(volume(
            contract::ASSERTION_VOLUME,
            source,
            contract::ASSERTION_DIR,
            Access::ReadOnly,
        ));
    }
    for (name, size_limit, path, access) in [
        (
            contract::HANDOFF_VOLUME,
            "1Mi",
            contract::HANDOFF_DIR,
            Access::ReadWrite,
        ),
        (contract::STATE_VOLUME, "1Mi", contract::STATE_DIR, Access::ReadWrite),
        (
            contract::NO_API_TOKEN_VOLUME,
            "4Ki",
            contract::API_TOKEN_DIR,
            Access::ReadOnly,
        ),
    ] {
        let medium = "Memory";
        let source = VolumeSource::EmptyDir { medium, size_limit };
        volumes.push(volume(name, source, path, access));
    }
    if let Some(ca) = &overrides.ca_config_map {
        let path = contract::CA_DEFAULT_KEY;
        let items = [KeyToPath { key: ca.key, path }];
        let source = VolumeSource::ConfigMap { name: ca.name, items };
        volumes.push(volume(contract::CA_VOLUME, source, contract::CA_DIR, Access::ReadOnly));
    }
    volumes
}

/// What the sidecar may do in a volume.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    ReadWrite,
}

fn volume<'a>(
    name: &'static str,
    source: VolumeSource<'a>,
    mount_path: &'static str,
    access: Access,
) -> (Volume<'a>, VolumeMount) {
    let mount = VolumeMount {
        name,
        mount_path,
        read_only: access == Access::ReadOnly,
    };
    (Volume { name, source }, mount)
}

/// The user that the sidecar runs as; `None` leaves it to the platform.
pub(crate) fn user(overrides: &Overrides<'_>, settings: &Settings) -> Option<i64> {
    overrides
        .sidecar_run_as_user
        .unwrap_or(settings.sidecar_run_as_user)
        .id()
}

/// The sidecar container: a native sidecar that fits Pod Security `restricted`.
pub(crate) fn container<'a>(
    env: Vec<EnvVar<'a>>,
    volume_mounts: Vec<VolumeMount>,
    overrides: &Overrides<'a>,
    pod: ResourcesOf,
    settings: &'a Settings,
) -> Container<'a> {
    Container {
        name: contract::SIDECAR_CONTAINER,
        image: overrides.sidecar_image.unwrap_or(&settings.sidecar_image),
        command: [contract::SIDECAR_PROGRAM],
        args: ["run"],
        restart_policy: "Always",
        env,
        resources: resources(overrides, pod, settings),
        security_context: security_context(user(overrides, settings)),
        startup_probe: Probe {
            exec: ExecAction {
                command: &[contract::SIDECAR_PROGRAM, "probe"],
            },
            period_seconds: 1,
            failure_threshold: STARTUP_SECONDS,
            timeout_seconds: PROBE_TIMEOUT_SECONDS,
        },
        readiness_probe: overrides.gateway.as_ref().map(|_| Probe {
            exec: ExecAction {
                command: &[contract::SIDECAR_PROGRAM, "ready"],
            },
            period_seconds: READINESS_SECONDS,
            failure_threshold: 1,
            timeout_seconds: PROBE_TIMEOUT_SECONDS,
        }),
        lifecycle: Lifecycle {
            pre_stop: LifecycleHandler {
                exec: ExecAction {
                    command: &[contract::SIDECAR_PROGRAM, "pre-stop"],
                },
            },
        },
        termination_message_policy: "File",
        volume_mounts,
    }
}

/// Requests equal limits: a Guaranteed pod stays Guaranteed. A pod with resources of its own (`spec.resources`) keeps them and
/// its QoS class only if no container of ours has CPU or memory: the API server would make the pod's requests of ours alone, or
/// find the sum of the containers above the pod's (kubernetes/kubernetes `pkg/apis/core/v1/defaults.go`,
/// `setDefaultPodLevelResources`). Pods have no ephemeral storage of their own.
fn resources<'a>(
    overrides: &Overrides<'a>,
    pod: ResourcesOf,
    settings: &'a Settings,
) -> Option<ResourceRequirements<'a>> {
    let is_shared = pod == ResourcesOf::Pod;
    let own = |value: Option<&'a str>, default: &'a str| (!is_shared).then_some(value.unwrap_or(default));
    let amounts = ResourceList {
        cpu: own(overrides.sidecar_cpu, &settings.sidecar_cpu),
        memory: own(overrides.sidecar_memory, &settings.sidecar_memory),
        ephemeral_storage: overrides
            .sidecar_ephemeral_storage
            .or(settings.sidecar_ephemeral_storage.as_deref()),
    };
    let is_any = !is_shared || amounts.ephemeral_storage.is_some();
    is_any.then_some(ResourceRequirements {
        requests: amounts,
        limits: amounts,
    })
}

/// Warns that a pod with resources of its own cannot choose the size of the sidecar.
pub(crate) fn resources_warning(overrides: &Overrides<'_>, pod: ResourcesOf) -> Option<String> {
    let is_asked = overrides.sidecar_cpu.is_some() || overrides.sidecar_memory.is_some();
    (pod == ResourcesOf::Pod && is_asked).then(|| {
        format!(
            "annotations {} and {} are ignored: the pod has resources of its own (spec.resources), and the sidecar takes its share of \
             them",
            contract::SIDECAR_CPU_ANNOTATION,
            contract::SIDECAR_MEMORY_ANNOTATION
        )
    })
}

fn security_context(user: Option<i64>) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: false,
        capabilities: Capabilities { drop: ["ALL"] },
        privileged: false,
        read_only_root_filesystem: true,
        run_as_group: user,
        run_as_non_root: true,
        run_as_user: user,
        seccomp_profile: SeccompProfile { kind: "RuntimeDefault" },
    }
}

fn file_name(path: &'static str) -> &'static str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The ownership marker, in which the kubelet replaces the references to the pod's name and UID.
pub(crate) fn owner(namespace: &str, cluster: &ClusterFacts) -> [EnvVar<'static>; 3] {
    let marker = contract::Marker {
        cluster: escape(cluster.id.as_str()).into_owned(),
        namespace: namespace.to_owned(),
        pod: format!("$({})", contract::POD_NAME_VARIABLE),
        uid: format!("$({})", contract::POD_UID_VARIABLE),
    };
    [
        field(contract::POD_NAME_VARIABLE, "metadata.name"),
        field(contract::POD_UID_VARIABLE, "metadata.uid"),
        EnvVar::Value {
            name: contract::OWNER_VARIABLE.into(),
            value: marker.to_string().into(),
        },
    ]
}
