//! What the operator decided for all pods, and what is true of the cluster.

mod problem;
mod read;
mod table;

pub use problem::Problem;
pub use table::{SETTINGS, Setting, VARIABLE_PREFIX, variable};

use crate::forms::digits;
use contract::{Handoff, HostList, OrganizationUrl};
use std::fmt;

/// What a decision depends on besides the pod and its ServiceAccount.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the operator decided.
    pub settings: &'a Settings,
    /// What is true of the cluster.
    pub cluster: &'a ClusterFacts,
}

/// What is true of the cluster, whatever the operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Identifies the cluster in ownership markers: [`Settings::cluster_id`], else the UID of namespace `kube-system`.
    pub id: String,
    /// Whether the API server keeps `restartPolicy` on init containers (Kubernetes 1.29 and later).
    pub native_sidecars: bool,
}

/// The operator's settings, which [`Settings::read`] has validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How agent containers get what they need, where the pod does not say.
    pub handoff: Handoff,
    /// What a pod may choose for it.
    pub allowed_handoffs: Vec<Handoff>,
    /// Image of the sidecar.
    pub sidecar_image: String,
    /// CPU request and limit of the sidecar.
    pub sidecar_cpu: String,
    /// Memory request and limit of the sidecar.
    pub sidecar_memory: String,
    /// Request and limit of the sidecar for ephemeral storage; `None` sets none.
    pub sidecar_ephemeral_storage: Option<String>,
    /// Log level of the sidecar.
    pub sidecar_log_level: LogLevel,
    /// The user that the sidecar runs as.
    pub sidecar_run_as_user: RunAsUser,
    /// Images of the sidecar that a pod may name besides [`Self::sidecar_image`]: references, or beginnings that end in `*`.
    pub allowed_sidecar_images: Vec<String>,
    /// The most CPU that a pod may ask for its sidecar, a quantity; `None` is no limit.
    pub max_sidecar_cpu: Option<String>,
    /// The most memory that a pod may ask for its sidecar, a quantity; `None` is no limit.
    pub max_sidecar_memory: Option<String>,
    /// The most ephemeral storage that a pod may ask for its sidecar, a quantity; `None` is no limit.
    pub max_sidecar_ephemeral_storage: Option<String>,
    /// Whether a pod may choose the sidecar's user.
    pub allow_sidecar_run_as_user: bool,
    /// Grace period in seconds for pods that have none of their own, or the API's default of 30.
    pub grace_seconds: i64,
    /// Identifies the cluster in ownership markers instead of the UID of namespace `kube-system`.
    pub cluster_id: Option<String>,
    /// Organization URL where the pod names none.
    pub url: Option<OrganizationUrl>,
    /// Pool where the pod names none.
    pub pool: Option<String>,
    /// Client ID where neither pod nor ServiceAccount name one.
    pub client_id: Option<String>,
    /// Tenant where neither pod nor ServiceAccount name one.
    pub tenant_id: Option<String>,
    /// Entra's authority, an `https` URL.
    pub authority: String,
    /// Audience of the projected service-account token.
    pub audience: String,
    /// Scope of the access token.
    pub scope: String,
    /// Hosts that may get the Azure DevOps token.
    pub allowed_hosts: HostList,
    /// Hosts that may get the service-account token.
    pub allowed_authorities: HostList,
    /// Private CA bundle, PEM, that every sidecar gets in its environment. It is not a setting to read: whoever reads the settings
    /// reads the file, and sets this.
    pub ca_pem: Option<String>,
    /// Whether a pod may name a ConfigMap with a CA bundle.
    pub allow_ca_config_map: bool,
    /// What happens to azwi's federated token in the agent container where the pod does not say.
    pub federated_token: Option<FederatedToken>,
    /// What a pod may choose for it.
    pub allowed_federated_token: Vec<FederatedToken>,
    /// Proxy of the sidecar where the agent container names none.
    pub https_proxy: Option<String>,
    /// Hosts that the sidecar reaches without it, where the agent container names none.
    pub no_proxy: Option<String>,
}

/// The user that the sidecar runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAsUser {
    /// The platform chooses (OpenShift assigns one).
    Platform,
    /// This user and group.
    Id(i64),
}

/// Log level of the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what ends a registration.
    Error,
    /// And what needs attention.
    Warn,
    /// And every change of state.
    Info,
    /// And every request.
    Debug,
    /// And everything else.
    Trace,
}

/// What happens to azwi's federated token in the agent container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FederatedToken {
    /// The agent container is put on azwi's `skip-containers`: jobs cannot act as the pool's identity.
    Hide,
    /// The agent container keeps it, for scripts that do their own exchange and jobs that use `az login`.
    Keep,
}

impl RunAsUser {
    /// The ID, if it is not left to the platform.
    pub fn id(self) -> Option<i64> {
        match self {
            Self::Platform => None,
            Self::Id(id) => Some(id),
        }
    }

    /// Reads `none`, or an ID as Kubernetes takes it, except root's.
    pub fn parse(value: &str) -> Option<Self> {
        if value == "none" {
            return Some(Self::Platform);
        }
        let id = digits(value).filter(|id| (1..=i64::from(i32::MAX)).contains(id));
        id.map(Self::Id)
    }
}

impl fmt::Display for RunAsUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("none"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl LogLevel {
    /// Every level, the quietest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word in settings, annotations and variables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl FederatedToken {
    /// Both choices.
    pub const ALL: [Self; 2] = [Self::Hide, Self::Keep];

    /// The word in settings and annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hide => "hide",
            Self::Keep => "keep",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }
}
