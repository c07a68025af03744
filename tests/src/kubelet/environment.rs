//! A container's environment: `env`, `envFrom`, references and `$(VARIABLE)`, in Kubernetes' order and with its rules.

use super::objects::{Data, Objects};
use serde_json::Value;

/// Names and values, in the order in which they were defined; a later definition replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment(pub(super) Vec<(String, String)>);

impl Environment {
    pub(super) fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Builds the environment of a container of `pod`; the error is what the kubelet reports as `CreateContainerConfigError`.
pub(super) fn build(
    pod: &Value,
    container: &Value,
    image: &[(String, String)],
    objects: &Objects,
) -> Result<Environment, String> {
    let namespace = text(pod, "/metadata/namespace");
    let mut defined = Environment::default();
    for source in list(container, "envFrom") {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        let (kind, reference) = match (source.get("configMapRef"), source.get("secretRef")) {
            (Some(reference), _) => ("configmap", reference),
            (None, Some(reference)) => ("secret", reference),
            (None, None) => continue,
        };
        if let Some(data) = look_up(objects, kind, namespace, reference)? {
            for (key, value) in data {
                defined.set(&format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned());
            }
        }
    }
    for entry in list(container, "env") {
        let name = entry["name"].as_str().unwrap_or_default();
        let value = match (entry["value"].as_str(), entry.get("valueFrom")) {
            (None, Some(from)) => match referred(pod, from, namespace, objects)? {
                Some(value) => value,
                None => continue,
            },
            (value, _) => expand(value.unwrap_or_default(), &defined),
        };
        defined.set(name, value);
    }
    // The image's variables lie below: they are there when the pod does not define them, but `$(…)` does not see them.
    let mut environment = Environment::default();
    environment.set(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    );
    environment.set("HOSTNAME", text(pod, "/metadata/name").to_owned());
    for (name, value) in image.iter().chain(&defined.0) {
        environment.set(name, value.clone());
    }
    Ok(environment)
}

/// Replaces `$(NAME)` by what is defined; `$$(NAME)` is an escaped one; what is not defined stays as it is
/// (k8s.io/kubernetes `third_party/forked/golang/expansion`).
pub(super) fn expand(value: &str, defined: &Environment) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(escaped) = tail.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|tail| tail.split_once(')')) {
            match defined.get(name) {
                Some(known) => out.push_str(known),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out + rest
}

/// A value by `valueFrom`; `None`: optional and not there.
fn referred(pod: &Value, from: &Value, namespace: &str, objects: &Objects) -> Result<Option<String>, String> {
    if let Some(path) = from.pointer("/fieldRef/fieldPath").and_then(Value::as_str) {
        return field(pod, path).map(Some);
    }
    let (kind, reference) = match (from.get("configMapKeyRef"), from.get("secretKeyRef")) {
        (Some(reference), _) => ("configmap", reference),
        (None, Some(reference)) => ("secret", reference),
        (None, None) => return Err(format!("the kubelet double cannot resolve {from}")),
    };
    let key = reference["key"].as_str().unwrap_or_default();
    let Some(data) = look_up(objects, kind, namespace, reference)? else {
        return Ok(None);
    };
    match data.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if is_optional(reference) => Ok(None),
        None => Err(format!(
            "couldn't find key {key} in {kind} {namespace}/{}",
            name_of(reference)
        )),
    }
}

fn look_up(objects: &Objects, kind: &str, namespace: &str, reference: &Value) -> Result<Option<Data>, String> {
    let name = name_of(reference);
    let found = match kind {
        "configmap" => objects.config_map(namespace, name),
        _ => objects.secret(namespace, name),
    };
    match found {
        None if !is_optional(reference) => Err(format!("{kind} \"{name}\" not found")),
        found => Ok(found),
    }
}

