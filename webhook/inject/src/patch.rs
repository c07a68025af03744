//! The plan as JSON Patch (RFC 6902) against the raw object.
//!
//! Every place is visited once, so that its parent is missing for the first operation or for none. Operations: `add`;
//! `replace` for values that the plan changes; `remove` for secrets. Order: annotations, volumes, sidecar, agent, grace.

use crate::handoff::Edits;
use crate::plan::Plan;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Value, json};

/// The patch for the pod that the plan was made for.
pub(crate) fn patch(plan: &Plan, pod: &Value) -> Patch {
    let mut patch = Patch(Vec::new());
    annotations(&mut patch, pod, &plan.annotations);
    append(&mut patch, pod, &["spec", "volumes"], &plan.volumes);
    append(
        &mut patch,
        pod,
        &["spec", "initContainers"],
        std::slice::from_ref(&plan.sidecar),
    );
    let agent = plan.position.to_string();
    edit(
        &mut patch,
        pod,
        &["spec", "containers", &agent, "env"],
        &plan.agent.variables,
    );
    edit(
        &mut patch,
        pod,
        &["spec", "containers", &agent, "volumeMounts"],
        &plan.agent.mounts,
    );
    if let Some(seconds) = plan.grace_seconds {
        set(
            &mut patch,
            pod,
            &["spec", "terminationGracePeriodSeconds"],
            json!(seconds),
        );
    }
    patch
}

fn find<'a>(pod: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let found = path.iter().try_fold(pod, |value, token| match value {
        Value::Array(items) => items.get(token.parse::<usize>().ok()?),
        Value::Object(members) => members.get(*token),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    });
    found.filter(|value| !value.is_null())
}

fn add(patch: &mut Patch, path: &[&str], value: Value) {
    let path = PointerBuf::from_tokens(path.iter().copied());
    patch.0.push(PatchOperation::Add(AddOperation { path, value }));
}

/// Sets a member whose parent exists.
fn set(patch: &mut Patch, pod: &Value, path: &[&str], value: Value) {
    if find(pod, path).is_none() {
        return add(patch, path, value);
    }
    let path = PointerBuf::from_tokens(path.iter().copied());
    patch.0.push(PatchOperation::Replace(ReplaceOperation { path, value }));
}

fn annotations(patch: &mut Patch, pod: &Value, annotations: &[(&'static str, String)]) {
    let all = || {
        annotations
            .iter()
            .map(|(key, value)| (*key, json!(value)))
            .collect::<Value>()
    };
    if find(pod, &["metadata"]).is_none() {
        add(patch, &["metadata"], json!({ "annotations": all() }));
    } else if find(pod, &["metadata", "annotations"]).is_none() {
        add(patch, &["metadata", "annotations"], all());
    } else {
        for (key, value) in annotations {
            set(patch, pod, &["metadata", "annotations", key], json!(value));
        }
    }
}

/// Appends to a list, or makes it.
fn append(patch: &mut Patch, pod: &Value, path: &[&str], items: &[Value]) {
    if items.is_empty() {
        return;
    }
    if find(pod, path).is_none() {
        return add(patch, path, json!(items));
    }
    for item in items {
        add(patch, &[path, &["-"]].concat(), item.clone());
    }
}

/// Replaces, removes from the end on (so that positions stay true), appends.
fn edit(patch: &mut Patch, pod: &Value, path: &[&str], edits: &Edits) {
    for (position, value) in &edits.replace {
        set(patch, pod, &[path, &[&position.to_string()]].concat(), value.clone());
    }
    let mut positions = edits.remove.clone();
    positions.sort_unstable();
    for position in positions.iter().rev() {
        let position = position.to_string();
        let path = PointerBuf::from_tokens(path.iter().copied().chain([position.as_str()]));
        patch.0.push(PatchOperation::Remove(RemoveOperation { path }));
    }
    append(patch, pod, path, &edits.append);
}
