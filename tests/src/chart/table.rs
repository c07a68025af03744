//! The values of the chart, but for the webhook's settings.

use serde_json::{Value, json};

/// A value of the chart.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Where it stands, with dots.
    pub path: &'static str,
    /// What it may be.
    pub form: Form,
    /// What it means.
    pub help: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A text.
    Text,
    /// A text that is not empty.
    Name,
    /// Empty or `sha256:` and 64 digits.
    Digest,
    /// One of these.
    Choice(&'static [&'static str]),
    /// true or false.
    Switch,
    /// A whole number, at least one.
    Count,
    /// A list of ports.
    Ports,
    /// An object of a kind that Kubernetes knows, by its name there.
    Object(&'static str),
    /// A list of such objects.
    Objects(&'static str),
}

impl Form {
    /// As JSON Schema. What Kubernetes knows is left to Kubernetes.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Name => json!({"type": "string", "minLength": 1}),
            Self::Digest => json!({"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}),
            Self::Choice(words) => json!({"enum": words}),
            Self::Switch => json!({"type": "boolean"}),
            Self::Count => json!({"type": "integer", "minimum": 1}),
            Self::Ports => json!({
                "type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535},
            }),
            Self::Object(_) => json!({"type": "object"}),
            Self::Objects(_) => json!({"type": "array", "items": {"type": "object"}}),
        }
    }

    /// For a person.
    pub(super) fn words(self) -> String {
        match self {
            Self::Text | Self::Name => "text".to_owned(),
            Self::Digest => "`sha256:…`".to_owned(),
            Self::Choice(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Switch => "`true`, `false`".to_owned(),
            Self::Count => "number".to_owned(),
            Self::Ports => "ports".to_owned(),
            Self::Object(kind) => kind.to_owned(),
            Self::Objects(kind) => format!("list of {kind}"),
        }
    }
}

const fn row(path: &'static str, form: Form, help: &'static str) -> Row {
    Row { path, form, help }
}

/// Every value, in the order of `values.yaml`.
pub const VALUES: &[Row] = &[
    row(
        "images.webhook.repository",
        Form::Name,
        "Registry and name of the webhook's image",
    ),
    row(
        "images.webhook.tag",
        Form::Text,
        "Its tag. Empty: the chart's `appVersion`",
    ),
    row(
        "images.webhook.digest",
        Form::Digest,
        "Its digest, which nobody can move; the tag then only tells people",
    ),
    row(
        "images.sidecar.repository",
        Form::Name,
        "Registry and name of the image that is injected",
    ),
    row(
        "images.sidecar.tag",
        Form::Text,
        "Its tag. Empty: the chart's `appVersion`",
    ),
    row("images.sidecar.digest", Form::Digest, "Its digest"),
    row(
        "images.keep.repository",
        Form::Name,
        "Registry and name of the image of `ado-agent keep`",
    ),
    row(
        "images.keep.tag",
        Form::Text,
        "Its tag. Empty: the chart's `appVersion`",
    ),
    row("images.keep.digest", Form::Digest, "Its digest"),
    row(
        "imagePullSecrets",
        Form::Objects("LocalObjectReference"),
        "For the webhook's own image. Agent pods pull the sidecar with theirs",
    ),
    row(
        "privateCa.configMap",
        Form::Text,
        "ConfigMap in the release's namespace with PEM certificates that webhook and sidecars trust, too. Empty: none",
    ),
    row("privateCa.key", Form::Name, "Its key"),
    row(
        "certificates.source",
        Form::Choice(&["cert-manager", "secret", "helm"]),
        "Who makes the webhook's serving certificate: cert-manager, which renews it; you, in a Secret that is there; or Helm, once, \
         for ten years, kept over upgrades",
    ),
    row(
        "certificates.secretName",
        Form::Name,
        "Secret with `tls.crt` and `tls.key`, in the release's namespace",
    ),
    row(
        "certificates.caBundle",
        Form::Text,
        "With source `secret`: PEM of the root that signed it, for the API server",
    ),
    row(
        "failurePolicy",
        Form::Choice(&["Fail", "Ignore"]),
        "`Ignore` lets the API server pass pods while the webhook is down, and brings a policy that denies those without sidecar",
    ),
    row(
        "forgottenLabel.deny",
        Form::Switch,
        "Denies a pod that asks for the sidecar in a namespace that has not opted in",
    ),
    row(
        "networkPolicy.apiServerOnly",
        Form::Switch,
        "Lets nobody but `apiServerPeers` reach the webhook's port: install.md says who they are",
    ),
    row(
        "networkPolicy.apiServerPeers",
        Form::Objects("NetworkPolicyPeer"),
        "Where the API server's calls come from. As they are: the konnectivity agents of AKS and GKE",
    ),
    row(
        "networkPolicy.apiServerPorts",
        Form::Ports,
        "Where the webhook reaches the API server",
    ),
    row(
        "networkPolicy.metricsPeers",
        Form::Objects("NetworkPolicyPeer"),
        "Who may read `/metrics`. Empty: nobody",
    ),
    row("replicas", Form::Count, "Pods of the webhook"),
    row(
        "topologySpread",
        Form::Choice(&["ScheduleAnyway", "DoNotSchedule"]),
        "How strictly they are spread over nodes",
    ),
    row(
        "priorityClassName",
        Form::Text,
        "Their priority class. `system-cluster-critical` brings the ResourceQuota that GKE asks for",
    ),
    row(
        "resources",
        Form::Object("ResourceRequirements"),
        "Of the webhook's container",
    ),
    row(
        "podSecurityContext",
        Form::Object("PodSecurityContext"),
        "Of the webhook's pods. On OpenShift set `runAsUser`, `runAsGroup` and `fsGroup` to null",
    ),
    row("nodeSelector", Form::Object("map of labels"), "Of the webhook's pods"),
    row("tolerations", Form::Objects("Toleration"), "Of the webhook's pods"),
    row("affinity", Form::Object("Affinity"), "Of the webhook's pods"),
    row(
        "keep.enabled",
        Form::Switch,
        "Runs `ado-agent keep`, which removes agents of pods that are gone: keep.md",
    ),
    row(
        "keep.clientId",
        Form::Text,
        "Client ID of its identity. Needed with `keep.enabled`, as the next four are",
    ),
    row("keep.tenantId", Form::Text, "Tenant of its identity"),
    row("keep.url", Form::Text, "Organization URL"),
    row("keep.pools", Form::Text, "Agent pools, separated by commas"),
    row(
        "keep.namespaces",
        Form::Text,
        "Namespaces of agents, separated by commas; bind the ClusterRole `ado-agent-keep` in each",
    ),
    row(
        "keep.neverRemove",
        Form::Text,
        "Agents that it never removes, separated by commas",
    ),
    row(
        "createNamespace",
        Form::Switch,
        "Renders the namespace with its Pod Security labels, for `helm template` and GitOps tools. `helm install` needs one that is there",
    ),
];