/// A field of the pod, as the downward API names it.
pub(super) fn field(pod: &Value, path: &str) -> Result<String, String> {
    let found = match path {
        "metadata.name" => text(pod, "/metadata/name"),
        "metadata.namespace" => text(pod, "/metadata/namespace"),
        "metadata.uid" => text(pod, "/metadata/uid"),
        "spec.nodeName" => "kubelet-double",
        "spec.serviceAccountName" => text(pod, "/spec/serviceAccountName"),
        "status.podIP" | "status.hostIP" => "127.0.0.1",
        _ => {
            let key = |of: &str| path.strip_prefix(of)?.strip_prefix("['")?.strip_suffix("']");
            let map = |name: &str, key: &str| pod["metadata"][name][key].as_str().unwrap_or_default().to_owned();
            return match (key("metadata.labels"), key("metadata.annotations")) {
                (Some(key), _) => Ok(map("labels", key)),
                (None, Some(key)) => Ok(map("annotations", key)),
                (None, None) => Err(format!("the kubelet double does not know the field {path}")),
            };
        }
    };
    Ok(found.to_owned())
}

fn is_optional(reference: &Value) -> bool {
    reference["optional"].as_bool().unwrap_or(false)
}

fn name_of(reference: &Value) -> &str {
    reference["name"].as_str().unwrap_or_default()
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_emulators::clock::Clock;
    use serde_json::json;

    fn objects() -> Objects {
        let objects = Objects::new(&Clock::new(), |_| "token".to_owned());
        objects.set_config_map("n", "cm", &[("URL", "https://a"), ("POOL", "p")]);
        objects.set_secret("n", "s", &[("KEY", "v")]);
        objects
    }

    fn built(container: &Value) -> Result<Vec<(String, String)>, String> {
        let pod = json!({ "metadata": { "name": "pod", "namespace": "n", "uid": "u", "labels": { "a/b": "c" } } });
        let built = build(&pod, container, &[("IMAGE".to_owned(), "i".to_owned())], &objects())?;
        Ok(built.0.into_iter().skip(2).collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn expands_what_was_defined_before_and_keeps_the_rest() {
        let container = json!({ "env": [
            { "name": "A", "value": "1" },
            { "name": "B", "value": "$(A)-$(LATER)-$$(A)-$x-$(" },
            { "name": "LATER", "value": "2" },
            { "name": "C", "value": "$(IMAGE)" },
        ]});
        let expected = [
            ("IMAGE", "i"),
            ("A", "1"),
            ("B", "1-$(LATER)-$(A)-$x-$("),
            ("LATER", "2"),
            ("C", "$(IMAGE)"),
        ];
        assert_eq!(built(&container).unwrap(), pairs(&expected));
    }

    #[test]
    fn env_wins_over_env_from_and_both_over_the_image() {
        let container = json!({
            "envFrom": [{ "configMapRef": { "name": "cm" } }, { "prefix": "P_", "secretRef": { "name": "s" } }],
            "env": [{ "name": "URL", "value": "" }, { "name": "IMAGE", "value": "mine" }, { "name": "U", "value": "$(POOL)" }],
        });
        let expected = [
            ("IMAGE", "mine"),
            ("POOL", "p"),
            ("URL", ""),
            ("P_KEY", "v"),
            ("U", "p"),
        ];
        assert_eq!(built(&container).unwrap(), pairs(&expected));
    }

    #[test]
    fn references_are_resolved_and_missing_ones_named() {
        let reference = |kind: &str, name: &str, key: &str, optional: bool| json!({ "env": [{ "name": "X", "valueFrom": { kind: { "name": name, "key": key, "optional": optional } } }] });
        assert!(
            built(&reference("secretKeyRef", "s", "KEY", false))
                .unwrap()
                .contains(&("X".to_owned(), "v".to_owned()))
        );
        assert_eq!(built(&reference("configMapKeyRef", "cm", "NO", true)).unwrap().len(), 1);
        assert_eq!(built(&reference("configMapKeyRef", "no", "NO", true)).unwrap().len(), 1);
        let error = built(&reference("configMapKeyRef", "cm", "NO", false)).unwrap_err();
        assert_eq!(error, "couldn't find key NO in configmap n/cm");
        let error = built(&reference("secretKeyRef", "no", "K", false)).unwrap_err();
        assert_eq!(error, "secret \"no\" not found");
        let label =
            json!({ "env": [{ "name": "X", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['a/b']" } } }] });
        assert!(built(&label).unwrap().contains(&("X".to_owned(), "c".to_owned())));
    }
}
