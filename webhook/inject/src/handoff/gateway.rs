//! Handoff `gateway`: the start script finds the gateway's URL and a ticket, and no token.

use super::{Changes, Setting};
use crate::Denial;
use crate::env_var::{EnvVar, literal};
use crate::environment::{Environment, Found};
use crate::gateway::Gateway;
use crate::identity::Identity;
use crate::text::quote;
use contract::{LOOPBACK, TICKET};

/// Variables with which a container reaches plain HTTP through a proxy: those of curl and of what imitates it. The agent goes
/// around its own for a loopback address (microsoft/azure-pipelines-agent `VstsAgentWebProxy.cs`), curl does not.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
/// Most sources of `envFrom` whose `no_proxy` is carried over. Each costs two entries.
const SOURCES_MAX: usize = 8;
/// What stands for a client or a tenant that is not known: the gateway does not read it.
const ANY: &str = "gateway";

impl<'a> Changes<'a> {
    /// Adds URL and ticket and the settings, and takes away what start scripts prefer to the ticket.
    pub(super) fn gateway(
        &mut self,
        agent: &str,
        environment: &Environment<'a>,
        settings: Vec<Setting<'a>>,
        gateway: &Gateway<'a>,
    ) -> Result<(), Denial> {
        self.urls(environment, gateway);
        let is_url = |name: &str| contract::GATEWAY_URL_VARIABLES.contains(&name);
        self.settings(settings.into_iter().filter(|(_, entry)| !is_url(entry.name())));
        self.tickets(agent, environment, gateway)?;
        let others: Vec<&'static str> = contract::SECRET_VARIABLES
            .iter()
            .copied()
            .filter(|name| !contract::TICKET_VARIABLES.contains(name) && !gateway.token_variables.contains(name))
            .collect();
        self.shadow(agent, environment, &others)?;
        self.files(environment, gateway);
        self.set(environment, contract::UNSAFE_BASIC_AUTH_VARIABLE, "true");
        self.set(environment, contract::AUTH_INPUT_VARIABLE, "PAT");
        if gateway.once {
            self.set(environment, contract::ONCE_INPUT_VARIABLE, "true");
        }
        self.around_proxies(agent, environment);
        Ok(())
    }

    /// What a script finds that exchanges a federated token itself.
    pub(super) fn exchange(&mut self, environment: &Environment<'_>, gateway: &Gateway<'a>, identity: &Identity<'a>) {
        if !gateway.own_exchange {
            return;
        }
        let (client, tenant) = match identity {
            Identity::Own {
                client_id, tenant_id, ..
            } => (client_id.0, tenant_id.as_ref().map_or(ANY, |(tenant, _)| *tenant)),
            Identity::Azwi => (ANY, ANY),
        };
        let authority = contract::gateway_authority(gateway.port);
        self.set(environment, contract::AZURE_AUTHORITY_HOST_VARIABLE, &authority);
        self.set(
            environment,
            contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE,
            contract::TOKEN_FILE,
        );
        for (name, value) in [
            (contract::AZURE_CLIENT_ID_VARIABLE, client),
            (contract::AZURE_TENANT_ID_VARIABLE, tenant),
        ] {
            if !is_set(environment, name) {
                self.set(environment, name, value);
            }
        }
    }

    fn urls(&mut self, environment: &Environment<'_>, gateway: &Gateway<'a>) {
        let url = contract::gateway_url(gateway.port);
        self.set(environment, contract::AZP_URL_VARIABLE, &url);
        for name in contract::GATEWAY_URL_VARIABLES {
            if *name != contract::AZP_URL_VARIABLE && environment.find(name) != Found::Absent {
                self.set(environment, name, &url);
            }
        }
        for name in further(&gateway.url_variables, contract::GATEWAY_URL_VARIABLES) {
            self.set(environment, name, &url);
        }
    }

    /// A token of the pod's own is not kept in an earlier entry, either, which other entries could refer to.
    fn tickets(&mut self, agent: &str, environment: &Environment<'_>, gateway: &Gateway<'a>) -> Result<(), Denial> {
        let further = further(&gateway.token_variables, contract::TICKET_VARIABLES).filter(|name| !is_file(name));
        let mut held = Vec::new();
        for name in contract::TICKET_VARIABLES.iter().copied().chain(further) {
            match environment.find(name) {
                Found::Literal(_, TICKET) | Found::Blank(_) | Found::Perhaps | Found::Absent => {}
                Found::Literal(..) | Found::Dynamic(_) => held.push(name),
            }
            let mut positions: Vec<usize> = environment.positions(name).collect();
            positions.pop();
            self.remove_all(agent, name, positions)?;
            self.set(environment, name, TICKET);
        }
        if !held.is_empty() {
            self.warnings.push(format!(
                "container {}: {} now holds the gateway's ticket; the token that stood there is not needed any more",
                quote(agent),
                held.join(", ")
            ));
        }
        Ok(())
    }

