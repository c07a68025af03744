//! What an operator types: the flags, with their help texts and defaults.

use contract::{
    DEFAULT_ALLOWED_AUTHORITIES, DEFAULT_ALLOWED_HOSTS, DEFAULT_AUDIENCE, DEFAULT_AUTHORITY, DEFAULT_SCOPE,
};

/// The configuration as it is typed.
#[derive(clap::Parser)]
#[command(
    name = "ado-agent-webhook",
    version,
    about = "Injects the ado-agent sidecar into labeled Azure Pipelines agent pods",
    after_help = "Each flag has a variable: ADO_AGENT_WEBHOOK_ and its name in upper snake case. The flag wins; an empty variable is absent.",
    args_override_self = true,
    disable_help_subcommand = true
)]
pub(super) struct Args {
    /// Image of the sidecar. Required
    #[arg(long, value_name = "IMAGE")]
    pub(super) sidecar_image: Option<String>,
    /// CPU request and limit of the sidecar, a Kubernetes quantity
    #[arg(long, value_name = "QUANTITY", default_value = "100m")]
    pub(super) sidecar_cpu: String,
    /// Memory request and limit of the sidecar, a Kubernetes quantity
    #[arg(long, value_name = "QUANTITY", default_value = "32Mi")]
    pub(super) sidecar_memory: String,
    /// Request and limit of the sidecar for ephemeral storage, a Kubernetes quantity. Default: none
    #[arg(long, value_name = "QUANTITY")]
    pub(super) sidecar_ephemeral_storage: Option<String>,
    /// Log level of the sidecar: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(super) sidecar_log_level: String,
    /// User id of the sidecar, or none to leave it to the platform (OpenShift)
    #[arg(long, value_name = "UID", default_value = "65532")]
    pub(super) sidecar_run_as_user: String,
    /// Images that a pod may name for its sidecar beside --sidecar-image, separated by commas: references, beginnings up to a /, : or @ followed by *, * for any, or none
    #[arg(long, value_name = "PATTERNS", default_value = "*")]
    pub(super) allowed_sidecar_images: String,
    /// The most CPU that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit
    #[arg(long, value_name = "QUANTITY")]
    pub(super) max_sidecar_cpu: Option<String>,
    /// The most memory that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit
    #[arg(long, value_name = "QUANTITY")]
    pub(super) max_sidecar_memory: Option<String>,
    /// The most ephemeral storage that a pod may ask for its sidecar, a Kubernetes quantity. Default: no limit
    #[arg(long, value_name = "QUANTITY")]
    pub(super) max_sidecar_ephemeral_storage: Option<String>,
    /// Whether a pod may choose the user id of its sidecar: true or false
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(super) allow_sidecar_run_as_user: String,
    /// Termination grace period in seconds of pods that have none of their own, or the API's 30
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    pub(super) grace_period: String,
    /// Organization URL where the pod names none
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// Agent pool where the pod names none
    #[arg(long, value_name = "NAME")]
    pub(super) pool: Option<String>,
    /// Client id (a GUID) where neither the pod nor its ServiceAccount names one
    #[arg(long, value_name = "GUID")]
    pub(super) client_id: Option<String>,
    /// Entra tenant where neither the pod nor its ServiceAccount names one
    #[arg(long, value_name = "TENANT")]
    pub(super) tenant_id: Option<String>,
    /// Names the cluster in ownership markers. Default: the UID of the kube-system namespace, read at start
    #[arg(long, value_name = "ID")]
    pub(super) cluster_id: Option<String>,
    /// Entra's authority, an https URL
    #[arg(long, value_name = "URL", default_value = DEFAULT_AUTHORITY)]
    pub(super) authority: String,
    /// Audience of the projected service-account token
    #[arg(long, value_name = "AUDIENCE", default_value = DEFAULT_AUDIENCE)]
    pub(super) audience: String,
    /// Scope of the access token
    #[arg(long, value_name = "SCOPE", default_value = DEFAULT_SCOPE)]
    pub(super) scope: String,
    /// Hosts that may get the Azure DevOps token, separated by commas; *.example.com is exactly one label
    #[arg(long, value_name = "HOSTS", default_value = DEFAULT_ALLOWED_HOSTS)]
    pub(super) allowed_hosts: String,
    /// Hosts that may get the service-account token, separated by commas
    #[arg(long, value_name = "HOSTS", default_value = DEFAULT_ALLOWED_AUTHORITIES)]
    pub(super) allowed_authorities: String,
    /// PEM file with private CA certificates, read at start; the sidecar trusts them, too
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<String>,
    /// Whether a pod may name a ConfigMap with CA certificates: true or false
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(super) allow_ca_config_map: String,
    /// What happens to azwi's federated token in the agent container where the pod does not say: hide or keep. Default: such a pod is denied
    #[arg(long, value_name = "CHOICE")]
    pub(super) federated_token: Option<String>,
    /// What a pod may choose for it, separated by commas
    #[arg(long, value_name = "CHOICES", default_value = "hide,keep")]
    pub(super) allow_federated_token: String,
    /// Proxy of the sidecar, as in HTTPS_PROXY, where the agent container names none
    #[arg(long, value_name = "URL")]
    pub(super) https_proxy: Option<String>,
    /// Hosts that the sidecar reaches without a proxy, as in NO_PROXY, where the agent container names none
    #[arg(long, value_name = "LIST")]
    pub(super) no_proxy: Option<String>,
    /// Folder with tls.crt and tls.key; read again every few seconds
    #[arg(long, value_name = "FOLDER", default_value = "/run/ado-agent/tls")]
    pub(super) tls_dir: String,
    /// Address of /mutate
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:10250")]
    pub(super) tls_address: String,
    /// Address of /livez, /readyz and /metrics, without TLS
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub(super) plain_address: String,
    /// Kubeconfig file, for running outside a cluster. Default: the pod's own ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<String>,
    /// Seconds between SIGTERM and the closed listener: not ready, still answering
    #[arg(long, value_name = "SECONDS", default_value = "8")]
    pub(super) drain_delay: String,
    /// Log level of the webhook: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(super) log_level: String,
    /// Log format: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: String,
}
