//! Pods as a user creates them, through the double and the real program.

use serde_json::json;
use tests::apiserver::webhook::Webhook;

use crate::world::{IMAGE, api, deployment_pod};

#[tokio::test]
async fn a_deployments_pod_gets_the_sidecar_and_the_second_call_changes_nothing() {
    let api = api().await;
    api.set_limit_range("team", json!({"limits": {"ephemeral-storage": "1Gi"}}));
    let webhook = Webhook::start(&api, &[IMAGE]).await.unwrap();
    let created = webhook.create_pod(&api, "team", &deployment_pod()).await.unwrap();
    assert_eq!(
        created.calls, 2,
        "the LimitRange changed our container, so the webhook is called again"
    );
    let sidecar = &created.pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], contract::SIDECAR_CONTAINER);
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["resources"]["limits"]["ephemeral-storage"], "1Gi");
    assert!(created.pod["metadata"]["annotations"][contract::STATUS_ANNOTATION].is_string());
    let name = created.pod["metadata"]["name"].as_str().unwrap();
    assert!(
        name.starts_with("agent-7d9f-") && name.len() == "agent-7d9f-".len() + 5,
        "{name}"
    );
}
