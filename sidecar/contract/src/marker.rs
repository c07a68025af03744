//! The ownership marker: how the sidecar recognizes its own agent in a pool that it shares with others.

use std::fmt;

/// Who owns a registered agent: one pod of one cluster.
///
/// The webhook sets it as the variable [`crate::OWNER_VARIABLE`] on the agent container. The Azure Pipelines agent
/// publishes its environment as *system capabilities* when it registers, so the marker can be read over REST
/// (microsoft/azure-pipelines-agent, `EnvironmentCapabilitiesProvider.cs`). A job can forge it, so it is necessary for a
/// removal but not sufficient: the lifecycle also pins the agent that it saw first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// UID of the cluster's `kube-system` namespace, or what the operator set instead.
    pub cluster: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
}

/// The value is not a marker that this version understands: the agent is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign;

const PREFIX: &str = "ado-agent/v1";

impl Marker {
    /// Reads a capability value. Anything of another version or shape is [`Foreign`], never an error.
    pub fn parse(value: &str) -> Result<Self, Foreign> {
        let parts = value
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or(Foreign)?;
        let mut parts = parts.split('/').map(str::to_owned);
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(Foreign);
        let marker = Self {
            cluster: next()?,
            namespace: next()?,
            pod: next()?,
            uid: next()?,
        };
        match parts.next() {
            None => Ok(marker),
            Some(_) => Err(Foreign),
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            namespace,
            pod,
            uid,
        } = self;
        write!(f, "{PREFIX}/{cluster}/{namespace}/{pod}/{uid}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            cluster: "c".into(),
            namespace: "n".into(),
            pod: "p-0".into(),
            uid: "u".into(),
        }
    }

    #[test]
    fn a_marker_reads_back_as_it_was_written() {
        assert_eq!(marker().to_string(), "ado-agent/v1/c/n/p-0/u");
        assert_eq!(Marker::parse(&marker().to_string()), Ok(marker()));
    }

    #[test]
    fn a_value_of_another_version_or_shape_is_foreign() {
        for value in [
            "",
            "ado-agent/v1",
            "ado-agent/v1/c/n/p",
            "ado-agent/v1/c/n/p/u/x",
            "ado-agent/v1//n/p/u",
            "ado-agent/v2/c/n/p/u",
            "ado-agent/v10/c/n/p/u",
        ] {
            assert_eq!(Marker::parse(value), Err(Foreign), "{value}");
        }
    }
}
