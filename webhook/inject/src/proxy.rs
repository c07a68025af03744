//! The proxies on the way to Entra and Azure DevOps: the agent container's own, each by itself, else the operator's.

use crate::Settings;
use crate::env_var::{EnvVar, literal};
use crate::environment::Environment;

/// Position of an entry of the agent container that the sidecar gets a copy of, and its name there.
pub(crate) type Copied = (usize, &'static str);

/// The proxies of the sidecar.
#[derive(Debug, Default)]
pub(crate) struct Proxies<'a> {
    /// Entries of the agent container that are copied.
    pub(crate) copies: Vec<Copied>,
    pub(crate) variables: Vec<EnvVar<'a>>,
}

/// Finds them.
pub(crate) fn find<'a>(environment: &Environment<'a>, settings: &'a Settings) -> Proxies<'a> {
    let mut copies = Vec::new();
    let mut variables = Vec::new();
    for name in contract::PROXY_VARIABLES {
        match environment.positions(name).next_back() {
            Some(index) => copies.push((index, *name)),
            None => variables.extend(environment.brought(name)),
        }
    }
    for (names, variable, operator) in [
        (
            contract::HTTPS_PROXY_VARIABLES,
            contract::HTTPS_PROXY_DEFAULT_VARIABLE,
            &settings.https_proxy,
        ),
        (
            contract::NO_PROXY_VARIABLES,
            contract::NO_PROXY_DEFAULT_VARIABLE,
            &settings.no_proxy,
        ),
    ] {
        let is_the_pods = copies.iter().any(|(_, name)| names.contains(name));
        let operator = operator.as_deref().filter(|_| !is_the_pods);
        variables.extend(operator.map(|value| literal(variable, value)));
    }
    Proxies { copies, variables }
}
