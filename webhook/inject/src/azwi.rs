//! The Azure Workload Identity webhook (azwi): what it will do to the pod, and what we ask it not to do.
//!
//! azwi mounts a federated token into every container of a pod with its label, except those on `skip-containers`. Our
//! configuration sorts before azwi's, so it sees what we write; where it ran first nonetheless, `hide` also takes the
//! token out of the agent container again. azwi's volume names and paths change between its versions, so none is
//! spelled here: the mount is found through `AZURE_FEDERATED_TOKEN_FILE`.

use crate::environment::{Environment, Found};
use crate::overrides::Overrides;
use crate::pod::{Container, Pod, Volume};
use crate::text::quote;
use crate::{Denial, FederatedToken, Settings};
use contract::DenyReason;
use std::collections::BTreeSet;

/// Longest list of containers that is read and rewritten, in bytes: more than a hundred names.
const SKIP_LIST_BYTES_MAX: usize = 8 * 1024;

/// What azwi does to this pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Azwi<'a> {
    /// Nothing: the pod does not carry its label.
    Absent,
    /// It mutates the pod.
    Present {
        /// AKS identity binding: the sidecar uses azwi's identity instead of our own projection.
        binding: bool,
        /// What happens to the federated token in the agent container.
        token: FederatedToken,
        /// Containers that it leaves alone already.
        skipped: BTreeSet<&'a str>,
    },
}

impl Azwi<'_> {
    /// Whether the identity is left to azwi.
    pub(crate) fn is_binding(&self) -> bool {
        matches!(self, Self::Present { binding: true, .. })
    }

    /// The choice for the agent container's federated token, where there is one to make.
    pub(crate) fn token(&self) -> Option<FederatedToken> {
        match self {
            Self::Absent => None,
            Self::Present { token, .. } => Some(*token),
        }
    }

    /// Whether the agent container keeps a federated token.
    pub(crate) fn keeps_token(&self) -> bool {
        self.token() == Some(FederatedToken::Keep)
    }

    /// Whether it gives a token to a container that is neither the agent nor the sidecar.
    pub(crate) fn gives_token_to(&self, container: &str) -> bool {
        match self {
            Self::Absent => false,
            Self::Present { skipped, .. } => !skipped.contains(container),
        }
    }
}

/// Reads azwi's label and annotations and the choice that they demand.
pub(crate) fn read<'a>(
    pod: &Pod<'a>,
    agent: &str,
    overrides: &Overrides<'_>,
    settings: &Settings,
) -> Result<Azwi<'a>, Denial> {
    let labeled = pod.labels.get(contract::AZWI_USE_LABEL) == Some("true");
    let binding = pod
        .annotations
        .get(contract::AZWI_BINDING_ANNOTATION)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !labeled {
        return if binding {
            Err(Denial::new(
                DenyReason::NoIdentity,
                format!(
                    "annotation {} leaves the identity to the Azure Workload Identity webhook, which needs label {}: \"true\" on \
                     the pod; add the label, or remove the annotation",
                    contract::AZWI_BINDING_ANNOTATION,
                    contract::AZWI_USE_LABEL
                ),
            ))
        } else {
            Ok(Azwi::Absent)
        };
    }
    let skipped = skip_list(pod)?;
    if binding && skipped.contains(contract::SIDECAR_CONTAINER) {
        return Err(Denial::new(
            DenyReason::NoIdentity,
            format!(
                "annotation {} lists {}, but annotation {} leaves the sidecar's identity to Azure Workload Identity; remove one of them",
                contract::AZWI_SKIP_CONTAINERS_ANNOTATION,
                contract::SIDECAR_CONTAINER,
                contract::AZWI_BINDING_ANNOTATION
            ),
        ));
    }
    let listed = if skipped.contains(agent) {
        Listed::Skipped
    } else {
        Listed::No
    };
    let token = choice(listed, agent, overrides, settings)?;
    if token == FederatedToken::Hide && pod.annotations.get(contract::AZWI_PROXY_ANNOTATION).is_some() {
        return Err(Denial::new(
            DenyReason::FederatedTokenChoice,
            format!(
                "the federated token cannot be hidden from the agent container: annotation {} (of any value) makes Azure \
                 Workload Identity add a proxy that gives tokens to every container of the pod; remove it, or set annotation {} to \"keep\"",
                contract::AZWI_PROXY_ANNOTATION,
                contract::FEDERATED_TOKEN_ANNOTATION
            ),
        ));
    }
    Ok(Azwi::Present {
        binding,
        token,
        skipped,
    })
}

/// Whether azwi's annotation `skip-containers` names the agent container.
#[derive(Clone, Copy)]
enum Listed {
    Skipped,
    No,
}

