//! Pods that carry our sidecar, as the API server shows them.

use azure_protocol::ServerTime;
use contract::{Marker, OWNER_VARIABLE, PLACEHOLDER_ANNOTATION, SIDECAR_CONTAINER, STATUS_ANNOTATION};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use std::time::Duration;
use sweep::{Life, PodAnswer};

/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pod, if it carries our status annotation and our sidecar.
pub fn agent_pod(pod: &Pod) -> Option<sweep::Pod> {
    let annotations = pod.metadata.annotations.as_ref()?;
    if !annotations.contains_key(STATUS_ANNOTATION) {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let sidecar = containers
        .into_iter()
        .find(|container| container.name == SIDECAR_CONTAINER)?;
    let owner = sidecar
        .env
        .iter()
        .flatten()
        .find(|variable| variable.name == OWNER_VARIABLE)?;
    // Pod name and UID are references in it, cluster and namespace are not.
    let marker = Marker::parse(owner.value.as_deref()?).ok()?;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Some(sweep::Pod {
        uid: pod.metadata.uid.clone()?,
        namespace: pod.metadata.namespace.clone()?,
        name: pod.metadata.name.clone()?,
        cluster: marker.cluster,
        created: ServerTime(pod.metadata.creation_timestamp.as_ref()?.0.as_second()),
        placeholder: annotations
            .get(PLACEHOLDER_ANNOTATION)
            .is_some_and(|value| value == "true"),
        life: match phase {
            Some("Succeeded" | "Failed") => Life::Ended,
            Some(_) | None => Life::Lives,
        },
    })
}

/// Asks for one pod, freshly.
pub async fn ask(client: &Client, namespace: &str, name: &str) -> PodAnswer {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(PATIENCE, pods.get(name)).await {
        Ok(Ok(pod)) => match (agent_pod(&pod), pod.metadata.uid) {
            (Some(pod), _) => PodAnswer::Present(pod),
            (None, Some(uid)) => PodAnswer::Foreign { uid },
            (None, None) => {
                PodAnswer::Unreadable(format!("the API server showed pod {namespace}/{name} without a UID"))
            }
        },
        Ok(Err(kube::Error::Api(status))) if status.code == 404 && status.reason == "NotFound" => PodAnswer::Gone,
        Ok(Err(error)) => PodAnswer::Unreadable(format!("pod {namespace}/{name} cannot be read: {error}")),
        Err(_) => PodAnswer::Unreadable(format!(
            "pod {namespace}/{name} cannot be read: the API server did not answer within 30 s"
        )),
    }
}

/// All pods of the namespaces that carry our sidecar.
///
/// # Errors
/// A namespace cannot be listed.
pub async fn list(client: &Client, namespaces: &[String]) -> anyhow::Result<Vec<sweep::Pod>> {
    let mut found = Vec::new();
    for namespace in namespaces {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let mut parameters = kube::api::ListParams::default().limit(500);
        loop {
            let page = tokio::time::timeout(PATIENCE, pods.list(&parameters)).await;
            let page = page
                .map_err(|_| anyhow::anyhow!("the API server did not answer within 30 s"))
                .and_then(|page| Ok(page?))
                .map_err(|error| error.context(format!("the pods of namespace {namespace} cannot be listed")))?;
            found.extend(page.items.iter().filter_map(agent_pod));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(change: impl FnOnce(&mut serde_json::Value)) -> Option<sweep::Pod> {
        let mut pod = json!({
            "metadata": {
                "name": "agent-0", "namespace": "agents", "uid": "u-1", "creationTimestamp": "1994-11-06T08:49:37Z",
                "annotations": {"ado-agent.dev/status": "{}"},
            },
            "spec": {
                "containers": [{"name": "agent"}],
                "initContainers": [{"name": "ado-agent-sidecar", "env": [{"name": "ADO_AGENT_OWNER",
                    "value": "ado-agent/v1/c-1/agents/$(ADO_AGENT_POD_NAME)/$(ADO_AGENT_POD_UID)"}]}],
            },
            "status": {"phase": "Running"},
        });
        change(&mut pod);
        agent_pod(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn a_pod_with_our_sidecar_is_read() {
        let found = pod(|_| {}).expect("ours");
        assert_eq!((found.uid.as_str(), found.cluster.as_str()), ("u-1", "c-1"));
        assert_eq!(
            (found.created, found.life, found.placeholder),
            (ServerTime(784_111_777), Life::Lives, false)
        );
        let ended = pod(|pod| pod["status"]["phase"] = "Failed".into()).expect("ours");
        assert_eq!(ended.life, Life::Ended);
        let placeholder = pod(|pod| pod["metadata"]["annotations"]["ado-agent.dev/placeholder"] = "true".into());
        assert!(placeholder.expect("ours").placeholder);
    }

    #[test]
    fn other_pods_are_not_ours() {
        assert_eq!(pod(|pod| pod["metadata"]["annotations"] = json!({})), None);
        assert_eq!(pod(|pod| pod["spec"]["initContainers"] = json!([])), None);
        assert_eq!(pod(|pod| pod["spec"]["initContainers"][0]["env"] = json!([])), None);
    }
}
