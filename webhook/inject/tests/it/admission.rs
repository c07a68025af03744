//! What others do to a pod after us: the API server's own ServiceAccount and LimitRanger plugins, and azwi.

use crate::case::{CREATE, context};
use crate::invariants::{agent_name, sidecar, status};
use contract::SkipReason;
use inject::{Decision, Inspection, ServiceAccount, Settings};
use serde_json::{Value, json};

/// Whatever they do, a second call changes nothing; and they do not undo what the patch is for.
pub(crate) fn check(patched: &Value, settings: &Settings) {
    let again = |pod: &Value| {
        let decision = inject::decide(pod, &CREATE, &ServiceAccount::Missing, context(settings));
        assert!(
            matches!(
                decision,
                Decision::Skip {
                    reason: SkipReason::AlreadyInjected,
                    ..
                }
            ),
            "{decision:?}"
        );
        let inspection = inject::inspect(pod, &CREATE, context(settings));
        assert!(matches!(inspection, Inspection::Decided(_)), "{inspection:?}");
    };
    again(patched);
    let mut pod = patched.clone();
    service_account(&mut pod);
    again(&pod);
    let mounts = sidecar(&pod)["volumeMounts"].as_array().expect("mounts");
    assert!(
        mounts.iter().all(|mount| mount["name"] != "kube-api-access-x7k2p"),
        "the sidecar got the Kubernetes API token"
    );
    limit_ranger(&mut pod);
    again(&pod);
    azwi(&mut pod);
    again(&pod);
    istio(&mut pod);
    again(&pod);
    // Still the last one, so it is told to end before the proxy.
    sidecar(&pod);
    hidden_or_bound(patched, &pod);
}

/// All containers, init containers first (kubernetes `pkg/api/v1/pod` `VisitContainers`).
fn containers(pod: &mut Value) -> Vec<&mut Value> {
    let mut all = Vec::new();
    if let Some(spec) = pod["spec"].as_object_mut() {
        for (key, list) in spec {
            if key == "initContainers" || key == "containers" {
                all.extend(list.as_array_mut().into_iter().flatten());
            }
        }
    }
    all
}

fn push(object: &mut Value, key: &str, item: Value) {
    if !object[key].is_array() {
        object[key] = json!([]);
    }
    object[key].as_array_mut().expect("just made").push(item);
}

/// kubernetes `plugin/pkg/admission/serviceaccount`: the API token goes into every container without a mount there.
fn service_account(pod: &mut Value) {
    if pod["spec"]["automountServiceAccountToken"] == false {
        return;
    }
    for container in containers(pod) {
        let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
        if !mounts.iter().any(|mount| mount["mountPath"] == contract::API_TOKEN_DIR) {
            let mount =
                json!({"name": "kube-api-access-x7k2p", "mountPath": contract::API_TOKEN_DIR, "readOnly": true});
            push(container, "volumeMounts", mount);
        }
    }
    push(
        &mut pod["spec"],
        "volumes",
        json!({"name": "kube-api-access-x7k2p", "projected": {"sources": []}}),
    );
}

/// kubernetes `plugin/pkg/admission/limitranger`: defaults for what names no resources, and an annotation.
fn limit_ranger(pod: &mut Value) {
    pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = json!("LimitRanger plugin set: cpu, memory");
    for container in containers(pod) {
        for kind in ["requests", "limits"] {
            for (resource, amount) in [("cpu", "500m"), ("memory", "512Mi")] {
                if container["resources"][kind][resource].is_null() {
                    container["resources"][kind][resource] = json!(amount);
                }
            }
        }
    }
}

/// Azure/azure-workload-identity `pkg/webhook/webhook.go`: variables and a mount in every container that is not skipped.
fn azwi(pod: &mut Value) {
    if pod["metadata"]["labels"][contract::AZWI_USE_LABEL] != "true" {
        return;
    }
    let skip = pod["metadata"]["annotations"][contract::AZWI_SKIP_CONTAINERS_ANNOTATION]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let skip: Vec<&str> = skip.split(';').map(str::trim).collect();
    for container in containers(pod) {
        if skip.contains(&container["name"].as_str().unwrap_or_default()) {
            continue;
        }
        for (name, value) in [
            ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000000"),
            ("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000001"),
            (
                "AZURE_FEDERATED_TOKEN_FILE",
                "/var/run/secrets/azure/wi/token/azure-identity-token",
            ),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
        ] {
            let env = container["env"].as_array().cloned().unwrap_or_default();
            if !env.iter().any(|entry| entry["name"] == name) {
                push(container, "env", json!({"name": name, "value": value}));
            }
        }
        push(
            container,
            "volumeMounts",
            json!({"name": "azure-workload-identity-reserved-0", "mountPath": "/var/run/secrets/azure/wi", "readOnly": true}),
        );
    }
    push(
        &mut pod["spec"],
        "volumes",
        json!({"name": "azure-workload-identity-reserved-0", "projected": {"sources": [{"serviceAccountToken": {"path": "token/azure-identity-token"}}]}}),
    );
}

/// istio/istio `pkg/kube/inject`: after us, its native sidecar puts itself first.
fn istio(pod: &mut Value) {
    let proxy = json!({"name": "istio-proxy", "image": "proxyv2", "restartPolicy": "Always"});
    if let Some(list) = pod["spec"]["initContainers"].as_array_mut() {
        list.insert(0, proxy);
    }
}

/// `hide` keeps azwi away from the agent, and our own projection keeps it away from the sidecar.
fn hidden_or_bound(before: &Value, after: &Value) {
    let status = status(before);
    let agent = agent_name(before);
    let find = |pod: &Value| {
        let list = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        list.into_iter()
            .find(|container| container["name"] == agent.as_str())
            .expect("the agent")
    };
    let is_azwis = |container: &Value| {
        let text = container.to_string();
        text.contains("azure-identity-token") || text.contains("azure-workload-identity-reserved")
    };
    if status["federatedToken"] == "hide" {
        assert!(
            !is_azwis(&find(after)),
            "azwi's token reached the agent: {}",
            find(after)
        );
    }
    if status["federatedToken"].is_string() {
        let bound = status["sources"]["clientId"] == "azwi";
        assert_eq!(is_azwis(sidecar(after)), bound, "azwi's token and the sidecar");
    }
}
