//! What KEDA needs in the cluster, as a manifest.

use serde_json::json;

/// The TriggerAuthentication by which KEDA's operator asks Azure DevOps with an identity of its own.
pub(crate) fn trigger_authentication(namespace: &str, name: &str, client_id: &str, operator: &str) -> String {
    // JSON strings are YAML strings, too, whatever is in them.
    let quoted = |text: &str| json!(text).to_string();
    format!(
        "# KEDA asks Azure DevOps with the token of its operator's ServiceAccount ({operator}) for this client ID.\n\
         apiVersion: keda.sh/v1alpha1\n\
         kind: TriggerAuthentication\n\
         metadata:\n  name: {}\n  namespace: {}\n\
         spec:\n  podIdentity:\n    provider: azure-workload\n    identityId: {}\n",
        quoted(name),
        quoted(namespace),
        quoted(client_id),
    )
}