/// The choice for the agent container's federated token: the pod's, then the operator's.
fn choice(
    listed: Listed,
    agent: &str,
    overrides: &Overrides<'_>,
    settings: &Settings,
) -> Result<FederatedToken, Denial> {
    let key = contract::FEDERATED_TOKEN_ANNOTATION;
    match (overrides.federated_token, listed) {
        (Some(FederatedToken::Keep), Listed::Skipped) => Err(Denial::new(
            DenyReason::Conflict,
            format!(
                "annotation {key} is \"keep\", but annotation {} lists the agent container {}; remove one of them",
                contract::AZWI_SKIP_CONTAINERS_ANNOTATION,
                quote(agent)
            ),
        )),
        (Some(token), _) if settings.allowed_federated_token.contains(&token) => Ok(token),
        (Some(token), _) => {
            let allowed: Vec<&str> = settings.allowed_federated_token.iter().map(|token| token.as_str()).collect();
            Err(Denial::new(
                DenyReason::NotAllowed,
                format!(
                    "annotation {key} is \"{}\", which the operator does not allow; allowed: {}",
                    token.as_str(),
                    if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
                ),
            ))
        }
        (None, Listed::Skipped) => Ok(FederatedToken::Hide),
        (None, Listed::No) => settings.federated_token.ok_or_else(|| {
            Denial::new(
                DenyReason::FederatedTokenChoice,
                format!(
                    "the pod has label {} of Azure Workload Identity, so every job in container {} could use its identity; set annotation {key} \
                     to \"hide\" (jobs cannot) or \"keep\" (for scripts that do their own exchange, jobs that use az login). Or \
                     remove the label: the sidecar has a token of its own and does not need it",
                    contract::AZWI_USE_LABEL,
                    quote(agent)
                ),
            )
        }),
    }
}

fn skip_list<'a>(pod: &Pod<'a>) -> Result<BTreeSet<&'a str>, Denial> {
    let key = contract::AZWI_SKIP_CONTAINERS_ANNOTATION;
    let value = pod.annotations.get(key).unwrap_or_default();
    if value.len() > SKIP_LIST_BYTES_MAX {
        return Err(Denial::new(
            DenyReason::PatchTooLarge,
            format!(
                "annotation {key} has {} bytes, and the webhook rewrites at most {SKIP_LIST_BYTES_MAX}; remove names that no \
                 container of the pod has",
                value.len()
            ),
        ));
    }
    Ok(names(value).collect())
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').map(str::trim).filter(|name| !name.is_empty())
}

/// The value that `skip-containers` must get, where it has to change.
///
/// The sidecar is on it unless azwi provides its identity: it has a token of its own, and azwi would add a second one and
/// its own tenant.
pub(crate) fn skip_containers(pod: &Pod<'_>, agent: &str, azwi: &Azwi<'_>) -> Option<String> {
    let Azwi::Present {
        binding,
        token,
        skipped,
    } = azwi
    else {
        return None;
    };
    let wanted = [
        (!binding).then_some(contract::SIDECAR_CONTAINER),
        (*token == FederatedToken::Hide).then_some(agent),
    ];
    let missing: Vec<&str> = wanted
        .into_iter()
        .flatten()
        .filter(|name| !skipped.contains(name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let value = pod
        .annotations
        .get(contract::AZWI_SKIP_CONTAINERS_ANNOTATION)
        .unwrap_or_default();
    let list: Vec<&str> = names(value).chain(missing).collect();
    Some(list.join(";"))
}

/// The federated token that the agent container already has: positions of its variables and of its mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exposed {
    pub(crate) variables: Vec<usize>,
    pub(crate) mounts: Vec<usize>,
}

/// Finds the token where azwi ran before us although it is to be hidden.
pub(crate) fn exposed(pod: &Pod<'_>, agent: &Container<'_>, environment: &Environment<'_>, azwi: &Azwi<'_>) -> Exposed {
    let variable = contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE;
    if azwi.token() != Some(FederatedToken::Hide) {
        return Exposed::default();
    }
    let Found::Literal(_, file) = environment.find(variable) else {
        return Exposed::default();
    };
    // The deepest mount above the file is the one that it is in.
    let is_above = |path: &str| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let deepest = agent
        .mounts
        .iter()
        .enumerate()
        .map(|(index, mount)| (mount.path.trim_end_matches('/'), index, mount.volume))
        .filter(|(path, ..)| is_above(path))
        .max_by_key(|(path, index, _)| (path.len(), *index));
    match deepest {
        Some((_, index, volume)) if is_account_token(pod, volume) => Exposed {
            variables: environment.positions(variable).collect(),
            mounts: vec![index],
        },
        Some(_) | None => Exposed::default(),
    }
}

/// Whether the volume projects a service-account token.
fn is_account_token(pod: &Pod<'_>, name: &str) -> bool {
    let is_token = |volume: &Volume<'_>| volume.projections.iter().any(|source| source.account_token.is_some());
    pod.volumes
        .iter()
        .find(|volume| volume.name == name && volume.is_projected())
        .is_some_and(is_token)
}
