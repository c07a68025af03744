//! Secrets and ConfigMaps: which keys they have, and what remains of those that held the token. Values are never looked at.

use super::{Choices, Holder, Migration, recipes};
use crate::manifest::workload::objects;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

type Name = (&'static str, String, String);

/// The keys of the Secrets and ConfigMaps of the manifests.
pub(super) struct Sources(BTreeMap<Name, BTreeSet<String>>);

/// Members of a Secret and a ConfigMap that hold its keys.
const MEMBERS: [&str; 3] = ["data", "stringData", "binaryData"];

/// Kinds that make Secrets.
const MAKERS: [&str; 3] = ["ExternalSecret", "SealedSecret", "SecretProviderClass"];

fn kind(object: &Value) -> Option<&'static str> {
    if object["apiVersion"] != "v1" {
        return None;
    }
    ["Secret", "ConfigMap"].into_iter().find(|kind| object["kind"] == *kind)
}

fn name_of(object: &Value, choices: &Choices) -> Option<Name> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&choices.namespace);
    Some((
        kind(object)?,
        namespace.to_owned(),
        object["metadata"]["name"].as_str()?.to_owned(),
    ))
}

fn keys(object: &Value) -> BTreeSet<String> {
    let members = MEMBERS.iter().filter_map(|member| object[*member].as_object());
    members.flat_map(|member| member.keys().cloned()).collect()
}

impl Sources {
    pub(super) fn of(documents: &[Value], choices: &Choices) -> Self {
        let all = documents.iter().flat_map(objects);
        Self(
            all.filter_map(|(_, object)| Some((name_of(object, choices)?, keys(object))))
                .collect(),
        )
    }

    /// The keys that an entry of `envFrom` brings; `None` where its object is not among the manifests.
    pub(super) fn keys_of(&self, source: &Value, namespace: &str) -> Option<Vec<String>> {
        let keys = self.0.get(&reference(source, namespace)?)?;
        Some(keys.iter().cloned().collect())
    }

    /// What an entry of `envFrom` brings that is a token by its name.
    pub(super) fn tokens_of(&self, source: &Value, namespace: &str, choices: &Choices) -> Vec<Holder> {
        let Some((kind, namespace, name)) = reference(source, namespace) else {
            return Vec::new();
        };
        let prefix = source["prefix"].as_str().unwrap_or_default();
        let keys = self
            .0
            .get(&(kind, namespace.clone(), name.clone()))
            .into_iter()
            .flatten();
        keys.filter(|key| recipes::is_token(&format!("{prefix}{key}"), choices))
            .map(|key| Holder {
                kind,
                namespace: namespace.clone(),
                name: name.clone(),
                key: Some(key.clone()),
            })
            .collect()
    }

    fn has(&self, holder: &Holder) -> bool {
        self.0
            .contains_key(&(holder.kind, holder.namespace.clone(), holder.name.clone()))
    }
}

fn reference(source: &Value, namespace: &str) -> Option<Name> {
    [("Secret", "secretRef"), ("ConfigMap", "configMapRef")]
        .into_iter()
        .find_map(|(kind, reference)| {
            let name = source[reference]["name"].as_str()?;
            Some((kind, namespace.to_owned(), name.to_owned()))
        })
}

