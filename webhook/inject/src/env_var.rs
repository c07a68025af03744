//! Entries of a container's `env`, as they are written.

use crate::json::Object;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// An entry that the webhook adds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum EnvVar<'a> {
    /// A fixed value, as Kubernetes reads it: `$(NAME)` is a reference.
    Value { name: Cow<'a, str>, value: Cow<'a, str> },
    /// A value that the kubelet finds.
    Reference {
        name: Cow<'a, str>,
        value_from: EnvVarSource<'a>,
    },
    /// An entry of the user's under another name, with whatever fields it has.
    Copy(Object),
}

/// Where the kubelet finds a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum EnvVarSource<'a> {
    #[serde(rename = "fieldRef", rename_all = "camelCase")]
    Field { field_path: &'static str },
    #[serde(rename = "configMapKeyRef")]
    ConfigMap(KeySelector<'a>),
    #[serde(rename = "secretKeyRef")]
    Secret(KeySelector<'a>),
}

/// A key of a ConfigMap or a Secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KeySelector<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
    pub(crate) optional: bool,
}

impl EnvVar<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Value { name, .. } | Self::Reference { name, .. } => name,
            Self::Copy(entry) => entry.get("name").and_then(Value::as_str).unwrap_or_default(),
        }
    }

    /// At least as many bytes as its JSON form and a comma have, known without writing them; nothing for a copy.
    pub(crate) fn json_bytes_bound(&self) -> usize {
        /// The longest of the forms around the texts.
        const AROUND: &str = r#"{"name":"","valueFrom":{"configMapKeyRef":{"name":"","key":"","optional":false}}},"#;
        /// JSON writes a control character as `\u0000`.
        const LONGEST_ESCAPE: usize = 6;
        let texts: [&str; 3] = match self {
            Self::Value { name, value } => [name, value, ""],
            Self::Reference { name, value_from } => match value_from {
                EnvVarSource::Field { field_path } => [name, field_path, ""],
                EnvVarSource::ConfigMap(selector) | EnvVarSource::Secret(selector) => {
                    [name, selector.name, selector.key]
                }
            },
            Self::Copy(_) => return 0,
        };
        AROUND.len() + LONGEST_ESCAPE * texts.map(str::len).iter().sum::<usize>()
    }
}

/// A variable with exactly this value.
pub(crate) fn literal<'a>(name: &'a str, value: impl Into<Cow<'a, str>>) -> EnvVar<'a> {
    EnvVar::Value {
        name: name.into(),
        value: escape(value),
    }
}

/// A variable from the downward API.
pub(crate) fn field<'a>(name: &'a str, path: &'static str) -> EnvVar<'a> {
    EnvVar::Reference {
        name: name.into(),
        value_from: EnvVarSource::Field { field_path: path },
    }
}

/// Writes a text so that Kubernetes reads it back unchanged: `$` is doubled.
pub(crate) fn escape<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if text.contains('$') {
        text.replace('$', "$$").into()
    } else {
        text
    }
}
