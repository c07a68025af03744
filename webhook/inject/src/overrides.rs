//! The annotations that a person puts on a pod, read once into types. Every bad value is a [`Denial`].

use crate::pod::Pod;
use crate::text::{list, quote};
use crate::url::organization_url;
use crate::values::{Quantity, is_config_map_key, is_guid, is_image, is_subdomain, is_tenant, quantity};
use crate::{Denial, FederatedToken, LogLevel, Settings};
use contract::{DenyReason, Handoff};

/// Longest grace period that an annotation may ask for: 30 days.
const MAX_GRACE_SECONDS: i64 = 30 * 24 * 3600;
/// Less memory than this does not start a container.
const MIN_MEMORY: Quantity = Quantity::bytes(4 * 1024 * 1024);
/// Longest name of a pool that is believed. It is written into two containers.
const POOL_BYTES_MAX: usize = 256;
const POOL_FORM: &str = "the name of an agent pool, of at most 256 bytes";
/// Handoffs of later versions, so that the denial can say so.
const LATER_HANDOFFS: [&str; 2] = ["credentials", "env"];

/// What the pod's annotations ask for; `None` leaves it to the next source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overrides<'a> {
    pub(crate) url: Option<String>,
    pub(crate) pool: Option<&'a str>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) agent_container: Option<&'a str>,
    pub(crate) handoff: Handoff,
    pub(crate) federated_token: Option<FederatedToken>,
    pub(crate) grace_seconds: Option<i64>,
    /// Whether the agent stays in the pool; `None` where the pod does not say.
    pub(crate) placeholder: Option<bool>,
    pub(crate) ca_config_map: Option<ConfigMapKey<'a>>,
    pub(crate) sidecar_image: Option<&'a str>,
    pub(crate) sidecar_cpu: Option<&'a str>,
    pub(crate) sidecar_memory: Option<&'a str>,
    pub(crate) sidecar_ephemeral_storage: Option<&'a str>,
    pub(crate) sidecar_log_level: Option<LogLevel>,
    pub(crate) sidecar_run_as_user: Option<RunAsUser>,
}

/// A key of a ConfigMap in the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigMapKey<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
}

/// Who the sidecar runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunAsUser {
    /// The platform chooses.
    Platform,
    /// This user and group.
    Id(i64),
}

impl RunAsUser {
    /// The id, if there is one.
    pub(crate) fn id(self) -> Option<i64> {
        match self {
            Self::Platform => None,
            Self::Id(id) => Some(id),
        }
    }
}

impl<'a> Overrides<'a> {
    /// Reads every known annotation.
    pub(crate) fn read(pod: &Pod<'a>, settings: &Settings) -> Result<Self, Denial> {
        Ok(Self {
            url: url(pod, settings)?,
            pool: parsed(pod, contract::POOL_ANNOTATION, POOL_FORM, |value| {
                let value = value.trim();
                let is_name =
                    !value.is_empty() && value.len() <= POOL_BYTES_MAX && !value.chars().any(char::is_control);
                is_name.then_some(value)
            })?,
            client_id: parsed(pod, contract::CLIENT_ID_ANNOTATION, CLIENT_ID_FORM, |value| {
                is_guid(value).then_some(value)
            })?,
            tenant_id: parsed(pod, contract::TENANT_ID_ANNOTATION, TENANT_FORM, |value| {
                is_tenant(value).then_some(value)
            })?,
            agent_container: parsed(
                pod,
                contract::AGENT_CONTAINER_ANNOTATION,
                "the name of a container",
                Some,
            )?,
            handoff: handoff(pod)?,
            federated_token: parsed(
                pod,
                contract::FEDERATED_TOKEN_ANNOTATION,
                "\"hide\" or \"keep\"",
                FederatedToken::parse,
            )?,
            grace_seconds: parsed(
                pod,
                contract::GRACE_SECONDS_ANNOTATION,
                "a whole number of seconds from 0 to 2592000, for instance \"3600\"",
                |value| digits(value).filter(|seconds| *seconds <= MAX_GRACE_SECONDS),
            )?,
            placeholder: parsed(
                pod,
                contract::PLACEHOLDER_ANNOTATION,
                "\"true\" or \"false\"",
                |value| value.parse().ok(),
            )?,
            ca_config_map: ca_config_map(pod, settings)?,
            sidecar_image: parsed(
                pod,
                contract::SIDECAR_IMAGE_ANNOTATION,
                "an image reference, for instance \"registry.example/ado-agent-sidecar:0.1.0\"",
                |value| is_image(value).then_some(value),
            )?,
            sidecar_cpu: parsed(
                pod,
                contract::SIDECAR_CPU_ANNOTATION,
                "a Kubernetes quantity of at least 1m, for instance \"100m\"",
                |value| quantity(value).filter(|cpu| *cpu >= Quantity::MILLI).map(|_| value),
            )?,
            sidecar_memory: parsed(
                pod,
                contract::SIDECAR_MEMORY_ANNOTATION,
                "a Kubernetes quantity of at least 4Mi, for instance \"32Mi\"",
                |value| quantity(value).filter(|memory| *memory >= MIN_MEMORY).map(|_| value),
            )?,
            sidecar_ephemeral_storage: parsed(
                pod,
                contract::SIDECAR_EPHEMERAL_STORAGE_ANNOTATION,
                "a Kubernetes quantity above zero, for instance \"16Mi\"",
                |value| quantity(value).filter(|size| *size > Quantity::ZERO).map(|_| value),
            )?,
            sidecar_log_level: parsed(
                pod,
                contract::SIDECAR_LOG_LEVEL_ANNOTATION,
                "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
                LogLevel::parse,
            )?,
            sidecar_run_as_user: parsed(
                pod,
                contract::SIDECAR_RUN_AS_USER_ANNOTATION,
                "a user id from 1 to 2147483647 (the sidecar does not run as root), or \"none\" to leave it to the platform",
                |value| match value {
                    "none" => Some(RunAsUser::Platform),
                    id => digits(id)
                        .filter(|id| (1..=i64::from(i32::MAX)).contains(id))
                        .map(RunAsUser::Id),
                },
            )?,
        })
    }
}

