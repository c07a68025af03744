//! Reading the raw object: every access to JSON whose shape nobody has checked.
//!
//! `null` is read as absent, as the API server does. A wrong type is a [`Denial`] that names the place; the place is written
//! for a denial only, so callers pass it as `format_args!`.

use crate::Denial;
use contract::DenyReason;
use serde_json::{Map, Value};
use std::fmt::Display;

pub(crate) type Object = Map<String, Value>;

fn wrong(path: impl Display, expected: &str) -> Denial {
    Denial::new(
        DenyReason::MalformedPod,
        format!("the pod is malformed: {path} must be {expected}"),
    )
}

/// `value` as an object.
pub(crate) fn as_object(value: &Value, path: impl Display) -> Result<&Object, Denial> {
    value.as_object().ok_or_else(|| wrong(path, "an object"))
}

fn present<'a>(parent: &'a Object, key: &str) -> Option<&'a Value> {
    parent.get(key).filter(|value| !value.is_null())
}

/// The object at `key`, if there is one.
pub(crate) fn object<'a>(parent: &'a Object, key: &str, path: impl Display) -> Result<Option<&'a Object>, Denial> {
    present(parent, key)
        .map(|value| as_object(value, format_args!("{path}{key}")))
        .transpose()
}

/// The objects of the list at `key`; none where it is absent.
pub(crate) fn objects<'a>(parent: &'a Object, key: &str, path: impl Display) -> Result<Vec<&'a Object>, Denial> {
    let Some(value) = present(parent, key) else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .ok_or_else(|| wrong(format_args!("{path}{key}"), "a list"))?;
    list.iter()
        .enumerate()
        .map(|(index, item)| as_object(item, format_args!("{path}{key}[{index}]")))
        .collect()
}

/// The text at `key`, if there is one.
pub(crate) fn text<'a>(parent: &'a Object, key: &str, path: impl Display) -> Result<Option<&'a str>, Denial> {
    present(parent, key)
        .map(|value| {
            value
                .as_str()
                .ok_or_else(|| wrong(format_args!("{path}{key}"), "a string"))
        })
        .transpose()
}

/// The text at `key`, which must be there.
pub(crate) fn name<'a>(parent: &'a Object, key: &str, path: impl Display) -> Result<&'a str, Denial> {
    text(parent, key, &path)?.ok_or_else(|| wrong(format_args!("{path}{key}"), "a string"))
}

/// The texts of the list at `key`; none where it is absent.
pub(crate) fn texts<'a>(parent: &'a Object, key: &str, path: impl Display) -> Result<Vec<&'a str>, Denial> {
    let Some(value) = present(parent, key) else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    list.ok_or_else(|| wrong(format_args!("{path}{key}"), "a list of strings"))
}

/// The whole number at `key`, if there is one.
pub(crate) fn integer(parent: &Object, key: &str, path: impl Display) -> Result<Option<i64>, Denial> {
    present(parent, key)
        .map(|value| {
            value
                .as_i64()
                .ok_or_else(|| wrong(format_args!("{path}{key}"), "a whole number"))
        })
        .transpose()
}

/// Whether the flag at `key` is set.
pub(crate) fn flag(parent: &Object, key: &str, path: impl Display) -> Result<bool, Denial> {
    present(parent, key).map_or(Ok(false), |value| {
        value
            .as_bool()
            .ok_or_else(|| wrong(format_args!("{path}{key}"), "true or false"))
    })
}

/// The parts of a pod that a decision reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pod<'a> {
    pub(crate) metadata: Option<&'a Object>,
    pub(crate) labels: Option<&'a Object>,
    pub(crate) annotations: Option<&'a Object>,
    pub(crate) spec: &'a Object,
}

/// A container and its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Container<'a> {
    pub(crate) name: &'a str,
    pub(crate) raw: &'a Object,
}

impl<'a> Pod<'a> {
    pub(crate) fn label(&self, key: &str) -> Result<Option<&'a str>, Denial> {
        self.labels
            .map_or(Ok(None), |labels| text(labels, key, "metadata.labels."))
    }

    pub(crate) fn annotation(&self, key: &str) -> Result<Option<&'a str>, Denial> {
        self.annotations
            .map_or(Ok(None), |annotations| text(annotations, key, "metadata.annotations."))
    }

    /// Whether an object of this kind made the pod.
    pub(crate) fn has_owner(&self, kind: &str) -> Result<bool, Denial> {
        let owners = match self.metadata {
            Some(metadata) => objects(metadata, "ownerReferences", "metadata.")?,
            None => Vec::new(),
        };
        for owner in owners {
            if text(owner, "kind", "metadata.ownerReferences[].")? == Some(kind) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The containers in `spec.<list>`.
    pub(crate) fn containers(&self, list: &str) -> Result<Vec<Container<'a>>, Denial> {
        objects(self.spec, list, "spec.")?
            .into_iter()
            .enumerate()
            .map(|(index, raw)| {
                name(raw, "name", format_args!("spec.{list}[{index}].")).map(|name| Container { name, raw })
            })
            .collect()
    }

    /// The volumes' names and definitions.
    pub(crate) fn volumes(&self) -> Result<Vec<(&'a str, &'a Object)>, Denial> {
        objects(self.spec, "volumes", "spec.")?
            .into_iter()
            .enumerate()
            .map(|(index, raw)| name(raw, "name", format_args!("spec.volumes[{index}].")).map(|name| (name, raw)))
            .collect()
    }

    /// The pod's ServiceAccount; the API's default is `default`.
    pub(crate) fn service_account(&self) -> Result<&'a str, Denial> {
        for key in ["serviceAccountName", "serviceAccount"] {
            if let Some(name) = text(self.spec, key, "spec.")?.filter(|name| !name.is_empty()) {
                return Ok(name);
            }
        }
        Ok("default")
    }
}
