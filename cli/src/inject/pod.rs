//! The pod that the API server would send to the webhook: of a template, with what a controller, the API's defaults and the
//! API server's own admission fill in before any webhook is called. Only what the webhook looks at is filled in.

use crate::manifest::workload::Workload;
use contract::API_TOKEN_DIR;
use serde_json::{Map, Value, json};

/// Beginning of the name of the volume with the Kubernetes API token (kubernetes/kubernetes
/// `plugin/pkg/admission/serviceaccount/admission.go`).
const API_TOKEN_VOLUME: &str = "kube-api-access-";

/// Whether the ServiceAccount says that its pods get the Kubernetes API token, where a pod does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automount {
    /// It does, or says nothing.
    Yes,
    /// `automountServiceAccountToken: false`.
    No,
}

/// The pod of a workload's template in a namespace.
pub fn created(workload: &Workload, template: &Value, namespace: &str, automount: Automount) -> Value {
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
    if workload.owner.is_none()
        && let Some(members) = template.as_object()
    {
        for (key, value) in members {
            pod[key.as_str()] = value.clone();
        }
    }
    if let Some(metadata) = made(&mut pod["metadata"]) {
        metadata.insert("namespace".to_owned(), json!(namespace));
        if let Some(owner) = workload.owner {
            metadata.insert("generateName".to_owned(), json!(format!("{}-", workload.name)));
            // Group and UID of the owner are not looked at.
            let owner = json!({"kind": owner, "name": workload.name, "controller": true});
            metadata.insert("ownerReferences".to_owned(), json!([owner]));
        }
    }
    fill(&mut pod["spec"], automount);
    pod
}

fn fill(spec: &mut Value, automount: Automount) {
    let Some(members) = spec.as_object_mut() else { return };
    absent(members, "restartPolicy", json!("Always"));
    absent(members, "terminationGracePeriodSeconds", json!(30));
    let older = members.get("serviceAccount").and_then(Value::as_str);
    let account = older.filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
    if members.get("serviceAccountName").and_then(Value::as_str) == Some("") {
        members.remove("serviceAccountName");
    }
    absent(members, "serviceAccountName", json!(account));
    let wants = match members.get("automountServiceAccountToken").and_then(Value::as_bool) {
        Some(wants) => wants,
        None => automount == Automount::Yes,
    };
    if wants {
        mount_api_token(members);
    }
}

/// Every container that mounts nothing at the token's place gets it.
fn mount_api_token(spec: &mut Map<String, Value>) {
    let existing = spec.get("volumes").and_then(Value::as_array).and_then(|volumes| {
        let mut names = volumes.iter().filter_map(|volume| volume["name"].as_str());
        names.find(|name| name.starts_with(API_TOKEN_VOLUME)).map(str::to_owned)
    });
    let name = existing.clone().unwrap_or_else(|| format!("{API_TOKEN_VOLUME}xxxxx"));
    let mut is_needed = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let Some(mounts) = list_in(container, "volumeMounts") else {
                continue;
            };
            if mounts.iter().any(|mount| mount["mountPath"] == API_TOKEN_DIR) {
                continue;
            }
            mounts.push(json!({"name": name, "readOnly": true, "mountPath": API_TOKEN_DIR}));
            is_needed = true;
        }
    }
    if is_needed
        && existing.is_none()
        && let Some(volumes) = list_in(spec, "volumes")
    {
        volumes.push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
    }
}

fn absent(members: &mut Map<String, Value>, key: &str, value: Value) {
    let place = members.entry(key.to_owned()).or_insert(Value::Null);
    if place.is_null() {
        *place = value;
    }
}

/// The members of an object, which is made where there is none; `None` for what is malformed, which the webhook says.
fn made(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// A list of an object, made where there is none.
fn list_in<'a>(members: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Vec<Value>> {
    absent(members, key, json!([]));
    members.get_mut(key)?.as_array_mut()
}
