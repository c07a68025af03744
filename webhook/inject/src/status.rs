//! The status annotation: what was done to a pod, for people and for later versions.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A word of ours where it was written, any text where it was read back.
type Text<'a> = Cow<'a, str>;

/// The value of the annotation `ado-agent.dev/status`, as JSON.
///
/// Fields may be added, and none changes its meaning: what a later version wrote can be read, without what this one does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    /// Contract version.
    pub version: u32,
    /// Name of the agent container.
    pub agent_container: Text<'a>,
    /// How the agent container gets what it needs to register.
    pub handoff: Text<'a>,
    /// Where each setting was found.
    pub sources: Sources<'a>,
    /// The pod's grace period in seconds.
    pub grace_seconds: i64,
    /// Whether the agent container got the hook that holds SIGTERM back from a running job (`added`), or kept one of its own
    /// (`kept`).
    pub pre_stop: Text<'a>,
    /// Probes (container, probe) that got a grace period of their own, since the pod's was raised.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub probes: Vec<Text<'a>>,
    /// What was added to the pod.
    pub added: Added<'a>,
    /// Variables that were removed from the agent container.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub removed: Vec<Text<'a>>,
    /// Variables of the agent container that got another value.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub replaced: Vec<Text<'a>>,
    /// Variables that are set to the empty string, in case `envFrom` or the image brings them.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub shadowed: Vec<Text<'a>>,
    /// What happens to the federated token of Azure Workload Identity in the agent container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federated_token: Option<Text<'a>>,
    /// Whether jobs are kept away from the sidecar, the node and other identities.
    pub isolated: bool,
    /// Why not. The first word of each reason is one of [`contract::NOT_ISOLATED`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub not_isolated: Vec<Text<'a>>,
    /// Keys under our prefix that the webhook did not know.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub unknown_keys: Vec<Text<'a>>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown_keys_omitted: usize,
    /// The warnings of the admission response, which nobody sees for pods that a controller creates.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub warnings: Vec<Text<'a>>,
}

/// Where each setting was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sources<'a> {
    /// Of the client ID.
    pub client_id: Text<'a>,
    /// Of the tenant ID.
    pub tenant_id: Text<'a>,
    /// Of the organization URL.
    pub url: Text<'a>,
    /// Of the pool.
    pub pool: Text<'a>,
    /// Of the agent's name.
    pub agent_name: Text<'a>,
    /// Of the grace period.
    pub grace_seconds: Text<'a>,
}

/// What was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added<'a> {
    /// Names of containers.
    pub containers: Vec<Text<'a>>,
    /// Names of volumes.
    pub volumes: Vec<Text<'a>>,
    /// Variables of the agent container.
    pub variables: Vec<Text<'a>>,
    /// Annotations, without this one.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub annotations: Vec<Text<'a>>,
}

impl Status<'_> {
    /// Reads the annotation's value.
    ///
    /// # Errors
    /// The value is not one that the webhook wrote.
    pub fn parse(value: &str) -> Result<Status<'static>, serde_json::Error> {
        serde_json::from_str(value)
    }

    /// The annotation's value.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and lists have a JSON form")
    }
}

/// Borrowed texts for a list of the status.
pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Text<'a>> {
    texts.into_iter().map(Cow::Borrowed).collect()
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_status_of_a_later_version_can_be_read() {
        let text = include_str!("../testdata/azwi-before-us/status.json");
        let mut value: Value = serde_json::from_str(text).expect("JSON");
        let status = Status::parse(&value.to_string()).expect("ours");
        value["later"] = json!({"what": "nobody knows"});
        value["sources"]["later"] = json!("annotation");
        assert_eq!(Status::parse(&value.to_string()).expect("a later one"), status);
        assert!(Status::parse("{}").is_err() && Status::parse("injected").is_err());
    }
}
