//! What an operator types: the flags, with their help texts and defaults.

use clap::builder::ArgAction;
use clap::{Arg, Command};
use inject::{SETTINGS, Setting};

/// Settings of the server itself. Those of the decision are [`SETTINGS`].
const SERVER: [Setting; 8] = [
    Setting {
        name: "ca-file",
        value: "FILE",
        default: None,
        help: "PEM file with private CA certificates, read at start; the sidecar trusts them, too",
    },
    Setting {
        name: "tls-dir",
        value: "FOLDER",
        default: Some("/run/ado-agent/tls"),
        help: "Folder with tls.crt and tls.key; read again every few seconds",
    },
    Setting {
        name: "tls-address",
        value: "ADDRESS",
        default: Some("[::]:10250"),
        help: "Address of /mutate",
    },
    Setting {
        name: "plain-address",
        value: "ADDRESS",
        default: Some("[::]:8080"),
        help: "Address of /livez, /readyz and /metrics, without TLS",
    },
    Setting {
        name: "kubeconfig",
        value: "FILE",
        default: None,
        help: "Kubeconfig file, for running outside a cluster. Default: the pod's own ServiceAccount",
    },
    Setting {
        name: "drain-delay",
        value: "SECONDS",
        default: Some("8"),
        help: "Seconds between SIGTERM and the closed listener: not ready, still answering",
    },
    Setting {
        name: "log-level",
        value: "LEVEL",
        default: Some("info"),
        help: "Log level of the webhook: error, warn, info, debug or trace",
    },
    Setting {
        name: "log-format",
        value: "FORMAT",
        default: Some("text"),
        help: "Log format: text or json",
    },
];

/// Every setting, in the order of `--help`.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(&SERVER)
}

/// The command line.
pub(super) fn command() -> Command {
    let command = Command::new("ado-agent-webhook")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Injects the ado-agent sidecar into labeled Azure Pipelines agent pods")
        .after_help(
            "Each flag has a variable: ADO_AGENT_WEBHOOK_ and its name in upper snake case. The flag wins; an empty variable is absent.",
        )
        .args_override_self(true)
        .disable_help_subcommand(true);
    settings().fold(command, |command, setting| command.arg(flag(setting)))
}

fn flag(setting: &'static Setting) -> Arg {
    let flag = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value)
        .help(setting.help)
        .action(ArgAction::Set);
    let flag = match setting.default {
        Some(default) => flag.default_value(default),
        None => flag,
    };
    if setting.value == "BOOL" {
        flag.num_args(0..=1).default_missing_value("true").require_equals(true)
    } else {
        flag
    }
}
