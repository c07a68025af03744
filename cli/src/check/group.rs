//! What `check` looks at, in groups.

/// A group of things to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// API server, nodes, and with --pre cert-manager.
    Cluster,
    /// The webhook: registration, order, pods, certificate.
    Webhook,
    /// The namespace, and a labeled pod as a server-side dry run.
    Pod,
    /// The cluster's issuer, as Entra sees it.
    Issuer,
    /// ServiceAccount, token request, Entra.
    Identity,
    /// Organization, pool, role.
    Organization,
    /// Federated credentials, counted.
    Credentials,
    /// KEDA's objects in the namespace.
    Keda,
}

impl Group {
    /// Every group, in the order in which they are looked at.
    pub const ALL: [Self; 8] = [
        Self::Cluster,
        Self::Webhook,
        Self::Pod,
        Self::Issuer,
        Self::Identity,
        Self::Organization,
        Self::Credentials,
        Self::Keda,
    ];

    /// The word on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Webhook => "webhook",
            Self::Pod => "pod",
            Self::Issuer => "issuer",
            Self::Identity => "identity",
            Self::Organization => "organization",
            Self::Credentials => "credentials",
            Self::Keda => "keda",
        }
    }

    /// Whether it needs to know as whom and where agents would register.
    pub(crate) fn needs_intent(self) -> bool {
        match self {
            Self::Cluster | Self::Webhook | Self::Keda => false,
            Self::Pod | Self::Issuer | Self::Identity | Self::Organization | Self::Credentials => true,
        }
    }

    /// Whether it needs a token of the ServiceAccount.
    pub(crate) fn needs_token(self) -> bool {
        self.needs_intent() && self != Self::Pod
    }
}
