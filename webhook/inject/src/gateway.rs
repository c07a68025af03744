//! Handoff `gateway`: what a pod says of it, and what the gateway cannot work with.

use crate::azwi::Azwi;
use crate::environment::{Environment, Found};
use crate::forms;
use crate::overrides::{parsed, value};
use crate::pod::Pod;
use crate::text::{list, quote};
use crate::{Denial, Settings};
use contract::{DenyReason, Handoff};

/// Most variables of a kind that a pod may name. Each is an operation of the patch.
const NAMES_MAX: usize = 5;
/// Longest name of a variable, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Variables that have another meaning than a token or a URL, besides those of the contract.
const OTHERS: [&str; 4] = ["NO_PROXY", "no_proxy", "PATH", "HOME"];

/// What a pod wants of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateway<'a> {
    pub(crate) port: u16,
    /// Whether the agent does one job.
    pub(crate) once: bool,
    /// Whether the start script exchanges a federated token itself.
    pub(crate) own_exchange: bool,
    /// Further variables in which the image expects its token, or its file where the name ends in `_FILE`.
    pub(crate) token_variables: Vec<&'a str>,
    /// Further variables in which the image expects the organization URL.
    pub(crate) url_variables: Vec<&'a str>,
}

/// What the annotations say; `None` is the handoff `token-file`, for which none of the others has a meaning.
pub(crate) fn read<'a>(pod: &Pod<'a>, settings: &Settings) -> Result<Option<Gateway<'a>>, Denial> {
    let handoff = handoff(pod, settings)?;
    let port = value(pod, contract::GATEWAY_PORT_ANNOTATION, &forms::GATEWAY_PORT)?;
    let flag = |key| Ok::<_, Denial>(value(pod, key, &forms::BOOLEAN)?.unwrap_or_default());
    let gateway = Gateway {
        port: port.unwrap_or(contract::DEFAULT_GATEWAY_PORT),
        once: flag(contract::ONCE_ANNOTATION)?,
        own_exchange: flag(contract::OWN_EXCHANGE_ANNOTATION)?,
        token_variables: variables(pod, contract::TOKEN_VARIABLES_ANNOTATION, |name| {
            contract::TICKET_VARIABLES.contains(&name) || contract::TOKEN_FILE_VARIABLES.contains(&name)
        })?,
        url_variables: variables(pod, contract::URL_VARIABLES_ANNOTATION, |name| {
            contract::GATEWAY_URL_VARIABLES.contains(&name)
        })?,
    };
    let twice = gateway
        .token_variables
        .iter()
        .find(|name| gateway.url_variables.contains(name));
    if let Some(name) = twice {
        return Err(Denial::new(
            DenyReason::Conflict,
            format!(
                "annotations {} and {} both name {name}; remove it from one of them",
                contract::TOKEN_VARIABLES_ANNOTATION,
                contract::URL_VARIABLES_ANNOTATION
            ),
        ));
    }
    if handoff == Handoff::Gateway {
        return Ok(Some(gateway));
    }
    let meaningless = [
        (contract::GATEWAY_PORT_ANNOTATION, port.is_some()),
        (contract::ONCE_ANNOTATION, gateway.once),
        (contract::OWN_EXCHANGE_ANNOTATION, gateway.own_exchange),
        (
            contract::TOKEN_VARIABLES_ANNOTATION,
            !gateway.token_variables.is_empty(),
        ),
        (contract::URL_VARIABLES_ANNOTATION, !gateway.url_variables.is_empty()),
    ];
    match meaningless.into_iter().find(|(_, is_set)| *is_set) {
        None => Ok(None),
        Some((key, _)) => Err(Denial::new(
            DenyReason::Conflict,
            format!(
                "annotation {key} needs the handoff \"gateway\", but this pod has \"{}\"; set annotation {} to \"gateway\", or remove \
                 the other",
                handoff.as_str(),
                contract::HANDOFF_ANNOTATION
            ),
        )),
    }
}

fn handoff(pod: &Pod<'_>, settings: &Settings) -> Result<Handoff, Denial> {
    let key = contract::HANDOFF_ANNOTATION;
    let Some(handoff) = value(pod, key, &forms::HANDOFF)? else {
        return Ok(settings.handoff);
    };
    if settings.allowed_handoffs.contains(&handoff) {
        return Ok(handoff);
    }
    let allowed = settings.allowed_handoffs.iter().map(|handoff| handoff.as_str());
    Err(Denial::new(
        DenyReason::NotAllowed,
        format!(
            "annotation {key} is \"{}\", which the operator does not allow; allowed: {}. Change or remove the annotation, or ask the \
             operator of the webhook, whose setting allowed-handoffs decides",
            handoff.as_str(),
            list(allowed)
        ),
    ))
}

