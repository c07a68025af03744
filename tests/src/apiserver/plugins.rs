//! The API server's own mutating admission, before our webhook and again after it: ServiceAccount and LimitRanger.

use contract::API_TOKEN_DIR;
use serde_json::{Value, json};

use super::State;

impl State {
    /// Both plugins in their order; an error is the sentence of a refusal.
    pub(super) fn own_admission(&self, namespace: &str, pod: &mut Value) -> Result<(), String> {
        self.service_account(namespace, pod)?;
        self.limit_ranger(namespace, pod);
        Ok(())
    }

    /// `plugin/pkg/admission/serviceaccount`: the account must exist; every container gets the Kubernetes API token unless
    /// it mounts something at that path.
    fn service_account(&self, namespace: &str, pod: &mut Value) -> Result<(), String> {
        let name = match pod["spec"]["serviceAccountName"].as_str() {
            Some(name) if !name.is_empty() => name.to_owned(),
            Some(_) | None => "default".to_owned(),
        };
        pod["spec"]["serviceAccountName"] = json!(name);
        pod["spec"]["serviceAccount"] = json!(name);
        if !self.lock().accounts.contains_key(&(namespace.to_owned(), name.clone())) {
            return Err(format!(
                "pods is forbidden: error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            ));
        }
        if pod["spec"]["automountServiceAccountToken"] == json!(false) {
            return Ok(());
        }
        let volume = api_token_volume(pod);
        for container in containers(pod) {
            let mounts = list(container, "volumeMounts");
            if !mounts.iter().any(|mount| mount["mountPath"] == API_TOKEN_DIR) {
                mounts.push(json!({"name": volume, "readOnly": true, "mountPath": API_TOKEN_DIR}));
            }
        }
        Ok(())
    }

    /// `plugin/pkg/admission/limitranger`: defaults for every container that has none.
    fn limit_ranger(&self, namespace: &str, pod: &mut Value) {
        let Some(defaults) = self.lock().limits.get(namespace).cloned() else {
            return;
        };
        for container in containers(pod) {
            for kind in ["limits", "requests"] {
                for (resource, quantity) in defaults[kind].as_object().into_iter().flatten() {
                    let present = &mut container["resources"][kind];
                    if present.get(resource).is_none() {
                        present[resource] = quantity.clone();
                    }
                }
            }
        }
    }
}

fn api_token_volume(pod: &mut Value) -> String {
    let is_ours = |volume: &&Value| {
        volume["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("kube-api-access-"))
    };
    let volumes = list(&mut pod["spec"], "volumes");
    if let Some(name) = volumes.iter().find(is_ours).and_then(|volume| volume["name"].as_str()) {
        return name.to_owned();
    }
    let name = format!("kube-api-access-{}", super::admission::suffix());
    volumes.push(json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}}));
    name
}

fn containers(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod["spec"].as_object_mut().into_iter();
    spec.flat_map(|spec| spec.iter_mut())
        .filter(|(key, _)| ["containers", "initContainers"].contains(&key.as_str()))
        .filter_map(|(_, list)| list.as_array_mut())
        .flatten()
}

/// A list of an object, made where it is absent or null.
fn list<'a>(object: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    if !object[key].is_array() {
        object[key] = json!([]);
    }
    object[key].as_array_mut().expect("it was made an array just now")
}
