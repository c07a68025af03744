//! Where a setting of a pod was found.

use std::borrow::Cow;

/// Where a setting was found, as the status annotation says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An annotation of the pod.
    Annotation,
    /// The pod's ServiceAccount.
    ServiceAccount,
    /// The pod's own field.
    Pod,
    /// A variable of the agent container.
    Container,
    /// A source of the agent container's `envFrom`, if it has it when the container starts.
    EnvFrom,
    /// The webhook's settings.
    Operator,
    /// The product's own default.
    Default,
    /// The pod's name.
    PodName,
    /// The organization, which the sidecar asks for its tenant.
    Organization,
    /// The webhook of Azure Workload Identity.
    Azwi,
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::ServiceAccount => "service-account",
            Self::Pod => "pod",
            Self::Container => "container",
            Self::EnvFrom => "envFrom",
            Self::Operator => "operator",
            Self::Default => "default",
            Self::PodName => "pod-name",
            Self::Organization => "organization",
            Self::Azwi => "azwi",
        }
    }
}

impl From<Origin> for Cow<'_, str> {
    fn from(origin: Origin) -> Self {
        Cow::Borrowed(origin.as_str())
    }
}