    /// A start script that finds the variable of a token file reads the file, so that has to hold the ticket; one that could
    /// find a path of somebody else's finds none.
    fn files(&mut self, environment: &Environment<'_>, gateway: &Gateway<'a>) {
        for name in contract::TOKEN_FILE_VARIABLES {
            let is_named = gateway.token_variables.contains(name);
            match environment.find(name) {
                Found::Literal(..) | Found::Dynamic(_) => self.set(environment, name, contract::TOKEN_FILE),
                Found::Blank(_) | Found::Perhaps | Found::Absent if is_named => {
                    self.set(environment, name, contract::TOKEN_FILE);
                }
                Found::Perhaps => {
                    self.variables.append.push(literal(name, ""));
                    self.shadowed.push(name);
                }
                Found::Blank(_) | Found::Absent => {}
            }
        }
        for name in further(&gateway.token_variables, contract::TOKEN_FILE_VARIABLES).filter(|name| is_file(name)) {
            self.set(environment, name, contract::TOKEN_FILE);
        }
    }

    /// Keeps requests for the gateway away from proxies, where the container may have one.
    fn around_proxies(&mut self, agent: &str, environment: &Environment<'a>) {
        let has = |name: &&str| !matches!(environment.find(name), Found::Absent | Found::Blank(_));
        if !PROXIES.iter().any(has) {
            return;
        }
        let mut unknown = Vec::new();
        for name in contract::NO_PROXY_VARIABLES {
            if let Some(position) = environment.positions(name).next_back() {
                self.around_proxies_beside(environment.literal(position), position, name);
            } else if environment.find(name) == Found::Absent {
                self.variables.append.push(raw(name, LOOPBACK.to_owned()));
            } else if environment.sources() > SOURCES_MAX {
                unknown.push(*name);
            } else {
                self.around_proxies_of_sources(environment, name);
            }
        }
        if !unknown.is_empty() {
            self.warnings.push(format!(
                "container {} has more than {SOURCES_MAX} envFrom sources: if one brings a proxy, {LOOPBACK} has to be in {} that it \
                 brings, since the gateway listens there",
                quote(agent),
                unknown.join(" and ")
            ));
        }
    }

    /// Where the container has a list: its text, or `None` where the kubelet finds it.
    fn around_proxies_beside(&mut self, text: Option<&str>, position: usize, name: &'static str) {
        let Some(text) = text else {
            // A second entry may refer to the first one of its name.
            let value = format!("$({name}),{LOOPBACK}");
            self.variables.append.push(raw(name, value));
            return;
        };
        let mut items = text.split([',', ';']).map(str::trim);
        if items.any(|item| [LOOPBACK, "*"].contains(&item)) {
            return;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let value = format!("{text}{comma}{LOOPBACK}");
        self.variables.replace.push((position, raw(name, value)));
        self.replaced.push(name);
    }

    /// Where sources of `envFrom` may bring a list.
    fn around_proxies_of_sources(&mut self, environment: &Environment<'a>, name: &'static str) {
        let copy = format!("{}{name}", contract::REFERENCE_VARIABLE_PREFIX);
        // Where no source has it, the reference below is to this.
        self.variables.append.push(EnvVar::Value {
            name: copy.clone().into(),
            value: "localhost".into(),
        });
        self.variables.append.extend(environment.references_as(name, &copy));
        self.variables.append.push(raw(name, format!("{LOOPBACK},$({copy})")));
    }
}

/// The variables of a pod's own list that are not in a list of the contract.
fn further<'a>(names: &[&'a str], known: &[&str]) -> impl Iterator<Item = &'a str> {
    names.iter().copied().filter(move |name| !known.contains(name))
}

fn is_file(name: &str) -> bool {
    name.ends_with("_FILE")
}

fn is_set(environment: &Environment<'_>, name: &str) -> bool {
    matches!(environment.find(name), Found::Literal(..) | Found::Dynamic(_))
}

/// A variable whose value is written as Kubernetes reads it.
fn raw(name: &'static str, value: String) -> EnvVar<'static> {
    EnvVar::Value {
        name: name.into(),
        value: value.into(),
    }
}
