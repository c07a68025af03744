//! What holds for every injected pod.

mod security;

use inject::status::Status;
use inject::{Injection, Settings};
use json_patch::{Patch, PatchOperation};
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use security::{
    fits_pod_security_restricted, the_agent_container_has_a_ticket_and_no_token, tokens_go_where_the_operator_says,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Most operations of a patch, whatever the pod.
const OPERATIONS_MAX: usize = 150;
/// Most bytes of a patch, without what the operator set.
const PATCH_BYTES_MAX: usize = 256 * 1024;

/// Applies the patch to the raw object and checks everything that must hold. Returns the patched pod.
pub(crate) fn check(pod: &Value, Injection { patch, warnings }: &Injection, settings: &Settings) -> Value {
    assert!(patch.len() <= PATCH_BYTES_MAX, "a patch of {} bytes", patch.len());
    let patch: Patch = serde_json::from_slice(patch).expect("the patch is a JSON Patch");
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch)
        .unwrap_or_else(|error| panic!("the patch does not apply: {error}\n{patch}"));
    operations(&patch);
    assert!(patch.0.len() <= OPERATIONS_MAX, "{} operations", patch.0.len());
    everything_else_survives(pod, &patched);
    let sidecar = sidecar(&patched);
    has_only_fields_of_the_api(pod, &patched);
    sigterm_waits_for_the_job(pod, &patched);
    fits_pod_security_restricted(sidecar, &patched);
    names_are_unique(&patched);
    no_variable_has_a_name_of_the_pods(sidecar);
    isolation_is_said_in_words_of_the_contract(&patched);
    the_status_can_be_read_back(&patched);
    tokens_go_where_the_operator_says(sidecar, &patched, settings);
    if status(&patched)["handoff"] == "gateway" {
        the_agent_container_has_a_ticket_and_no_token(sidecar, &patched);
    }
    if serde_json::from_value::<Pod>(pod.clone()).is_ok() {
        serde_json::from_value::<Pod>(patched.clone()).expect("the patched pod is still a pod");
    }
    assert!(warnings.iter().all(|warning| warning.len() <= 256), "{warnings:?}");
    assert!(warnings.iter().map(String::len).sum::<usize>() <= 4096);
    patched
}

/// The sidecar, which is the last init container.
pub(crate) fn sidecar(patched: &Value) -> &Value {
    let last = patched["spec"]["initContainers"]
        .as_array()
        .and_then(|list| list.last());
    last.filter(|container| container["name"] == contract::SIDECAR_CONTAINER)
        .expect("the sidecar is the last init container")
}

/// The status annotation.
pub(crate) fn status(patched: &Value) -> Value {
    let status = patched["metadata"]["annotations"][contract::STATUS_ANNOTATION]
        .as_str()
        .expect("a status annotation");
    serde_json::from_str(status).expect("the status is JSON")
}

/// The agent container, by the status annotation.
pub(crate) fn agent_name(patched: &Value) -> String {
    let status = status(patched);
    status["agentContainer"].as_str().expect("the agent's name").to_owned()
}

/// Whatever the pod sets, each variable of the sidecar is one of the contract's.
fn no_variable_has_a_name_of_the_pods(sidecar: &Value) {
    for entry in items(&sidecar["env"]) {
        let name = entry["name"].as_str().expect("a name");
        assert!(contract::is_sidecar_variable(name), "{name}");
    }
}

fn the_status_can_be_read_back(patched: &Value) {
    let written = &patched["metadata"]["annotations"][contract::STATUS_ANNOTATION];
    let read = Status::parse(written.as_str().expect("a status annotation")).expect("a status");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), status(patched));
}

fn isolation_is_said_in_words_of_the_contract(patched: &Value) {
    let status = status(patched);
    let reasons = items(&status["notIsolated"]);
    assert_eq!(status["isolated"], reasons.is_empty());
    for reason in reasons {
        let word = reason
            .as_str()
            .and_then(|reason| reason.split(' ').next())
            .expect("a word");
        assert!(contract::NOT_ISOLATED.iter().any(|entry| entry.name == word), "{word}");
    }
}

/// Only `add`, but for what the plan says it changes or removes.
fn operations(patch: &Patch) {
    for operation in &patch.0 {
        let path = operation.path().to_string();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let in_agent = |list: &str| matches!(parts.as_slice(), ["spec", "containers", _, name, _] if *name == list);
        match operation {
            PatchOperation::Add(_) => {}
            PatchOperation::Replace(_) => assert!(
                in_agent("env")
                    || path == "/spec/terminationGracePeriodSeconds"
                    || path == "/metadata/annotations/azure.workload.identity~1skip-containers",
                "{path}"
            ),
            PatchOperation::Remove(_) => assert!(in_agent("env") || in_agent("volumeMounts"), "{path}"),
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => panic!("{path}"),
        }
    }
}

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Both objects are equal but for these members.
fn equal_but_for(before: &Value, after: &Value, but: &[&str]) {
    let (mut before, mut after) = (members(before), members(after));
    for key in but {
        before.remove(*key);
        after.remove(*key);
    }
    assert_eq!(before, after);
}