/// Takes the token's keys out of the manifests' Secrets and ConfigMaps, and leaves out those that held nothing else.
pub(super) fn migrate(migration: &mut Migration, sources: &Sources, choices: &Choices) {
    let holders = migration.holders.clone();
    for holder in &holders {
        if is_still_read(migration, holder, choices) {
            migration.shared.insert((holder.namespace.clone(), holder.name.clone()));
        } else if !sources.has(holder) && holder.kind == "Secret" {
            find_makers(migration, holder);
        }
    }
    for document in &mut migration.values {
        let Some(value) = document.as_mut() else { continue };
        let mut gone = Vec::new();
        let found: Vec<(String, Name)> = objects(value)
            .into_iter()
            .filter_map(|(place, object)| Some((place, name_of(object, choices)?)))
            .collect();
        for (place, name) in found {
            if migration.shared.contains(&(name.1.clone(), name.2.clone())) {
                continue;
            }
            let Some(object) = value.pointer_mut(&place) else {
                continue;
            };
            match take_out(object, &name, &holders) {
                Rest::Nothing if name.0 == "Secret" => {
                    migration.emptied.insert((name.1, name.2));
                    gone.push(place);
                }
                Rest::Nothing | Rest::Something => {}
            }
        }
        for place in gone.iter().rev() {
            remove(document, place);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Rest {
    Nothing,
    Something,
}

fn take_out(object: &mut Value, name: &Name, holders: &BTreeSet<Holder>) -> Rest {
    let is_ours = |holder: &&Holder| (holder.kind, &holder.namespace, &holder.name) == (name.0, &name.1, &name.2);
    let of_object: Vec<&Holder> = holders.iter().filter(is_ours).collect();
    if of_object.is_empty() {
        return Rest::Something;
    }
    let before = keys(object);
    // A volume without items mounts all keys: it was the token's file alone if there is one.
    let only = (before.len() == 1).then(|| before.first().cloned()).flatten();
    let tokens: BTreeSet<String> = of_object
        .iter()
        .filter_map(|holder| holder.key.clone().or_else(|| only.clone()))
        .filter(|key| before.contains(key))
        .collect();
    for member in MEMBERS {
        if let Some(members) = object.get_mut(member).and_then(Value::as_object_mut) {
            members.retain(|key, _| !tokens.contains(key));
            if members.is_empty()
                && let Some(object) = object.as_object_mut()
            {
                object.remove(member);
            }
        }
    }
    if !before.is_empty() && tokens.len() == before.len() {
        Rest::Nothing
    } else {
        Rest::Something
    }
}

/// Removes an object: a document, or an item of a list.
fn remove(document: &mut Option<Value>, place: &str) {
    let Some((list, index)) = place.rsplit_once('/') else {
        *document = None;
        return;
    };
    let items = document
        .as_mut()
        .and_then(|value| value.pointer_mut(list))
        .and_then(Value::as_array_mut);
    if let (Some(items), Ok(index)) = (items, index.parse::<usize>())
        && index < items.len()
    {
        items.remove(index);
    }
}

/// Whether something that keeps its token, or has nothing to do with agents, still reads the key.
fn is_still_read(migration: &Migration, holder: &Holder, choices: &Choices) -> bool {
    let changed: BTreeSet<(usize, &str)> = migration
        .changed
        .iter()
        .map(|changed| (changed.document, changed.workload.object.as_str()))
        .collect();
    migration.values.iter().enumerate().any(|(position, value)| {
        let all = value.iter().flat_map(objects);
        all.into_iter().any(|(place, object)| {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&choices.namespace);
            let how = if changed.contains(&(position, place.as_str())) {
                Reading::OfTheKey
            } else {
                Reading::AtAll
            };
            let is_maker = MAKERS.iter().any(|maker| object["kind"] == *maker);
            namespace == holder.namespace && kind(object).is_none() && !is_maker && reads(object, holder, how)
        })
    })
}

/// How an object may read another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// By a reference to the key. What the webhook's pods read beyond that is not the token.
    OfTheKey,
    /// In any way.
    AtAll,
}

fn reads(value: &Value, holder: &Holder, how: Reading) -> bool {
    let names = |object: &Value| object["name"] == holder.name.as_str();
    let has_key = |object: &Value| holder.key.as_ref().is_none_or(|key| object["key"] == key.as_str());
    match value {
        Value::Array(items) => items.iter().any(|item| reads(item, holder, how)),
        Value::Object(members) => members.iter().any(|(key, member)| {
            let found = match (key.as_str(), holder.kind) {
                ("secretKeyRef", "Secret") | ("configMapKeyRef", "ConfigMap") => names(member) && has_key(member),
                ("secretTargetRef", "Secret") => {
                    let mut items = member.as_array().into_iter().flatten();
                    items.any(|item| names(item) && has_key(item))
                }
                ("secretRef", "Secret") | ("configMapRef", "ConfigMap") => how == Reading::AtAll && names(member),
                ("secretName", "Secret") => how == Reading::AtAll && *member == holder.name.as_str(),
                (_, _) => false,
            };
            found || reads(member, holder, how)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Objects that make a Secret that is not among the manifests itself: sealed, synchronized from elsewhere.
fn find_makers(migration: &mut Migration, holder: &Holder) {
    let mut found = BTreeSet::new();
    for (_, object) in migration.values.iter().flatten().flat_map(objects) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let makes = match object["kind"].as_str() {
            Some("SealedSecret") => name == holder.name,
            Some("ExternalSecret") => object["spec"]["target"]["name"].as_str().unwrap_or(name) == holder.name,
            Some("SecretProviderClass") => {
                let mut made = object["spec"]["secretObjects"].as_array().into_iter().flatten();
                made.any(|secret| secret["secretName"] == holder.name.as_str())
            }
            Some(_) | None => false,
        };
        if makes {
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            found.insert((kind, name.to_owned()));
        }
    }
    migration.makers.extend(found);
}
