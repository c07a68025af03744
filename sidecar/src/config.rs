//! The configuration that the webhook wrote into the sidecar's environment.
//!
//! No one types these variables, so there is no way to end with "wrong configuration": whatever is wrong becomes the
//! machine's [`Refusal`]. The process then stays up, reports what is wrong, and lets no agent start.

mod env_reader;
mod identity;

use crate::gateway;
use azure::{AzureDevOps, Entra, Forwarder, Http, Trust, UnusableHost};
use contract::{HostList, Marker, OrganizationUrl, RefusalReason};
use env_reader::{AGENT_NAME, EnvReader, POOL, URL};
use lifecycle::{Handoff, Jobs, Refusal, Settings};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

const USER_AGENT: &str = concat!("ado-agent-sidecar/", env!("CARGO_PKG_VERSION"));

/// What the environment says.
#[derive(Debug)]
pub enum Config {
    /// A configuration that can never work: no request is sent, no agent starts.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Where to report it.
        places: Places,
    },
    /// A configuration that may work.
    Ready {
        /// Settings of the state machine.
        settings: Box<Settings>,
        /// Entra and Azure DevOps.
        remote: Remote,
        /// Paths and log level.
        places: Places,
    },
}

/// Paths and log level: what is needed even to report that the configuration is refused.
#[derive(Debug, Clone)]
pub struct Places {
    /// The handoff volume.
    pub handoff_dir: PathBuf,
    /// Mode of the token file.
    pub token_file_mode: u32,
    /// The state volume.
    pub state_dir: PathBuf,
    /// Where the termination message goes.
    pub termination_log: PathBuf,
    /// Log level.
    pub log_level: LevelFilter,
}

/// The clients of the two services, and the gateway.
#[derive(Debug)]
pub struct Remote {
    /// Entra, for the pod's identity.
    pub entra: Arc<Entra>,
    /// Azure DevOps, for the organization.
    pub azure_devops: Arc<AzureDevOps>,
    /// What the gateway needs; only with the handoff `gateway`.
    pub(crate) gateway: Option<Box<gateway::Pod>>,
}

impl Config {
    /// Reads the environment through `lookup`; every missing or wrong name is reported at once.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut env = EnvReader::new(&lookup);
        let version = env.optional(contract::CONTRACT_VARIABLE);
        if version.as_deref() != Some(contract::VERSION.to_string().as_str()) {
            // Nothing else is trusted: a variable of another version may mean something else.
            return Self::Refused {
                refusal: contract_unknown(version.as_deref()),
                places: Places::read(&mut env),
            };
        }
        let ready = ready(&mut env);
        let places = Places::read(&mut env);
        match (ready, env.refusal()) {
            (Some((settings, remote)), None) => Self::Ready {
                settings: Box::new(settings),
                remote,
                places,
            },
            (_, Some(refusal)) => Self::Refused { refusal, places },
            (None, None) => Self::Refused {
                // `ready` has reported why.
                refusal: Refusal {
                    reason: RefusalReason::BadConfiguration,
                    sentence: "the environment is incomplete".to_owned(),
                },
                places,
            },
        }
    }

    /// Paths and log level.
    pub fn places(&self) -> &Places {
        match self {
            Self::Refused { places, .. } | Self::Ready { places, .. } => places,
        }
    }
}

/// Reads everything, so that all problems are reported at once; `None` if there is one.
fn ready(env: &mut EnvReader<'_>) -> Option<(Settings, Remote)> {
    let handoff = handoff(env);
    let marker = env.required(contract::OWNER_VARIABLE);
    let marker = Marker::parse(&marker)
        .map_err(|_| {
            env.wrong(
                contract::OWNER_VARIABLE,
                &marker,
                "expected ado-agent/v1/CLUSTER/NAMESPACE/POD/UID",
            );
        })
        .ok();
    let pod = env.required(contract::POD_NAME_VARIABLE);
    let grace = env.required(contract::GRACE_SECONDS_VARIABLE);
    let grace = grace
        .parse()
        .map_err(|_| env.wrong(contract::GRACE_SECONDS_VARIABLE, &grace, "expected a number of seconds"))
        .ok();
    let url = organization_url(env);
    let identity = identity::identity(env);
    let trust = Trust::new(
        env.optional(contract::CA_PEM_VARIABLE),
        env.optional(contract::CA_FILE_VARIABLE).map(PathBuf::from),
    );
    let trust = trust
        .map_err(|error| env.refuse(format!("{}: {error}", contract::CA_PEM_VARIABLE)))
        .ok();
    let proxies = env.proxies();
    let agent_name = env.setting(&AGENT_NAME).unwrap_or(pod);
    let pool = env.setting(&POOL).unwrap_or_else(|| contract::DEFAULT_POOL.to_owned());
    let tenant = env.tenant();
    let http = Arc::new(Http::new(trust?, proxies?, USER_AGENT));
    let (url, identity) = (url?, identity?);
    let bad_url = |error: UnusableHost| Refusal {
        reason: RefusalReason::BadUrl,
        sentence: format!("organization URL {error}"),
    };
    let azure_devops = env.accept(AzureDevOps::new(&url, Arc::clone(&http)).map_err(bad_url))?;
    let azure_devops = Arc::new(azure_devops);
    let (handoff, port) = handoff?;
    let gateway = match port {
        None => None,
        Some(port) => Some(Box::new(gateway::Pod {
            port,
            pool: pool.clone(),
            forwarder: env.accept(Forwarder::new(&url, Arc::clone(&http)).map_err(bad_url))?,
            azure_devops: Arc::clone(&azure_devops),
        })),
    };
    let settings = Settings {
        agent_name,
        marker: marker?,
        pool,
        url: url.to_string(),
        client_id: identity.client_id.clone(),
        tenant,
        grace: Duration::from_secs(grace?),
        placeholder: env.optional(contract::PLACEHOLDER_VARIABLE).is_some(),
        handoff,
    };
    let remote = Remote {
        entra: Arc::new(Entra::new(identity, http)),
        azure_devops,
        gateway,
    };
    Some((settings, remote))
}

