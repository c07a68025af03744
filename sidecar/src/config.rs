//! What the webhook wrote into the sidecar's environment, as values.
//!
//! No one types these variables, so there is no way to end with "wrong configuration": whatever is wrong becomes the
//! machine's [`Refusal`]. The process then stays up, says what is wrong where a person looks, and lets no agent start.

mod candidates;

use crate::entra::Identity;
use crate::http::{Proxies, Trust};
use crate::url::{Authority, Organization};
pub(crate) use candidates::Names;
use candidates::{AGENT_NAME, POOL, URL};
use contract::{Handoff, HostList, Marker, OrganizationUrl, RefusalReason};
use lifecycle::{Refusal, Settings};
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// Everything that the sidecar is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the machine has to know.
    pub settings: Settings,
    /// Whom to talk to, and how; `None` exactly where the settings carry a refusal.
    pub remote: Option<Remote>,
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

/// Whom to talk to, and how.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The organization's URL.
    pub url: OrganizationUrl,
    /// Where it is.
    pub organization: Organization,
    /// Who we are at Entra.
    pub identity: Identity,
    /// Which certificates to trust.
    pub trust: Trust,
    /// Which proxies to use.
    pub proxies: Proxies,
}

impl Config {
    /// Reads the environment through `lookup`; every missing or wrong name is reported at once.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut names = Names::new(&lookup);
        let version = names.optional(contract::CONTRACT_VARIABLE);
        if version.as_deref() != Some(contract::VERSION.to_string().as_str()) {
            // Nothing else is trusted: a variable of another version may mean something else.
            return Self::refused(&mut names, contract_unknown(version.as_deref()));
        }
        let handoff = names.required(contract::HANDOFF_VARIABLE);
        if !handoff.is_empty() && Handoff::parse(&handoff).is_none() {
            names.wrong(
                contract::HANDOFF_VARIABLE,
                &handoff,
                "this sidecar knows only `token-file`",
            );
        }
        let marker = names.required(contract::OWNER_VARIABLE);
        let marker = Marker::parse(&marker).unwrap_or_else(|_| {
            names.wrong(
                contract::OWNER_VARIABLE,
                &marker,
                "expected ado-agent/v1/CLUSTER/NAMESPACE/POD/UID",
            );
            nobody()
        });
        let pod = names.required(contract::POD_NAME_VARIABLE);
        let grace = names.required(contract::GRACE_SECONDS_VARIABLE);
        let grace = grace.parse().unwrap_or_else(|_| {
            names.wrong(contract::GRACE_SECONDS_VARIABLE, &grace, "expected a number of seconds");
            0
        });
        let remote = Remote::read(&mut names);
        let settings = Settings {
            agent_name: names.setting(&AGENT_NAME).unwrap_or(pod),
            marker,
            pool: names
                .setting(&POOL)
                .unwrap_or_else(|| contract::DEFAULT_POOL.to_owned()),
            url: remote
                .as_ref()
                .map_or_else(String::new, |remote| remote.url.to_string()),
            client_id: remote
                .as_ref()
                .map_or_else(String::new, |remote| remote.identity.client_id.clone()),
            tenant: names.tenant(),
            grace: Duration::from_secs(grace),
            placeholder: names.optional(contract::PLACEHOLDER_VARIABLE).is_some(),
            refusal: None,
        };
        let mut config = Self::with(&mut names, settings);
        config.settings.refusal = names.refusal();
        config.remote = remote.filter(|_| config.settings.refusal.is_none());
        config
    }

    fn refused(names: &mut Names<'_>, refusal: Refusal) -> Self {
        let settings = Settings {
            agent_name: names.optional(contract::POD_NAME_VARIABLE).unwrap_or_default(),
            marker: nobody(),
            pool: String::new(),
            url: String::new(),
            client_id: String::new(),
            tenant: None,
            grace: Duration::ZERO,
            placeholder: false,
            refusal: Some(refusal),
        };
        Self::with(names, settings)
    }

    /// The places that are needed even to say that nothing works.
    fn with(names: &mut Names<'_>, settings: Settings) -> Self {
        let handoff_dir = names.path(contract::HANDOFF_DIR_VARIABLE, contract::HANDOFF_DIR);
        let mode = names
            .optional(contract::TOKEN_FILE_MODE_VARIABLE)
            .unwrap_or_else(|| "0644".to_owned());
        let token_file_mode = u32::from_str_radix(&mode, 8).ok().filter(|mode| *mode <= 0o777);
        if token_file_mode.is_none() {
            names.wrong(
                contract::TOKEN_FILE_MODE_VARIABLE,
                &mode,
                "expected a mode in octal, as 0640",
            );
        }
        let level = names
            .optional(contract::LOG_LEVEL_VARIABLE)
            .unwrap_or_else(|| "info".to_owned());
        let log_level = level.parse().ok();
        if log_level.is_none() {
            names.wrong(
                contract::LOG_LEVEL_VARIABLE,
                &level,
                "expected error, warn, info, debug or trace",
            );
        }
        Self {
            settings,
            remote: None,
            handoff_dir,
            token_file_mode: token_file_mode.unwrap_or(0o644),
            state_dir: state_dir(|name| names.optional(name)),
            termination_log: names.path(contract::TERMINATION_LOG_VARIABLE, contract::TERMINATION_LOG),
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

impl Remote {
    fn read(names: &mut Names<'_>) -> Option<Self> {
        let hosts = names.hosts(contract::ALLOWED_HOSTS_VARIABLE, contract::DEFAULT_ALLOWED_HOSTS);
        let url = names.setting(&URL);
        let url = match (url, hosts) {
            (Some(url), Some(hosts)) => names.accept(organization_url(&url, &hosts)),
            (Some(_), None) => None,
            (None, _) => {
                names.refuse(
                    "no organization URL: neither an annotation, nor AZP_URL of the agent container or its envFrom sources, \
                     nor the operator's default names one"
                        .to_owned(),
                );
                None
            }
        };
        let authorities = names.hosts(
            contract::ALLOWED_AUTHORITIES_VARIABLE,
            contract::DEFAULT_ALLOWED_AUTHORITIES,
        );
        let authority = names
            .optional(contract::AZURE_AUTHORITY_HOST_VARIABLE)
            .unwrap_or_else(|| contract::DEFAULT_AUTHORITY.to_owned());
        let authority = authorities.and_then(|allowed| names.accept(Authority::parse(&authority, &allowed)));
        let identity = Identity::read(names, authority);
        let trust = Trust::new(
            names.optional(contract::CA_PEM_VARIABLE),
            names.optional(contract::CA_FILE_VARIABLE).map(PathBuf::from),
        );
        let trust = trust.unwrap_or_else(|problem| {
            names.refuse(format!("{}: {problem}", contract::CA_PEM_VARIABLE));
            Trust::default()
        });
        let proxies = names.proxies();
        Some(Self {
            organization: Organization::new(url.as_ref()?)?,
            url: url?,
            identity: identity?,
            trust,
            proxies: proxies?,
        })
    }
}

/// The URL, or why no token may go there.
fn organization_url(value: &str, allowed: &HostList) -> Result<OrganizationUrl, Refusal> {
    let refusal = |reason, sentence| Refusal { reason, sentence };
    let url = OrganizationUrl::parse(value, allowed)
        .map_err(|error| refusal(error.reason(), format!("organization URL {error}")))?;
    if Organization::new(&url).is_none() {
        let sentence = format!("organization URL \"{url}\": not a valid host name");
        return Err(refusal(RefusalReason::BadUrl, sentence));
    }
    Ok(url)
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

/// Owner of nothing, for a machine that will never look for an agent.
fn nobody() -> Marker {
    Marker {
        cluster: String::new(),
        namespace: String::new(),
        pod: String::new(),
        uid: String::new(),
    }
}

#[cfg(test)]
mod tests;
