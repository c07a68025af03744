//! ServiceAccounts and namespaces: who the agents are, and that the webhook may see them.

use super::{Choices, Migration, NO_CLIENT_ID};
use crate::manifest::workload::objects;
use contract::{AZWI_CLIENT_ID_ANNOTATION, INJECT_LABEL};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) fn migrate(migration: &mut Migration, choices: &Choices) {
    let mut accounts: BTreeSet<(String, String)> = BTreeSet::new();
    let mut namespaces: BTreeSet<String> = BTreeSet::new();
    for changed in &migration.changed {
        accounts.insert((changed.namespace.clone(), changed.account.clone()));
        namespaces.insert(changed.namespace.clone());
    }
    for value in migration.values.iter_mut().flatten() {
        let places: Vec<String> = objects(value).into_iter().map(|(place, _)| place).collect();
        for place in places {
            let Some(object) = value.pointer_mut(&place) else {
                continue;
            };
            if object["apiVersion"] != "v1" || !object["metadata"].is_object() {
                continue;
            }
            let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
                continue;
            };
            match object["kind"].as_str() {
                Some("ServiceAccount") => {
                    let namespace = object["metadata"]["namespace"]
                        .as_str()
                        .unwrap_or(&choices.namespace)
                        .to_owned();
                    if accounts.remove(&(namespace, name)) {
                        annotate(object, choices);
                    }
                }
                Some("Namespace") => {
                    if namespaces.remove(&name) && object["metadata"]["labels"][INJECT_LABEL] != "true" {
                        set(&mut object["metadata"]["labels"], INJECT_LABEL, "true");
                    }
                }
                Some(_) | None => {}
            }
        }
    }
    // The one that was made up is written, and one that somebody else keeps is named in the plan.
    for (namespace, name) in accounts {
        let mut implied = migration
            .changed
            .iter()
            .filter(|changed| changed.account == name && changed.namespace == namespace);
        if name == super::pods::ACCOUNT {
            let is_named = implied.any(|changed| changed.workload.namespace.is_some());
            let mut object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name},
                "automountServiceAccountToken": false});
            if is_named {
                object["metadata"]["namespace"] = json!(namespace);
            }
            annotate(&mut object, choices);
            migration.added.insert(0, object);
        } else {
            migration.accounts.insert((namespace, name));
        }
    }
    migration.namespaces = namespaces;
}

fn annotate(account: &mut Value, choices: &Choices) {
    let annotations = &mut account["metadata"]["annotations"];
    let is_set = annotations[AZWI_CLIENT_ID_ANNOTATION]
        .as_str()
        .is_some_and(|id| !id.is_empty());
    if !is_set {
        let id = choices.client_id.as_deref().unwrap_or(NO_CLIENT_ID);
        set(annotations, AZWI_CLIENT_ID_ANNOTATION, id);
    }
}

fn set(members: &mut Value, key: &str, value: &str) {
    if !members.is_object() {
        *members = json!({});
    }
    members[key] = json!(value);
}
