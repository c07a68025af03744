//! The sidecar container and its volumes.

use crate::Settings;
use crate::environment::escape;
use crate::identity::Identity;
use crate::organisation::literal;
use crate::overrides::{Overrides, RunAsUser};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, ExecAction, KeyToPath, Lifecycle,
    LifecycleHandler, Probe, ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext,
    ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

/// The agent may start once the probe passes; it is asked every second for an hour, since a new federated credential
/// takes minutes, and then the kubelet starts the sidecar anew.
const STARTUP_SECONDS: i32 = 3600;
/// An answer takes a second under the shipped CPU limit.
const PROBE_TIMEOUT_SECONDS: i32 = 5;

/// The variables that say who the sidecar is to Entra.
pub(crate) fn identity(identity: &Identity, settings: &Settings) -> Vec<Value> {
    match identity {
        Identity::Azwi => vec![literal(contract::AZWI_IDENTITY_VARIABLE, "true")],
        Identity::Own {
            client_id,
            tenant_id,
            warning: _,
        } => {
            let mut variables = vec![literal(contract::AZURE_CLIENT_ID_VARIABLE, &client_id.0)];
            if let Some((tenant, _)) = tenant_id {
                variables.push(literal(contract::AZURE_TENANT_ID_VARIABLE, tenant));
            }
            variables.push(literal(
                contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
                contract::ASSERTION_FILE,
            ));
            variables.push(literal(contract::AZURE_AUTHORITY_HOST_VARIABLE, &settings.authority));
            variables
        }
    }
}

/// The variables that depend on neither identity nor organisation.
pub(crate) fn variables(overrides: &Overrides, grace_seconds: i64, fs_group: bool, settings: &Settings) -> Vec<Value> {
    let level = overrides.sidecar_log_level.unwrap_or(settings.sidecar_log_level);
    // With an fsGroup every container of the pod is in the file's group; without, only the mode lets the agent read it.
    let mode = if fs_group { "0640" } else { "0644" };
    let mut variables = vec![
        literal(contract::CONTRACT_VARIABLE, &contract::VERSION.to_string()),
        literal(contract::HANDOFF_VARIABLE, overrides.handoff.as_str()),
        literal(contract::SCOPE_VARIABLE, &settings.scope),
        literal(contract::ALLOWED_HOSTS_VARIABLE, &settings.allowed_hosts.join(",")),
        literal(
            contract::ALLOWED_AUTHORITIES_VARIABLE,
            &settings.allowed_authorities.join(","),
        ),
        literal(contract::GRACE_SECONDS_VARIABLE, &grace_seconds.to_string()),
        literal(contract::HANDOFF_DIR_VARIABLE, contract::HANDOFF_DIR),
        literal(contract::TOKEN_FILE_MODE_VARIABLE, mode),
        literal(contract::STATE_DIR_VARIABLE, contract::STATE_DIR),
        literal(contract::TERMINATION_LOG_VARIABLE, contract::TERMINATION_LOG),
        literal(contract::LOG_LEVEL_VARIABLE, level.as_str()),
    ];
    if let Some(pem) = &settings.ca_pem {
        variables.push(literal(contract::CA_PEM_VARIABLE, pem));
    }
    if overrides.ca_config_map.is_some() {
        let file = format!("{}/{}", contract::CA_DIR, contract::CA_DEFAULT_KEY);
        variables.push(literal(contract::CA_FILE_VARIABLE, &file));
    }
    variables
}