pub(crate) const CLIENT_ID_FORM: &str = "the client id (a GUID) of an application or managed identity, for instance \"11111111-2222-3333-4444-555555555555\"";
pub(crate) const TENANT_FORM: &str = "an Entra tenant, as a GUID or a domain";

fn bad(key: &str, value: &str, form: &str) -> Denial {
    Denial::new(
        DenyReason::BadAnnotation,
        format!("annotation {key} is {}; expected {form}", quote(value)),
    )
}

fn parsed<'a, T>(
    pod: &Pod<'a>,
    key: &str,
    form: &str,
    parse: impl FnOnce(&'a str) -> Option<T>,
) -> Result<Option<T>, Denial> {
    pod.annotations
        .get(key)
        .map(|value| parse(value).ok_or_else(|| bad(key, value, form)))
        .transpose()
}

/// A whole number without a sign.
fn digits(value: &str) -> Option<i64> {
    value
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| value.parse().ok())
        .flatten()
}

fn url(pod: &Pod<'_>, settings: &Settings) -> Result<Option<String>, Denial> {
    let key = contract::URL_ANNOTATION;
    pod.annotations
        .get(key)
        .map(|value| {
            organization_url(value, &settings.allowed_hosts)
                .map_err(|sentence| Denial::new(DenyReason::BadUrl, format!("annotation {key} is {sentence}")))
        })
        .transpose()
}

fn handoff(pod: &Pod<'_>) -> Result<Handoff, Denial> {
    let key = contract::HANDOFF_ANNOTATION;
    let Some(value) = pod.annotations.get(key) else {
        return Ok(Handoff::TokenFile);
    };
    let offered = list(Handoff::ALL.into_iter().map(Handoff::as_str));
    Handoff::parse(value).ok_or_else(|| {
        if LATER_HANDOFFS.contains(&value) {
            bad(
                key,
                value,
                &format!("{offered}, the only handoff of this version; remove the annotation or set it so"),
            )
        } else {
            bad(key, value, &offered)
        }
    })
}

fn ca_config_map<'a>(pod: &Pod<'a>, settings: &Settings) -> Result<Option<ConfigMapKey<'a>>, Denial> {
    let key = contract::CA_CONFIG_MAP_ANNOTATION;
    let form = "the NAME of a ConfigMap in the pod's namespace, or NAME/KEY";
    let wanted = parsed(pod, key, form, |value| {
        let (name, key) = value.split_once('/').unwrap_or((value, contract::CA_DEFAULT_KEY));
        (is_subdomain(name) && is_config_map_key(key)).then_some(ConfigMapKey { name, key })
    })?;
    if let Some(wanted) = &wanted
        && !settings.allow_ca_config_map
    {
        return Err(Denial::new(
            DenyReason::NotAllowed,
            format!(
                "annotation {key} names {}, but the operator does not allow CA bundles of the pod's own; remove the \
                 annotation, or ask the operator to allow it or to add the CA to the webhook's bundle",
                quote(wanted.name)
            ),
        ));
    }
    Ok(wanted)
}
