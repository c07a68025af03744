//! What a pod's status says about its sidecar.

use contract::SIDECAR_CONTAINER;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use observe::Container;

/// A pod as `observe` looks at it.
pub fn view(pod: &Pod) -> observe::Pod {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten();
    let containers = status.and_then(|status| status.init_container_statuses.as_ref());
    let sidecar = containers
        .into_iter()
        .flatten()
        .find(|container| container.name == SIDECAR_CONTAINER);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    observe::Pod {
        uid: text(&pod.metadata.uid),
        namespace: text(&pod.metadata.namespace),
        name: text(&pod.metadata.name),
        ready: ready
            .clone()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        sidecar: sidecar.map_or_else(Container::default, |sidecar| Container {
            started: sidecar.started == Some(true),
            ended: sidecar.state.as_ref().and_then(message),
            ended_before: sidecar.last_state.as_ref().and_then(message),
        }),
    }
}

fn message(state: &ContainerState) -> Option<String> {
    Some(state.terminated.as_ref()?.message.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sidecars_last_words_are_read() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "agent-0", "namespace": "agents", "uid": "u"},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "initContainerStatuses": [
                    {"name": "other", "ready": true, "restartCount": 0, "image": "i", "imageID": "",
                     "state": {"terminated": {"exitCode": 0, "message": "not ours"}}},
                    {"name": "ado-agent-sidecar", "ready": false, "started": false, "restartCount": 1, "image": "i", "imageID": "",
                     "state": {"running": {"startedAt": "2026-11-29T12:00:00Z"}},
                     "lastState": {"terminated": {"exitCode": 1, "message": "pool-missing: There is no such pool."}}},
                ],
            },
        }))
        .expect("a pod");
        let seen = view(&pod);
        assert!(!seen.ready && !seen.sidecar.started);
        assert_eq!(seen.sidecar.ended, None);
        assert_eq!(
            seen.sidecar.ended_before.as_deref(),
            Some("pool-missing: There is no such pool.")
        );
    }
}