fn everything_else_survives(before: &Value, after: &Value) {
    equal_but_for(before, after, &["metadata", "spec"]);
    equal_but_for(&before["metadata"], &after["metadata"], &["annotations"]);
    let annotations = members(&after["metadata"]["annotations"]);
    for (key, value) in members(&before["metadata"]["annotations"]) {
        // `null` is no value: an annotation that is null is absent.
        if key != contract::AZWI_SKIP_CONTAINERS_ANNOTATION && !value.is_null() {
            assert_eq!(annotations.get(&key), Some(&value), "annotation {key}");
        }
    }
    let (before, after) = (&before["spec"], &after["spec"]);
    let lists = ["volumes", "initContainers", "containers"];
    equal_but_for(
        before,
        after,
        &[&lists[..], &["terminationGracePeriodSeconds"]].concat(),
    );
    let after = &with_probes_as_before(before, after);
    for list in ["volumes", "initContainers"] {
        assert!(items(&after[list]).starts_with(&items(&before[list])), "{list}");
    }
    assert_eq!(
        items(&after["initContainers"]).len(),
        items(&before["initContainers"]).len() + 1
    );
    let (before, after) = (items(&before["containers"]), items(&after["containers"]));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        if before != after {
            equal_but_for(before, after, &["env", "volumeMounts", "lifecycle"]);
            equal_but_for(&before["lifecycle"], &after["lifecycle"], &["preStop"]);
        }
    }
    assert!(
        before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .count()
            <= 1
    );
}

/// The agent container has its own hook, or ours.
fn sigterm_waits_for_the_job(before: &Value, after: &Value) {
    let name = agent_name(after);
    let hook = |pod: &Value| {
        let containers = items(&pod["spec"]["containers"]);
        let agent = containers
            .into_iter()
            .find(|container| container["name"] == name.as_str());
        agent.expect("the agent container")["lifecycle"]["preStop"].clone()
    };
    let (own, hook) = (hook(before), hook(after));
    if own.is_null() {
        let command = ["sh", "-c", contract::PRE_STOP_SCRIPT, "pre-stop", contract::DRAIN_FILE];
        assert_eq!(hook, json!({ "exec": { "command": command } }));
    } else {
        assert_eq!(hook, own);
    }
}

/// The spec without the grace periods of probes that had none: where the pod's is raised they get what the pod had, which is
/// less.
fn with_probes_as_before(before: &Value, after: &Value) -> Value {
    let mut spec = after.clone();
    let had = before["terminationGracePeriodSeconds"].as_i64().unwrap_or(30).max(1);
    let raised = after["terminationGracePeriodSeconds"].as_i64() > Some(had);
    for list in ["initContainers", "containers"] {
        let pairs = items(&before[list])
            .into_iter()
            .zip(spec[list].as_array_mut().into_iter().flatten());
        for (before, after) in pairs {
            for probe in ["livenessProbe", "startupProbe"] {
                let key = "terminationGracePeriodSeconds";
                if before[probe].is_object() && before[probe][key].is_null() && !after[probe][key].is_null() {
                    assert_eq!(after[probe][key], had, "{list} {probe}");
                    assert!(raised, "{list} {probe}");
                    match before[probe].get(key) {
                        Some(null) => after[probe][key] = null.clone(),
                        None => drop(after[probe].as_object_mut().and_then(|probe| probe.remove(key))),
                    }
                }
            }
        }
    }
    spec
}

/// The API's own types lose nothing of what was added; the copies among the variables may be of any shape.
fn has_only_fields_of_the_api(before: &Value, after: &Value) {
    let mut sidecar = sidecar(after).clone();
    sidecar["env"] = json!([]);
    let read: Container = serde_json::from_value(sidecar.clone()).expect("a container");
    assert_eq!(serde_json::to_value(read).expect("JSON"), sidecar);
    let kept = items(&before["spec"]["volumes"]).len();
    for volume in &items(&after["spec"]["volumes"])[kept..] {
        let read: Volume = serde_json::from_value(volume.clone()).expect("a volume");
        assert_eq!(&serde_json::to_value(read).expect("JSON"), volume);
    }
}

/// No two of ours, or one of ours and one of the pod's, have the same name or place.
fn names_are_unique(patched: &Value) {
    let unique = |values: Vec<Value>, key: &str, what: &str| {
        let ours = |name: &str| name.starts_with("ado-agent-") || name.starts_with("/run/ado-agent");
        let mut seen = BTreeSet::new();
        for value in values {
            let name = value[key].as_str().unwrap_or_default().to_owned();
            assert!(!ours(&name) || seen.insert(name.clone()), "{what} {name} twice");
        }
    };
    let spec = &patched["spec"];
    unique(items(&spec["volumes"]), "name", "volume");
    let containers = [items(&spec["initContainers"]), items(&spec["containers"])].concat();
    for container in &containers {
        unique(items(&container["volumeMounts"]), "mountPath", "mount");
    }
    unique(containers, "name", "container");
    let agent = agent_name(patched);
    let agents: Vec<Value> = items(&spec["containers"])
        .into_iter()
        .filter(|container| container["name"] == agent.as_str())
        .collect();
    let mounted = agents.iter().any(|container| {
        items(&container["volumeMounts"]).iter().any(|mount| {
            mount["name"] == contract::HANDOFF_VOLUME
                && mount["mountPath"] == contract::HANDOFF_DIR
                && mount.get("readOnly").is_none()
        })
    });
    assert!(mounted, "the agent container has the handoff volume, writable");
}
