//! Every setting: its name, its default and what it means, in one table. Help texts, `docs/reference.md` and the defaults are made
//! of it.

use contract::{
    DEFAULT_ALLOWED_AUTHORITIES, DEFAULT_ALLOWED_HOSTS, DEFAULT_AUDIENCE, DEFAULT_AUTHORITY, DEFAULT_SCOPE,
};

/// Prefix of the variables of the webhook.
pub const VARIABLE_PREFIX: &str = "ADO_AGENT_WEBHOOK_";

/// A setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The flag without its dashes.
    pub name: &'static str,
    /// What stands for its value in help texts, such as `URL`; `BOOL` is a switch, which may stand without a value.
    pub value: &'static str,
    /// What counts where it is absent.
    pub default: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
}

/// The variable that stands for a setting, in the webhook's environment and in its ConfigMap.
pub fn variable(name: &str) -> String {
    let name = name.replace('-', "_").to_ascii_uppercase();
    format!("{}{name}", VARIABLE_PREFIX)
}

const fn setting(name: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Setting {
    let default = Some(default);
    Setting {
        name,
        value,
        default,
        help,
    }
}

const fn optional(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    let default = None;
    Setting {
        name,
        value,
        default,
        help,
    }
}

/// The operator's settings, in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    optional("sidecar-image", "IMAGE", "Image of the sidecar. Required"),
    optional(
        "handoff",
        "HANDOFF",
        "How agent containers get what they need where the pod does not say: token-file or gateway. Default: token-file where it is allowed",
    ),
    setting(
        "allowed-handoffs",
        "HANDOFFS",
        "token-file,gateway",
        "What a pod may choose for it, separated by commas; gateway alone requires it",
    ),
    setting(
        "sidecar-cpu",
        "QUANTITY",
        "100m",
        "CPU request and limit of the sidecar, a Kubernetes quantity",
    ),
    setting(
        "sidecar-memory",
        "QUANTITY",
        "32Mi",
        "Memory request and limit of the sidecar, a Kubernetes quantity",
    ),
    optional(
        "sidecar-ephemeral-storage",
        "QUANTITY",
        "Request and limit of the sidecar for ephemeral storage, a Kubernetes quantity. Default: none",
    ),
    setting(
        "sidecar-log-level",
        "LEVEL",
        "info",
        "Log level of the sidecar: error, warn, info, debug or trace",
    ),
    setting(
        "sidecar-run-as-user",
        "UID",
        "65532",
        "User ID of the sidecar, or none to leave it to the platform (OpenShift)",
    ),
    setting(
        "allowed-sidecar-images",
        "PATTERNS",
        "*",
        "Images that a pod may name for its sidecar besides --sidecar-image, separated by commas: references, beginnings up to a /, : or @ followed by *, * for any, or none",
    ),
    optional(
        "max-sidecar-cpu",
        "QUANTITY",
        "The most CPU that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit",
    ),
    optional(
        "max-sidecar-memory",
        "QUANTITY",
        "The most memory that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit",
    ),
    optional(
        "max-sidecar-ephemeral-storage",
        "QUANTITY",
        "The most ephemeral storage that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit",
    ),
    setting(
        "allow-sidecar-run-as-user",
        "BOOL",
        "true",
        "Whether a pod may choose the user ID of its sidecar: true or false",
    ),
    setting(
        "grace-period",
        "SECONDS",
        "3600",
        "Termination grace period in seconds of pods that have none of their own, or the API's 30",
    ),
    optional("url", "URL", "Organization URL where the pod names none"),
    optional("pool", "NAME", "Agent pool where the pod names none"),
    optional(
        "client-id",
        "GUID",
        "Client ID (a GUID) where neither the pod nor its ServiceAccount names one",
    ),
    optional(
        "tenant-id",
        "TENANT",
        "Entra tenant where neither the pod nor its ServiceAccount names one",
    ),
    optional(
        "cluster-id",
        "ID",
        "Names the cluster in ownership markers. Default: the UID of the kube-system namespace, read at start",
    ),
    setting("authority", "URL", DEFAULT_AUTHORITY, "Entra's authority, an https URL"),
    setting(
        "audience",
        "AUDIENCE",
        DEFAULT_AUDIENCE,
        "Audience of the projected service-account token",
    ),
    setting("scope", "SCOPE", DEFAULT_SCOPE, "Scope of the access token"),
    setting(
        "allowed-hosts",
        "HOSTS",
        DEFAULT_ALLOWED_HOSTS,
        "Hosts that may get the Azure DevOps token, separated by commas; *.example.com is exactly one label",
    ),
    setting(
        "allowed-authorities",
        "HOSTS",
        DEFAULT_ALLOWED_AUTHORITIES,
        "Hosts that may get the service-account token, separated by commas",
    ),
    setting(
        "allow-ca-config-map",
        "BOOL",
        "false",
        "Whether a pod may name a ConfigMap with CA certificates: true or false",
    ),
    optional(
        "federated-token",
        "CHOICE",
        "What happens to the federated token of the Azure Workload Identity webhook in the agent container where the pod does not say: hide or keep. Default: such a pod is denied",
    ),
    setting(
        "allow-federated-token",
        "CHOICES",
        "hide,keep",
        "What a pod may choose for it, separated by commas",
    ),
    optional(
        "https-proxy",
        "URL",
        "Proxy of the sidecar, as in HTTPS_PROXY, where the agent container names none",
    ),
    optional(
        "no-proxy",
        "LIST",
        "Hosts that the sidecar reaches without a proxy, as in NO_PROXY, where the agent container names none",
    ),
];
