//! KEDA: how it asks Azure DevOps for the length of the queue. A workload identity of its own takes the token's place
//! (kedacore/keda `pkg/scalers/azure_pipelines_scaler.go`: `personalAccessToken`, `personalAccessTokenFromEnv`, `azure-workload`).

use super::{Choices, Holder, Migration, NO_CLIENT_ID};
use crate::manifest::workload::objects;
use serde_json::{Value, json};

/// The parameter that holds the token.
const PARAMETER: &str = "personalAccessToken";
/// Its name as a trigger's metadata.
const FROM_ENV: &str = "personalAccessTokenFromEnv";
/// Lists of an authentication from which a parameter can come.
const LISTS: [&str; 4] = [
    "/spec/secretTargetRef",
    "/spec/env",
    "/spec/azureKeyVault/secrets",
    "/spec/hashiCorpVault/secrets",
];

pub(super) fn migrate(migration: &mut Migration, choices: &Choices) {
    let mut holders = Vec::new();
    let mut added = Vec::new();
    let mut changed = Vec::new();
    for value in migration.values.iter_mut().flatten() {
        let places: Vec<String> = objects(value).into_iter().map(|(place, _)| place).collect();
        for place in places {
            let Some(object) = value.pointer_mut(&place) else {
                continue;
            };
            if !object["apiVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with("keda.sh/"))
            {
                continue;
            }
            let namespace = object["metadata"]["namespace"]
                .as_str()
                .unwrap_or(&choices.namespace)
                .to_owned();
            let is_changed = match object["kind"].as_str() {
                Some("TriggerAuthentication" | "ClusterTriggerAuthentication") => {
                    authentication(object, &namespace, choices, &mut holders)
                }
                Some("ScaledJob" | "ScaledObject") => triggers(object, choices, &mut added),
                Some(_) | None => false,
            };
            if is_changed {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                changed.push((text(&object["kind"]), text(&object["metadata"]["name"])));
            }
        }
    }
    migration.holders.extend(holders);
    migration.added.extend(added);
    migration.keda.extend(changed);
}

fn pod_identity(choices: &Choices) -> Value {
    let id = choices.keda_client_id.as_deref().unwrap_or(NO_CLIENT_ID);
    json!({"provider": "azure-workload", "identityId": id})
}

fn authentication(object: &mut Value, namespace: &str, choices: &Choices, holders: &mut Vec<Holder>) -> bool {
    let mut found = false;
    for pointer in LISTS {
        let Some(list) = object.pointer_mut(pointer).and_then(Value::as_array_mut) else {
            continue;
        };
        list.retain(|item| {
            if item["parameter"] != PARAMETER {
                return true;
            }
            found = true;
            if pointer == LISTS[0]
                && let Some(name) = item["name"].as_str()
            {
                holders.push(Holder {
                    kind: "Secret",
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    key: item["key"].as_str().map(str::to_owned),
                });
            }
            false
        });
        let is_empty = list.is_empty();
        if found && is_empty {
            let block = pointer.split('/').nth(2).unwrap_or_default();
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove(block);
            }
        }
    }
    if found && object["spec"]["podIdentity"].is_null() {
        object["spec"]["podIdentity"] = pod_identity(choices);
    }
    found
}

fn triggers(object: &mut Value, choices: &Choices, added: &mut Vec<Value>) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].clone();
    let mut found = false;
    let list = object.pointer_mut("/spec/triggers").and_then(Value::as_array_mut);
    for trigger in list
        .into_iter()
        .flatten()
        .filter(|trigger| trigger["type"] == "azure-pipelines")
    {
        let Some(metadata) = trigger.get_mut("metadata").and_then(Value::as_object_mut) else {
            continue;
        };
        if metadata.remove(FROM_ENV).is_none() && metadata.remove(PARAMETER).is_none() {
            continue;
        }
        found = true;
        if !trigger["authenticationRef"].is_null() {
            continue;
        }
        trigger["authenticationRef"] = json!({"name": name});
        let mut authentication = json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "TriggerAuthentication",
            "metadata": {"name": name},
            "spec": {"podIdentity": pod_identity(choices)},
        });
        if let Some(namespace) = namespace.as_str() {
            authentication["metadata"]["namespace"] = json!(namespace);
        }
        if !added.contains(&authentication) {
            added.push(authentication);
        }
    }
    // A workload whose trigger was changed through its authentication, or not at all, is no concern of this.
    found
}
