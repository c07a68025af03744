//! The status annotation: what was done to a pod, for people and for later versions.

use serde::Serialize;

/// The annotation's value, as JSON. Fields may be added; none changes its meaning.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status<'a> {
    /// Contract version.
    pub(crate) version: u32,
    pub(crate) agent_container: &'a str,
    pub(crate) handoff: &'static str,
    /// Where each setting was found.
    pub(crate) sources: Sources,
    pub(crate) grace_seconds: i64,
    /// Whether the agent container got the hook that holds SIGTERM back from a running job, or kept one of its own.
    pub(crate) pre_stop: &'static str,
    /// Probes (container, probe) that got a grace period of their own, since the pod's was raised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) probes: Vec<String>,
    /// What was added to the pod.
    pub(crate) added: Added<'a>,
    /// Variables that were removed from the agent container.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) removed: &'a [&'static str],
    /// Variables of the agent container that got another value.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) replaced: &'a [&'static str],
    /// Variables that are set to the empty string, in case that `envFrom` or the image brings them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) shadowed: &'a [&'static str],
    /// What happens to azwi's federated token in the agent container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) federated_token: Option<&'static str>,
    /// Whether jobs are kept away from the sidecar, the node and other identities, and why not: the first word of each reason
    /// is one of [`contract::NOT_ISOLATED`].
    pub(crate) isolated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_isolated: Vec<String>,
    /// Keys under our prefix that this version does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_keys: Vec<String>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) unknown_keys_omitted: usize,
    /// The warnings of the admission response, which nobody sees for pods that a controller makes.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) warnings: &'a [String],
}

/// Where each setting was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sources {
    pub(crate) client_id: &'static str,
    pub(crate) tenant_id: &'static str,
    pub(crate) url: &'static str,
    pub(crate) pool: &'static str,
    pub(crate) agent_name: &'static str,
    pub(crate) grace_seconds: &'static str,
}

/// What was added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Added<'a> {
    pub(crate) containers: [&'static str; 1],
    pub(crate) volumes: Vec<&'static str>,
    /// Variables of the agent container.
    pub(crate) variables: Vec<&'a str>,
    /// Annotations, without this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) annotations: Vec<&'static str>,
}

impl Status<'_> {
    /// The annotation's value.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and lists have a JSON form")
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
