//! What the API server fills in before admission sees a pod (`pkg/apis/core/v1/defaults.go`), as far as it matters here.

use serde_json::{Map, Value, json};

/// Adds what is absent.
pub(super) fn apply(pod: &mut Value) {
    let Some(spec) = pod["spec"].as_object_mut() else {
        return;
    };
    for (key, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        absent(spec, key, value);
    }
    for container in ["initContainers", "containers"]
        .iter()
        .filter_map(|list| spec.get(*list)?.as_array().map(Vec::len).map(|length| (*list, length)))
        .flat_map(|(list, length)| (0..length).map(move |index| (list, index)))
        .collect::<Vec<_>>()
    {
        if let Some(container) = spec[container.0][container.1].as_object_mut() {
            fill_container(container);
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for kind in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(kind).and_then(Value::as_object_mut) {
                absent(source, "defaultMode", json!(0o644));
            }
        }
    }
}

fn fill_container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let has_tag = image.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
    let policy = if has_tag && !image.ends_with(":latest") {
        "IfNotPresent"
    } else {
        "Always"
    };
    for (key, value) in [
        ("imagePullPolicy", json!(policy)),
        ("terminationMessagePath", json!("/dev/termination-log")),
        ("terminationMessagePolicy", json!("File")),
        ("resources", json!({})),
    ] {
        absent(container, key, value);
    }
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            for (key, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                absent(probe, key, json!(value));
            }
        }
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = variable
            .pointer_mut("/valueFrom/fieldRef")
            .and_then(Value::as_object_mut)
        {
            absent(field, "apiVersion", json!("v1"));
        }
    }
}

fn absent(object: &mut Map<String, Value>, key: &str, value: Value) {
    object.entry(key.to_owned()).or_insert(value);
}