/// The handoff, and the gateway's port where there is one.
fn handoff(env: &mut EnvReader<'_>) -> Option<(Handoff, Option<u16>)> {
    let name = contract::HANDOFF_VARIABLE;
    let value = env.required(name);
    match contract::Handoff::parse(&value) {
        Some(contract::Handoff::TokenFile) => Some((Handoff::TokenFile, None)),
        Some(contract::Handoff::Gateway) => {
            let jobs = match env.optional(contract::ONCE_VARIABLE).as_deref() {
                None => Jobs::Many,
                Some("true") => Jobs::One,
                Some(other) => {
                    env.wrong(contract::ONCE_VARIABLE, other, "expected `true`, or nothing");
                    return None;
                }
            };
            let port = env.required(contract::GATEWAY_PORT_VARIABLE);
            match port.parse() {
                Ok(port) if port > 0 => Some((Handoff::Gateway(jobs), Some(port))),
                Ok(_) | Err(_) => {
                    env.wrong(contract::GATEWAY_PORT_VARIABLE, &port, "expected a port");
                    None
                }
            }
        }
        None => {
            env.wrong(name, &value, "this sidecar knows `token-file` and `gateway`");
            None
        }
    }
}

fn organization_url(env: &mut EnvReader<'_>) -> Option<OrganizationUrl> {
    let hosts = env.hosts(contract::ALLOWED_HOSTS_VARIABLE, contract::DEFAULT_ALLOWED_HOSTS);
    let Some(url) = env.setting(&URL) else {
        env.refuse(
            "no organization URL: neither an annotation, nor AZP_URL of the agent container or its envFrom sources, \
             nor the operator's default names one"
                .to_owned(),
        );
        return None;
    };
    let hosts: HostList = hosts?;
    env.accept(OrganizationUrl::parse(&url, &hosts).map_err(|error| Refusal {
        reason: error.reason(),
        sentence: format!("organization URL {error}"),
    }))
}

impl Places {
    fn read(env: &mut EnvReader<'_>) -> Self {
        let mode = env
            .optional(contract::TOKEN_FILE_MODE_VARIABLE)
            .unwrap_or_else(|| "0644".to_owned());
        let token_file_mode = u32::from_str_radix(&mode, 8).ok().filter(|mode| *mode <= 0o777);
        if token_file_mode.is_none() {
            env.wrong(
                contract::TOKEN_FILE_MODE_VARIABLE,
                &mode,
                "expected a mode in octal, such as 0640",
            );
        }
        let level = env
            .optional(contract::LOG_LEVEL_VARIABLE)
            .unwrap_or_else(|| "info".to_owned());
        let log_level = level.parse().ok();
        if log_level.is_none() {
            env.wrong(
                contract::LOG_LEVEL_VARIABLE,
                &level,
                "expected error, warn, info, debug or trace",
            );
        }
        Self {
            handoff_dir: env.path(contract::HANDOFF_DIR_VARIABLE, contract::HANDOFF_DIR),
            token_file_mode: token_file_mode.unwrap_or(0o644),
            state_dir: state_dir(|name| env.optional(name)),
            termination_log: env.path(contract::TERMINATION_LOG_VARIABLE, contract::TERMINATION_LOG),
            log_level: log_level.unwrap_or(LevelFilter::INFO),
        }
    }
}

/// The state volume: all that `probe` and `pre-stop` need of the environment.
pub fn state_dir(mut lookup: impl FnMut(&str) -> Option<String>) -> PathBuf {
    lookup(contract::STATE_DIR_VARIABLE)
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(contract::STATE_DIR), PathBuf::from)
}

fn contract_unknown(version: Option<&str>) -> Refusal {
    let own = contract::VERSION;
    let name = contract::CONTRACT_VARIABLE;
    let sentence = match version {
        None => format!("{name} is not set: this program is meant to be started in a pod that the webhook patched"),
        Some(version) => format!(
            "this sidecar knows contract version {own}, but the webhook wrote version {version} ({name}); let the sidecar's \
             image be of the webhook's release (operator's setting or annotation {})",
            contract::SIDECAR_IMAGE_ANNOTATION
        ),
    };
    Refusal {
        reason: RefusalReason::ContractUnknown,
        sentence,
    }
}

#[cfg(test)]
mod tests;