/// The volumes of the sidecar, and where it mounts each.
pub(crate) fn volumes(identity: &Identity, overrides: &Overrides, settings: &Settings) -> Vec<(Volume, VolumeMount)> {
    let mut volumes = Vec::new();
    if matches!(identity, Identity::Own { .. }) {
        volumes.push((
            Volume {
                name: contract::ASSERTION_VOLUME.to_owned(),
                projected: Some(ProjectedVolumeSource {
                    sources: Some(vec![VolumeProjection {
                        service_account_token: Some(ServiceAccountTokenProjection {
                            audience: Some(settings.audience.clone()),
                            expiration_seconds: Some(contract::ASSERTION_SECONDS),
                            path: file_name(contract::ASSERTION_FILE).to_owned(),
                        }),
                        ..VolumeProjection::default()
                    }]),
                    ..ProjectedVolumeSource::default()
                }),
                ..Volume::default()
            },
            mount(contract::ASSERTION_VOLUME, contract::ASSERTION_DIR, true),
        ));
    }
    for (name, size, path, read_only) in [
        (contract::HANDOFF_VOLUME, "1Mi", contract::HANDOFF_DIR, false),
        (contract::STATE_VOLUME, "1Mi", contract::STATE_DIR, false),
        (contract::NO_API_TOKEN_VOLUME, "4Ki", contract::API_TOKEN_DIR, true),
    ] {
        volumes.push((memory(name, size), mount(name, path, read_only)));
    }
    if let Some(ca) = &overrides.ca_config_map {
        volumes.push((
            Volume {
                name: contract::CA_VOLUME.to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: ca.name.clone(),
                    items: Some(vec![KeyToPath {
                        key: ca.key.clone(),
                        path: contract::CA_DEFAULT_KEY.to_owned(),
                        mode: None,
                    }]),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            mount(contract::CA_VOLUME, contract::CA_DIR, true),
        ));
    }
    volumes
}

/// The container: a native sidecar that fits Pod Security `restricted`.
pub(crate) fn container(
    env: Vec<Value>,
    mounts: Vec<VolumeMount>,
    overrides: &Overrides,
    settings: &Settings,
) -> Value {
    let program = |verb: &str| {
        Some(ExecAction {
            command: Some(vec![contract::SIDECAR_PROGRAM.to_owned(), verb.to_owned()]),
        })
    };
    let user = match overrides.sidecar_run_as_user {
        Some(RunAsUser::Id(id)) => Some(id),
        Some(RunAsUser::Platform) => None,
        None => settings.sidecar_run_as_user,
    };
    let container = Container {
        name: contract::SIDECAR_CONTAINER.to_owned(),
        image: Some(
            overrides
                .sidecar_image
                .clone()
                .unwrap_or_else(|| settings.sidecar_image.clone()),
        ),
        command: Some(vec![contract::SIDECAR_PROGRAM.to_owned()]),
        args: Some(vec!["run".to_owned()]),
        restart_policy: Some("Always".to_owned()),
        resources: Some(resources(overrides, settings)),
        security_context: Some(security_context(user)),
        startup_probe: Some(Probe {
            exec: program("probe"),
            period_seconds: Some(1),
            failure_threshold: Some(STARTUP_SECONDS),
            timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
            ..Probe::default()
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: program("pre-stop"),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let mut container = serde_json::to_value(container).expect("a container has a JSON form");
    // Not through the types: copies of the user's own entries may have fields that our types do not know.
    container["env"] = Value::Array(env);
    container
}

/// Requests equal limits: a Guaranteed pod stays Guaranteed.
fn resources(overrides: &Overrides, settings: &Settings) -> ResourceRequirements {
    let either = |own: &Option<String>, default: &String| Quantity(own.clone().unwrap_or_else(|| default.clone()));
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), either(&overrides.sidecar_cpu, &settings.sidecar_cpu)),
        (
            "memory".to_owned(),
            either(&overrides.sidecar_memory, &settings.sidecar_memory),
        ),
    ]);
    ResourceRequirements {
        requests: Some(amounts.clone()),
        limits: Some(amounts),
        ..ResourceRequirements::default()
    }
}

fn security_context(user: Option<i64>) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            ..Capabilities::default()
        }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_group: user,
        run_as_non_root: Some(true),
        run_as_user: user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

fn memory(name: &str, size: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(size.to_owned())),
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The ownership marker, in which the kubelet replaces the references to the pod's name and UID.
pub(crate) fn owner(namespace: &str, settings: &Settings) -> [Value; 3] {
    use crate::organisation::field;
    let marker = contract::Marker {
        cluster: escape(&settings.cluster),
        namespace: namespace.to_owned(),
        pod: format!("$({})", contract::POD_NAME_VARIABLE),
        uid: format!("$({})", contract::POD_UID_VARIABLE),
    };
    [
        field(contract::POD_NAME_VARIABLE, "metadata.name"),
        field(contract::POD_UID_VARIABLE, "metadata.uid"),
        serde_json::json!({ "name": contract::OWNER_VARIABLE, "value": marker.to_string() }),
    ]
}
