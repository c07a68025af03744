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

use inject::{Problem, Settings, variable};

use crate::server::Limits;
use values::Values;
pub use values::check_bundle;

/// The configuration as it is meant.
#[derive(Debug, Clone)]
pub struct Config {
    /// What decisions depend on.
    pub settings: Settings,
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

impl LogFormat {
    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--help` or `--version` was asked for, or a flag is unknown; the text is for the terminal.
    #[error("{0}")]
    Usage(clap::Error),
    /// Values are wrong or missing.
    #[error("{0}")]
    Values(Problems),
}

/// What is wrong with the values.
#[derive(Debug)]
pub struct Problems {
    /// Each of them.
    pub list: Vec<Problem>,
    /// The format in which to report them: the one that was asked for, if that is not wrong itself.
    pub log_format: LogFormat,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong:")?;
        self.list.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// One row of the reference: flag, variable, default and meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The flag, with its dashes.
    pub flag: String,
    /// The variable.
    pub variable: String,
    /// What stands for its value in help texts, such as `URL`.
    pub value: &'static str,
    /// The default, empty where there is none.
    pub default: String,
    /// What it means.
    pub help: String,
}

/// Every setting, for the reference.
pub fn reference() -> Vec<Row> {
    args::settings()
        .map(|setting| Row {
            flag: format!("--{}", setting.name),
            variable: variable(setting.name),
            value: setting.value,
            default: setting.default.unwrap_or_default().to_owned(),
            help: setting.help.to_owned(),
        })
        .collect()
}

impl Config {
    /// Reads flags (`argv` starts with the program's name) and variables.
    ///
    /// # Errors
    /// Every wrong or missing value at once, or clap's message for an unknown flag, `--help` and `--version`.
    pub fn read(
        argv: impl IntoIterator<Item = String>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut argv = argv.into_iter();
        // A variable becomes a flag before the ones that were typed, so that the typed one wins.
        let mut words = vec![argv.next().unwrap_or_default()];
        for setting in args::settings() {
            if let Some(value) = lookup(&variable(setting.name)).filter(|value| !value.trim().is_empty()) {
                words.push(format!("--{}={value}", setting.name));
            }
        }
        words.extend(argv);
        let flags = args::command().try_get_matches_from(words).map_err(Error::Usage)?;
        let lookup = |name: &str| flags.get_one::<String>(name).cloned();
        let mut values = Values::new(lookup);
        let config = values.config();
        match (config, values.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, list) => {
                let log_format = lookup("log-format").as_deref().and_then(LogFormat::parse);
                Err(Error::Values(Problems {
                    list,
                    log_format: log_format.unwrap_or(LogFormat::Text),
                }))
            }
        }
    }
}
