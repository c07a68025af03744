//! The annotations that a person puts on a pod, read once into types. Every bad value is a [`Denial`].

use crate::forms::{self, Form, TextForm};
use crate::gateway::{self, Gateway};
use crate::pod::Pod;
use crate::text::quote;
use crate::values::{is_config_map_key, is_subdomain};
use crate::{Denial, FederatedToken, LogLevel, RunAsUser, Settings};
use contract::{DenyReason, Handoff, OrganizationUrl};

/// What the pod's annotations ask for; `None` leaves it to the next source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Overrides<'a> {
    pub(crate) url: Option<OrganizationUrl>,
    pub(crate) pool: Option<&'a str>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) agent_container: Option<&'a str>,
    /// What the pod wants of the gateway; `None` is the handoff `token-file`.
    pub(crate) gateway: Option<Gateway<'a>>,
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

impl<'a> Overrides<'a> {
    /// Reads every known annotation.
    pub(crate) fn read(pod: &Pod<'a>, settings: &Settings) -> Result<Self, Denial> {
        Ok(Self {
            url: url(pod, settings)?,
            pool: pool(pod)?,
            client_id: text(pod, contract::CLIENT_ID_ANNOTATION, &forms::CLIENT_ID)?,
            tenant_id: text(pod, contract::TENANT_ID_ANNOTATION, &forms::TENANT_ID)?,
            agent_container: pod.annotations.get(contract::AGENT_CONTAINER_ANNOTATION),
            gateway: gateway::read(pod, settings)?,
            federated_token: value(pod, contract::FEDERATED_TOKEN_ANNOTATION, &forms::FEDERATED_TOKEN)?,
            grace_seconds: value(pod, contract::GRACE_SECONDS_ANNOTATION, &forms::GRACE_SECONDS)?,
            placeholder: value(pod, contract::PLACEHOLDER_ANNOTATION, &forms::BOOLEAN)?,
            ca_config_map: ca_config_map(pod, settings)?,
            sidecar_image: text(pod, contract::SIDECAR_IMAGE_ANNOTATION, &forms::SIDECAR_IMAGE)?,
            sidecar_cpu: text(pod, contract::SIDECAR_CPU_ANNOTATION, &forms::SIDECAR_CPU)?,
            sidecar_memory: text(pod, contract::SIDECAR_MEMORY_ANNOTATION, &forms::SIDECAR_MEMORY)?,
            sidecar_ephemeral_storage: text(
                pod,
                contract::SIDECAR_EPHEMERAL_STORAGE_ANNOTATION,
                &forms::SIDECAR_EPHEMERAL_STORAGE,
            )?,
            sidecar_log_level: value(pod, contract::SIDECAR_LOG_LEVEL_ANNOTATION, &forms::LOG_LEVEL)?,
            sidecar_run_as_user: value(pod, contract::SIDECAR_RUN_AS_USER_ANNOTATION, &forms::RUN_AS_USER)?,
        })
    }
}

impl Overrides<'_> {
    /// The handoff.
    pub(crate) fn handoff(&self) -> Handoff {
        match self.gateway {
            None => Handoff::TokenFile,
            Some(_) => Handoff::Gateway,
        }
    }
}

fn bad(key: &str, value: &str, form: &str) -> Denial {
    Denial::new(
        DenyReason::BadAnnotation,
        format!("annotation {key} is {}; expected {form}", quote(value)),
    )
}

/// An annotation that is read by a function.
pub(crate) fn parsed<'a, T>(
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

/// An annotation that is used as it was written.
fn text<'a>(pod: &Pod<'a>, key: &str, form: &TextForm) -> Result<Option<&'a str>, Denial> {
    parsed(pod, key, form.expected, |value| (form.is_valid)(value).then_some(value))
}

/// An annotation that is read into a value.
pub(crate) fn value<T>(pod: &Pod<'_>, key: &str, form: &Form<T>) -> Result<Option<T>, Denial> {
    parsed(pod, key, form.expected, form.parse)
}

fn pool<'a>(pod: &Pod<'a>) -> Result<Option<&'a str>, Denial> {
    parsed(pod, contract::POOL_ANNOTATION, forms::POOL.expected, |name| {
        let name = name.trim();
        (forms::POOL.is_valid)(name).then_some(name)
    })
}

fn url(pod: &Pod<'_>, settings: &Settings) -> Result<Option<OrganizationUrl>, Denial> {
    let key = contract::URL_ANNOTATION;
    pod.annotations
        .get(key)
        .map(|value| {
            OrganizationUrl::parse(value, &settings.allowed_hosts)
                .map_err(|error| Denial::new(DenyReason::BadUrl, format!("annotation {key} is {error}")))
        })
        .transpose()
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
