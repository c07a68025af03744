//! Flags and variables in, [`Config`] out: the only place that knows how the webhook is configured.
//!
//! A person types these, so every value is checked here and every mistake is reported at once, with key, value and the form
//! that was expected. Each flag has an environment twin, `ADO_AGENT_WEBHOOK_` and the flag's name in upper snake case; the
//! flag wins, and an empty variable counts as absent.

mod args;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use inject::Settings;

use crate::server::Limits;
use args::Args;
use values::Problems;
pub use values::check_bundle;

/// Prefix of every variable of the webhook.
pub const VARIABLE_PREFIX: &str = "ADO_AGENT_WEBHOOK_";

/// The configuration as it is meant.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the decision depends on. `cluster` and `native_sidecars` are filled in once the API server has told them.
    pub settings: Settings,
    /// The operator's name for the cluster; `None` means the UID of `kube-system`.
    pub cluster: Option<String>,
    /// Kubeconfig file; `None` means the pod's own ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// Folder with `tls.crt` and `tls.key`.
    pub tls_dir: PathBuf,
    /// Address of `/mutate`.
    pub tls_address: SocketAddr,
    /// Address of `/livez`, `/readyz` and `/metrics`.
    pub plain_address: SocketAddr,
    /// Level of our own log.
    pub log_level: tracing::Level,
    /// Format of our own log.
    pub log_format: LogFormat,
    /// Bounds in time and size.
    pub limits: Limits,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--help` or `--version` was asked for, or a flag is unknown; the text is for the terminal.
    #[error("{0}")]
    Usage(clap::Error),
    /// Values are wrong or missing; one sentence each.
    #[error("the configuration is wrong:{}", Lines(.0))]
    Values(Vec<String>),
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The variable that stands for a flag.
fn variable(flag: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Every flag, in the order of `--help`, without clap's own.
fn flags() -> Vec<clap::Arg> {
    Args::command()
        .get_arguments()
        .filter(|arg| arg.get_long().is_some())
        .cloned()
        .collect()
}

/// One row of the reference: flag, variable, default and meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The flag, with its dashes.
    pub flag: String,
    /// The variable.
    pub variable: String,
    /// The default, empty where there is none.
    pub default: String,
    /// What it means.
    pub help: String,
}

/// Every setting, for the reference.
pub fn reference() -> Vec<Row> {
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    flags()
        .iter()
        .filter_map(|arg| {
            let name = arg.get_long()?;
            Some(Row {
                flag: format!("--{name}"),
                variable: variable(name),
                default: arg.get_default_values().iter().map(|value| text(value)).collect(),
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        })
        .collect()
}

impl Config {
    /// Reads flags (`argv` starts with the program's name) and variables.
    ///
    /// # Errors
    /// Every wrong or missing value at once, or clap's word on an unknown flag, `--help` and `--version`.
    pub fn read(
        argv: impl IntoIterator<Item = String>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut argv = argv.into_iter();
        // A variable becomes a flag before the ones that were typed, so that the typed one wins.
        let mut words = vec![argv.next().unwrap_or_default()];
        for name in flags().iter().filter_map(clap::Arg::get_long) {
            if let Some(value) = lookup(&variable(name)).filter(|value| !value.trim().is_empty()) {
                words.push(format!("--{name}={value}"));
            }
        }
        words.extend(argv);
        let matches = Args::command().try_get_matches_from(words).map_err(Error::Usage)?;
        let args = Args::from_arg_matches(&matches).map_err(Error::Usage)?;
        let mut problems = Problems::default();
        let config = args.check(&mut problems);
        match (config, problems.into_sentences()) {
            (Some(config), sentences) if sentences.is_empty() => Ok(config),
            (_, sentences) => Err(Error::Values(sentences)),
        }
    }
}

impl Args {
    fn check(self, problems: &mut Problems) -> Option<Config> {
        let allowed_hosts = problems.hosts("allowed-hosts", &self.allowed_hosts);
        let allowed_authorities = problems.hosts("allowed-authorities", &self.allowed_authorities);
        let settings = self.settings(problems, allowed_hosts, allowed_authorities);
        let tls_address = problems.address("tls-address", &self.tls_address);
        let plain_address = problems.address("plain-address", &self.plain_address);
        let log_level = problems.log_level("log-level", &self.log_level);
        let log_format = match self.log_format.as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            other => problems.wrong("log-format", other, "text or json"),
        };
        let drain_delay = problems.seconds("drain-delay", &self.drain_delay, 0..=300);
        let cluster = present(self.cluster_id);
        if let Some(cluster) = &cluster
            && (cluster.len() > 128
                || !cluster
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
        {
            problems.wrong::<()>("cluster-id", cluster, "at most 128 letters, digits, '-', '_' and '.'");
        }
        Some(Config {
            settings: settings?,
            cluster,
            kubeconfig: present(self.kubeconfig).map(PathBuf::from),
            tls_dir: PathBuf::from(self.tls_dir),
            tls_address: tls_address?,
            plain_address: plain_address?,
            log_level: values::tracing_level(log_level?),
            log_format: log_format?,
            limits: Limits {
                drain_delay: Duration::from_secs(drain_delay?),
                ..Limits::default()
            },
        })
    }

    fn settings(
        &self,
        problems: &mut Problems,
        allowed_hosts: Vec<String>,
        allowed_authorities: Vec<String>,
    ) -> Option<Settings> {
        let image = match &self.sidecar_image {
            Some(image) => problems.image("sidecar-image", image),
            None => problems.missing(
                "sidecar-image",
                "the image that the injected sidecar runs, for instance registry.example/ado-agent-sidecar:0.1.0",
            ),
        };
        let cpu = problems.quantity("sidecar-cpu", &self.sidecar_cpu);
        let memory = problems.quantity("sidecar-memory", &self.sidecar_memory);
        let storage = self
            .sidecar_ephemeral_storage
            .as_deref()
            .map(|size| problems.quantity("sidecar-ephemeral-storage", size));
        let log_level = problems.log_level("sidecar-log-level", &self.sidecar_log_level);
        let run_as_user = problems.user("sidecar-run-as-user", &self.sidecar_run_as_user);
        let allowed_images = problems.image_patterns("allowed-sidecar-images", &self.allowed_sidecar_images);
        let max_cpu = self
            .max_sidecar_cpu
            .as_deref()
            .and_then(|most| problems.limit("max-sidecar-cpu", most, "sidecar-cpu", cpu.as_deref()));
        let max_memory = self
            .max_sidecar_memory
            .as_deref()
            .and_then(|most| problems.limit("max-sidecar-memory", most, "sidecar-memory", memory.as_deref()));
        let own_storage = match &storage {
            Some(size) => size.as_deref(),
            None => Some("0"),
        };
        let max_storage = self.max_sidecar_ephemeral_storage.as_deref().and_then(|most| {
            problems.limit(
                "max-sidecar-ephemeral-storage",
                most,
                "sidecar-ephemeral-storage",
                own_storage,
            )
        });
        let allow_run_as_user = problems.boolean("allow-sidecar-run-as-user", &self.allow_sidecar_run_as_user);
        let grace = problems.seconds("grace-period", &self.grace_period, 1..=31_536_000);
        let url = self
            .url
            .as_deref()
            .and_then(|url| problems.organization("url", url, &allowed_hosts));
        let client_id = self.client_id.as_deref().and_then(|id| problems.guid("client-id", id));
        let tenant_id = self
            .tenant_id
            .as_deref()
            .and_then(|id| problems.tenant("tenant-id", id));
        let authority = problems.authority("authority", &self.authority, &allowed_authorities);
        let ca_pem = self
            .ca_file
            .as_deref()
            .and_then(|path| problems.certificates("ca-file", path));
        let allow_ca_config_map = problems.boolean("allow-ca-config-map", &self.allow_ca_config_map);
        let federated_token = self
            .federated_token
            .as_deref()
            .and_then(|word| problems.federated_token("federated-token", word));
        let allowed_federated_token = self
            .allow_federated_token
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .filter_map(|word| problems.federated_token("allow-federated-token", word))
            .collect();
        let https_proxy = self
            .https_proxy
            .as_deref()
            .and_then(|url| problems.proxy("https-proxy", url));
        Some(Settings {
            sidecar_image: image?,
            sidecar_cpu: cpu?,
            sidecar_memory: memory?,
            sidecar_ephemeral_storage: match storage {
                Some(size) => Some(size?),
                None => None,
            },
            sidecar_log_level: log_level?,
            sidecar_run_as_user: run_as_user?,
            allowed_sidecar_images: allowed_images?,
            max_sidecar_cpu: max_cpu,
            max_sidecar_memory: max_memory,
            max_sidecar_ephemeral_storage: max_storage,
            allow_sidecar_run_as_user: allow_run_as_user?,
            grace_seconds: i64::try_from(grace?).ok()?,
            cluster: self.cluster_id.clone().unwrap_or_default(),
            url,
            pool: self.pool.clone().and_then(|pool| present(Some(pool))),
            client_id,
            tenant_id,
            authority: authority?,
            audience: problems.text("audience", &self.audience)?,
            scope: problems.text("scope", &self.scope)?,
            allowed_hosts,
            allowed_authorities,
            ca_pem,
            allow_ca_config_map: allow_ca_config_map?,
            federated_token,
            allowed_federated_token,
            https_proxy,
            no_proxy: self.no_proxy.clone().and_then(|list| present(Some(list))),
            native_sidecars: true,
        })
    }
}

fn present(value: Option<String>) -> Option<String> {
    value
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}
