//! The plan as JSON Patch (RFC 6902) against the raw object.
//!
//! Every place is visited once, so that its parent is missing for the first operation or for none. Operations: `add`;
//! `replace` for values that the plan changes; `remove` for secrets. Order: annotations, volumes, sidecar, agent, grace.

use crate::handoff::Edits;
use crate::kubernetes::Lifecycle;
use crate::plan::{Annotations, Plan};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Most patches are a little smaller.
const USUAL_BYTES: usize = 12 * 1024;

/// The patch for the pod that the plan was made for, as its JSON text.
pub(crate) fn patch(plan: &Plan<'_>, pod: &Value) -> Vec<u8> {
    let mut patch = Patch {
        pod,
        json: Vec::with_capacity(USUAL_BYTES),
    };
    patch.annotations(&plan.annotations);
    patch.append(&["spec", "volumes"], &plan.volumes);
    patch.append(&["spec", "initContainers"], std::slice::from_ref(&plan.sidecar));
    let agent = plan.position.to_string();
    patch.edit(&["spec", "containers", &agent, "env"], &plan.agent.variables);
    patch.edit(&["spec", "containers", &agent, "volumeMounts"], &plan.agent.mounts);
    if let Some(lifecycle) = plan.pre_stop.lifecycle() {
        patch.lifecycle(&["spec", "containers", &agent, "lifecycle"], &lifecycle);
    }
    for probe in &plan.grace.probes {
        let position = probe.position.to_string();
        let path = [
            "spec",
            probe.list.as_str(),
            &position,
            probe.probe,
            "terminationGracePeriodSeconds",
        ];
        patch.set(&path, &probe.seconds);
    }
    if let Some(seconds) = plan.grace.change {
        patch.set(&["spec", "terminationGracePeriodSeconds"], &seconds);
    }
    patch.json.push(b']');
    patch.json
}

/// A patch that is being written.
struct Patch<'a> {
    pod: &'a Value,
    json: Vec<u8>,
}

#[derive(Serialize)]
struct Operation<'a, T> {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a T>,
}

impl Patch<'_> {
    fn has(&self, path: &[&str]) -> bool {
        let found = path.iter().try_fold(self.pod, |value, token| match value {
            Value::Array(items) => items.get(token.parse::<usize>().ok()?),
            Value::Object(members) => members.get(*token),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        found.is_some_and(|value| !value.is_null())
    }

    fn write<T: Serialize>(&mut self, op: &'static str, path: &[&str], value: Option<&T>) {
        self.json.push(if self.json.is_empty() { b'[' } else { b',' });
        let path = pointer(path);
        let operation = Operation { op, path, value };
        serde_json::to_writer(&mut self.json, &operation).expect("what the plan holds has a JSON form");
    }

    fn add<T: Serialize>(&mut self, path: &[&str], value: &T) {
        self.write("add", path, Some(value));
    }

    /// Sets a member whose parent exists.
    fn set<T: Serialize>(&mut self, path: &[&str], value: &T) {
        let op = if self.has(path) { "replace" } else { "add" };
        self.write(op, path, Some(value));
    }

    fn annotations(&mut self, annotations: &Annotations) {
        if !self.has(&["metadata"]) {
            self.add(&["metadata"], &BTreeMap::from([("annotations", annotations)]));
        } else if !self.has(&["metadata", "annotations"]) {
            self.add(&["metadata", "annotations"], annotations);
        } else {
            for (key, value) in &annotations.0 {
                self.set(&["metadata", "annotations", key], value);
            }
        }
    }

    fn lifecycle(&mut self, path: &[&str], lifecycle: &Lifecycle) {
        if self.has(path) {
            self.set(&[path, &["preStop"]].concat(), &lifecycle.pre_stop);
        } else {
            self.set(path, lifecycle);
        }
    }

    /// Appends to a list, or makes it.
    fn append<T: Serialize>(&mut self, path: &[&str], items: &[T]) {
        if items.is_empty() {
            return;
        }
        if !self.has(path) {
            return self.add(path, &items);
        }
        for item in items {
            self.add(&[path, &["-"]].concat(), item);
        }
    }

    /// Replaces, removes from the end on (so that positions stay true), appends.
    fn edit<T: Serialize>(&mut self, path: &[&str], edits: &Edits<T>) {
        for (position, value) in &edits.replace {
            self.set(&[path, &[&position.to_string()]].concat(), value);
        }
        let mut positions = edits.remove.clone();
        positions.sort_unstable();
        for position in positions.iter().rev() {
            self.write("remove", &[path, &[&position.to_string()]].concat(), None::<&T>);
        }
        self.append(path, &edits.append);
    }
}

/// A JSON Pointer (RFC 6901).
fn pointer(path: &[&str]) -> String {
    let mut pointer = String::new();
    for token in path {
        pointer.push('/');
        if token.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
            pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        } else {
            pointer.push_str(token);
        }
    }
    pointer
}
