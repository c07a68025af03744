//! Members of manifests as JSON.

use serde_json::{Map, Value, json};

/// Sets a member, in an object that may not be there yet.
pub(super) fn set(members: &mut Value, key: &str, value: &str) {
    if !members.is_object() {
        *members = json!({});
    }
    members[key] = json!(value);
}

/// Keeps the items that are wanted, and no empty list where something was taken out.
pub(super) fn retain(members: &mut Map<String, Value>, key: &str, wanted: impl FnMut(&Value) -> bool) {
    let Some(list) = members.get_mut(key).and_then(Value::as_array_mut) else {
        return;
    };
    let before = list.len();
    list.retain(wanted);
    if list.is_empty() && before > 0 {
        members.remove(key);
    }
}

/// The items of a list; none of anything else.
pub(in crate::migrate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn items_mut<'a>(members: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Value> {
    members.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}
