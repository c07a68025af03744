//! The token out: variables, sources, mounts and volumes.

use super::members::{items, items_mut, retain};
use super::{Done, LISTS};
use crate::migrate::secrets::Sources;
use crate::migrate::{Choices, Holder, recipes};
use contract::TOKEN_FILE_VARIABLES;
use serde_json::{Value, json};

/// Takes variables, sources and mounts out of a container.
pub(super) fn take_out(container: &mut Value, namespace: &str, sources: &Sources, choices: &Choices, done: &mut Done) {
    let mut files = Vec::new();
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    let Some(container) = container.as_object_mut() else {
        return;
    };
    retain(container, "env", |entry| {
        let name = entry["name"].as_str().unwrap_or_default();
        if !recipes::is_token(name, choices) {
            return true;
        }
        done.holders.extend(holder(entry, namespace));
        if TOKEN_FILE_VARIABLES.contains(&name) {
            files.extend(entry["value"].as_str().map(str::to_owned));
        } else if entry["value"].as_str().is_some_and(|value| !value.is_empty()) {
            done.notes.push(format!(
                "the token stood in the manifest itself ({name}): whoever can read the manifest or its history has it, so revoke it"
            ));
        }
        false
    });
    for source in container.get("envFrom").into_iter().flat_map(items) {
        done.holders.extend(sources.tokens_of(source, namespace, choices));
    }
    let held = |source: &Value| done.holders.iter().any(|holder| is_source(source, namespace, holder));
    let mut optional = Vec::new();
    retain(container, "envFrom", |source| {
        match sources.keys_of(source, namespace) {
            Some(keys) => {
                let prefix = source["prefix"].as_str().unwrap_or_default();
                let is_token = |key: &String| {
                    recipes::is_token(&format!("{prefix}{key}"), choices)
                        || done
                            .holders
                            .iter()
                            .any(|holder| is_source(source, namespace, holder) && holder.key.as_ref() == Some(key))
                };
                keys.is_empty() || !keys.iter().all(is_token)
            }
            None => {
                optional.extend(held(source).then(|| source.clone()));
                true
            }
        }
    });
    for source in items_mut(container, "envFrom") {
        if optional.contains(source) {
            source["secretRef"]["optional"] = json!(true);
        } else if source.get("secretRef").is_some() && sources.keys_of(source, namespace).is_none() {
            done.holders.extend(unknown(source, namespace));
        }
    }
    let refers =
        |text: &str| text.contains("$(AZP_TOKEN)") || text.contains("$AZP_TOKEN") || text.contains("${AZP_TOKEN");
    let commands = ["command", "args"].iter().filter_map(|key| container.get(*key));
    if commands.flat_map(items).filter_map(Value::as_str).any(refers) {
        done.notes.push(format!(
            "container {name} names AZP_TOKEN in its command: with the gateway that is the ticket; with token-file read AZP_TOKEN_FILE instead"
        ));
    }
    retain(container, "volumeMounts", |mount| {
        let path = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
        let holds = |file: &String| {
            file.as_str() == path
                || file
                    .strip_prefix(path)
                    .is_some_and(|rest| !path.is_empty() && rest.starts_with('/'))
        };
        !files.iter().any(holds)
    });
}

/// Takes out volumes of Secrets that nobody mounts any more.
pub(super) fn volumes(template: &mut Value, namespace: &str, done: &mut Done) {
    let spec = &template["spec"];
    let containers = LISTS.iter().flat_map(|list| items(&spec[*list]));
    let mounted: Vec<String> = containers
        .flat_map(|container| items(&container["volumeMounts"]).chain(items(&container["volumeDevices"])))
        .filter_map(|mount| mount["name"].as_str().map(str::to_owned))
        .collect();
    let Some(spec) = template["spec"].as_object_mut() else {
        return;
    };
    retain(spec, "volumes", |volume| {
        let is_mounted = mounted.iter().any(|name| volume["name"] == name.as_str());
        let secret = &volume["secret"];
        let provider = &volume["csi"]["volumeAttributes"]["secretProviderClass"];
        if is_mounted || (secret.is_null() && provider.is_null()) {
            return true;
        }
        if let Some(name) = secret["secretName"].as_str() {
            let keys: Vec<Option<String>> = match secret["items"].as_array() {
                Some(items) => items
                    .iter()
                    .map(|item| item["key"].as_str().map(str::to_owned))
                    .collect(),
                None => vec![None],
            };
            done.holders.extend(keys.into_iter().map(|key| Holder {
                kind: "Secret",
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                key,
            }));
        }
        false
    });
}

/// What an entry of `env` takes its value from.
fn holder(entry: &Value, namespace: &str) -> Option<Holder> {
    let from = &entry["valueFrom"];
    [("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")]
        .into_iter()
        .find_map(|(kind, reference)| {
            Some(Holder {
                kind,
                namespace: namespace.to_owned(),
                name: from[reference]["name"].as_str()?.to_owned(),
                key: from[reference]["key"].as_str().map(str::to_owned),
            })
        })
}

/// A Secret whose keys nobody knows.
fn unknown(source: &Value, namespace: &str) -> Option<Holder> {
    Some(Holder {
        kind: "Secret",
        namespace: namespace.to_owned(),
        name: source["secretRef"]["name"].as_str()?.to_owned(),
        key: None,
    })
}

/// Whether an entry of `envFrom` names this holder.
fn is_source(source: &Value, namespace: &str, holder: &Holder) -> bool {
    let reference = if holder.kind == "Secret" {
        "secretRef"
    } else {
        "configMapRef"
    };
    holder.namespace == namespace && source[reference]["name"] == holder.name.as_str()
}
