//! Whether the API server would store a patched pod: the rules of its validation that a patch of ours could break, and Pod
//! Security's `restricted` for our container.

use std::collections::BTreeSet;

use contract::SIDECAR_CONTAINER;
use serde_json::{Value, json};

/// Every rule that the pod breaks, one sentence each.
pub(super) fn problems(pod: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let spec = &pod["spec"];
    let containers: Vec<(&str, &Value)> = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| items(&spec[list]).map(move |container| (list, container)))
        .collect();
    if items(&spec["containers"]).next().is_none() {
        problems.push("spec.containers: Required value".to_owned());
    }
    let names = containers.iter().map(|(_, container)| text(container, "name"));
    unique("container", names, &mut problems);
    let volumes: Vec<&str> = items(&spec["volumes"]).map(|volume| text(volume, "name")).collect();
    unique("volume", volumes.iter().copied(), &mut problems);
    for volume in items(&spec["volumes"]) {
        let sources = volume.as_object().map_or(0, |volume| volume.len() - 1);
        if sources != 1 {
            problems.push(format!("volume {}: exactly one source, not {sources}", volume["name"]));
        }
    }
    for (list, container) in &containers {
        container_problems(list, container, &volumes, &mut problems);
    }
    for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        if !value.is_string() {
            problems.push(format!("annotation {key}: not a string"));
        }
    }
    match spec["terminationGracePeriodSeconds"].as_i64() {
        Some(0..) => {}
        Some(_) | None => problems.push("spec.terminationGracePeriodSeconds: no number from 0".to_owned()),
    }
    let sidecar = items(&spec["initContainers"]).find(|container| container["name"] == SIDECAR_CONTAINER);
    if let Some(sidecar) = sidecar {
        restricted_problems(sidecar, spec, &mut problems);
    }
    problems
}

fn container_problems(list: &str, container: &Value, volumes: &[&str], problems: &mut Vec<String>) {
    let name = text(container, "name");
    if !is_label(name) {
        problems.push(format!("container {name:?}: no DNS label"));
    }
    if text(container, "image").is_empty() {
        problems.push(format!("container {name}: image: Required value"));
    }
    match (list, container.get("restartPolicy")) {
        (_, None | Some(Value::Null)) => {}
        ("initContainers", Some(policy)) if policy == "Always" => {}
        (_, Some(policy)) => problems.push(format!("container {name}: restartPolicy {policy} in {list}")),
    }
    let is_sidecar = container["restartPolicy"] == "Always" || list == "containers";
    for hook in ["lifecycle", "startupProbe", "readinessProbe", "livenessProbe"] {
        if !is_sidecar && container.get(hook).is_some() {
            problems.push(format!("container {name}: {hook} may not be set for init containers"));
        }
    }
    let mounts = || items(&container["volumeMounts"]);
    unique(
        &format!("mountPath of container {name}"),
        mounts().map(|mount| text(mount, "mountPath")),
        problems,
    );
    for mount in mounts() {
        if !volumes.contains(&text(mount, "name")) {
            problems.push(format!("container {name}: mount of unknown volume {}", mount["name"]));
        }
    }
    for variable in items(&container["env"]) {
        let variable_name = text(variable, "name");
        let has_value = variable["value"].as_str().is_some_and(|value| !value.is_empty());
        if variable_name.is_empty()
            || variable_name.contains('=')
            || variable_name.bytes().any(|byte| !byte.is_ascii_graphic())
        {
            problems.push(format!("container {name}: variable {variable_name:?}: no name"));
        }
        if variable.get("value").is_some_and(|value| !value.is_string()) {
            problems.push(format!(
                "container {name}: variable {variable_name}: the value is no string"
            ));
        }
        if has_value && variable.get("valueFrom").is_some() {
            problems.push(format!(
                "container {name}: variable {variable_name}: value and valueFrom"
            ));
        }
    }
}

/// Pod Security Standards, `restricted`, as far as a container answers for itself.
fn restricted_problems(container: &Value, spec: &Value, problems: &mut Vec<String>) {
    let context = &container["securityContext"];
    let mut require = |is_met: bool, rule: &str| {
        if !is_met {
            problems.push(format!(
                "violates PodSecurity \"restricted:latest\": {SIDECAR_CONTAINER}: {rule}"
            ));
        }
    };
    require(
        context["allowPrivilegeEscalation"] == json!(false),
        "allowPrivilegeEscalation != false",
    );
    require(
        items(&context["capabilities"]["drop"]).any(|capability| capability == "ALL"),
        "unrestricted capabilities",
    );
    require(context["capabilities"].get("add").is_none(), "added capabilities");
    require(context["runAsNonRoot"] == json!(true), "runAsNonRoot != true");
    require(context["runAsUser"] != json!(0), "runAsUser=0");
    require(context["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile");
    require(context["privileged"] != json!(true), "privileged");
    require(
        items(&container["ports"]).all(|port| port.get("hostPort").is_none()),
        "hostPort",
    );
    let mounted: BTreeSet<&str> = items(&container["volumeMounts"])
        .map(|mount| text(mount, "name"))
        .collect();
    let allowed = ["emptyDir", "projected", "configMap", "secret", "downwardAPI"];
    let volumes = items(&spec["volumes"]).filter(|volume| mounted.contains(text(volume, "name")));
    for volume in volumes {
        let is_allowed = allowed.iter().any(|kind| volume.get(*kind).is_some());
        require(is_allowed, &format!("volume {}", volume["name"]));
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(format!("{what} {name:?}: Duplicate value"));
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::problems;
    use serde_json::json;

    #[test]
    fn each_broken_rule_is_named() {
        let pod = json!({"spec": {
            "terminationGracePeriodSeconds": 30,
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}],
            "initContainers": [{"name": "ado-agent-sidecar", "image": "i", "restartPolicy": "Always"}],
            "containers": [
                {"name": "a", "image": "i", "restartPolicy": "Always", "volumeMounts": [{"name": "w", "mountPath": "/w"}]},
                {"name": "a", "image": "i", "env": [{"name": "X", "value": "1", "valueFrom": {}}]},
            ],
        }});
        let problems = problems(&pod).join("\n");
        for part in [
            "container \"a\": Duplicate",
            "volume \"v\": Duplicate",
            "unknown volume \"w\"",
            "restartPolicy \"Always\" in containers",
            "value and valueFrom",
            "runAsNonRoot",
            "allowPrivilegeEscalation",
        ] {
            assert!(problems.contains(part), "{part} in\n{problems}");
        }
    }
}
