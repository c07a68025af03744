//! What most tests start from: a team's namespace with an annotated account, and the pod of a plain Deployment.

use serde_json::{Value, json};
use tests::apiserver::ApiServer;

pub(crate) const IMAGE: &str = "--sidecar-image=registry.example/ado-agent-sidecar:0.1.0";
pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";

pub(crate) async fn api() -> ApiServer {
    let api = ApiServer::start().await.unwrap();
    api.set_namespace("team", &[(contract::INJECT_LABEL, "true")]);
    api.set_account("team", "agent", &[(contract::AZWI_CLIENT_ID_ANNOTATION, CLIENT_ID)]);
    api
}

pub(crate) fn deployment_pod() -> Value {
    json!({
        "metadata": {
            "generateName": "agent-7d9f-",
            "labels": {contract::INJECT_LABEL: "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "agent-7d9f", "uid": "u", "controller": true}],
        },
        "spec": {
            "serviceAccountName": "agent",
            "containers": [{"name": "agent", "image": "registry.example/agent:1", "env": [
                {"name": "AZP_URL", "value": "https://dev.azure.com/contoso"}, {"name": "AZP_POOL", "value": "linux"}]}],
        },
    })
}