/// A list of variables, each once. None may have another meaning; `is_its_own` says which names of the contract are of this kind.
fn variables<'a>(pod: &Pod<'a>, key: &str, is_its_own: impl Fn(&str) -> bool) -> Result<Vec<&'a str>, Denial> {
    let form = format!(
        "names of at most {NAMES_MAX} variables that have no other meaning, separated by commas, for instance \"AGENT_TOKEN\""
    );
    let is_free = |name: &str| is_variable(name) && (is_its_own(name) || !has_other_meaning(name));
    let found = parsed(pod, key, &form, |value| {
        let mut names: Vec<&str> = Vec::new();
        for name in value.split(',').map(str::trim) {
            if !is_free(name) {
                return None;
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (names.len() <= NAMES_MAX).then_some(names)
    });
    Ok(found?.unwrap_or_default())
}

/// A name that every shell can read.
fn is_variable(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_word)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn has_other_meaning(name: &str) -> bool {
    let tables = [
        contract::AGENT_VARIABLES,
        contract::GATEWAY_VARIABLES,
        contract::OLDER_VARIABLES,
        contract::SIDECAR_VARIABLES,
    ];
    let is_listed = tables.iter().any(|table| table.iter().any(|entry| entry.name == name));
    is_listed
        || name.starts_with("ADO_AGENT_")
        || contract::SECRET_VARIABLES.contains(&name)
        || contract::PROXY_VARIABLES.contains(&name)
        || OTHERS.contains(&name)
}

/// Denies a pod that has what the gateway cannot work with.
pub(crate) fn check(
    pod: &Pod<'_>,
    agent: &str,
    environment: &Environment<'_>,
    azwi: &Azwi<'_>,
    gateway: &Gateway<'_>,
) -> Result<(), Denial> {
    if pod.sharing.host_network {
        return Err(impossible(&format!(
            "the pod has hostNetwork, where the gateway would listen for every process of the node; remove hostNetwork, or set \
             annotation {} to \"{}\"",
            contract::HANDOFF_ANNOTATION,
            Handoff::TokenFile.as_str()
        )));
    }
    if let Some(port) = pod.ports.iter().find(|port| port.number == i64::from(gateway.port)) {
        return Err(impossible(&format!(
            "container {} uses port {}, which is the gateway's in this pod; set annotation {} to another port",
            quote(port.container),
            gateway.port,
            contract::GATEWAY_PORT_ANNOTATION
        )));
    }
    if gateway.once && pod.restarts_always {
        return Err(impossible(&format!(
            "annotation {} is \"true\", but the pod's restartPolicy is Always: the agent container would be started again after its job, \
             and could not register; let a Job create the pod, or remove the annotation",
            contract::ONCE_ANNOTATION
        )));
    }
    if gateway.own_exchange && azwi.keeps_token() {
        return Err(Denial::new(
            DenyReason::Conflict,
            format!(
                "annotation {} leads the start script to the gateway, but the agent container keeps the federated token of Azure Workload \
                 Identity; set annotation {} to \"hide\", or remove label {}",
                contract::OWN_EXCHANGE_ANNOTATION,
                contract::FEDERATED_TOKEN_ANNOTATION,
                contract::AZWI_USE_LABEL
            ),
        ));
    }
    account_only(agent, environment, gateway)
}

/// The oldest recipe makes `https://NAME.visualstudio.com` of a name, and knows no other way to say where it registers.
fn account_only(agent: &str, environment: &Environment<'_>, gateway: &Gateway<'_>) -> Result<(), Denial> {
    let is_set = |name: &str| matches!(environment.find(name), Found::Literal(..) | Found::Dynamic(_));
    let account = contract::VSTS_ACCOUNT_VARIABLE;
    let knows_url = contract::GATEWAY_URL_VARIABLES.iter().any(|name| is_set(name));
    if !is_set(account) || knows_url || !gateway.url_variables.is_empty() {
        return Ok(());
    }
    Err(impossible(&format!(
        "container {} names its organization in {account}, of which a start script makes https://NAME.visualstudio.com, past the gateway; \
         use an image that reads {} and set that, or set annotation {} to \"{}\"",
        quote(agent),
        contract::AZP_URL_VARIABLE,
        contract::HANDOFF_ANNOTATION,
        Handoff::TokenFile.as_str()
    )))
}

fn impossible(sentence: &str) -> Denial {
    Denial::new(
        DenyReason::GatewayImpossible,
        format!("handoff \"gateway\": {sentence}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables() {
        for name in ["A", "_", "AGENT_TOKEN", "a1"] {
            assert!(is_variable(name), "{name}");
        }
        for name in ["", "1A", "A-B", "A B", "A=B", "É", "$(A)"] {
            assert!(!is_variable(name), "{name}");
        }
    }

    #[test]
    fn variables_of_the_contract_have_other_meanings() {
        for name in [
            "AZP_POOL",
            "AZP_URL",
            "AZP_TOKEN",
            "HTTPS_PROXY",
            "AZURE_CLIENT_ID",
            "ADO_AGENT_X",
            "VSTS_AGENT",
        ] {
            assert!(has_other_meaning(name), "{name}");
        }
        for name in ["AGENT_TOKEN", "AGENT_URL", "TOKEN"] {
            assert!(!has_other_meaning(name), "{name}");
        }
    }
}
