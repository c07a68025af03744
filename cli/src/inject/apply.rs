//! The webhook's patch, applied to a template instead of the pod for which it was made.
//!
//! The API server has filled in the pod what the template may lack: lists that the patch appends to, the grace period that it
//! replaces. So a parent that is missing is made, and a member that is missing is added where the patch replaces it.

use serde_json::{Map, Value};

/// Applies a patch of the webhook's (RFC 6902: `add`, `replace`, `remove`) to a pod or a pod template.
pub fn apply(template: &mut Value, patch: &[Value]) {
    for operation in patch {
        let path = operation["path"].as_str().unwrap_or_default();
        let tokens: Vec<String> = path.split('/').skip(1).map(unescape).collect();
        let Some((last, parents)) = tokens.split_last() else {
            continue;
        };
        let mut place = &mut *template;
        for (position, token) in parents.iter().enumerate() {
            let below = parents.get(position + 1).unwrap_or(last);
            place = member(place, token, below);
        }
        match operation["op"].as_str() {
            Some("remove") => remove(place, last),
            Some("replace") => set(place, last, operation["value"].clone(), Place::Replaced),
            Some(_) | None => set(place, last, operation["value"].clone(), Place::Added),
        }
    }
}

/// Whether an item of a list takes the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Added,
    Replaced,
}

/// What `token` leads to, made where it is missing: a list where `below` is a place in one.
fn member<'a>(value: &'a mut Value, token: &str, below: &str) -> &'a mut Value {
    if let Value::Array(items) = value {
        if items.is_empty() {
            items.push(Value::Null);
        }
        let last = items.len() - 1;
        let index = token.parse::<usize>().unwrap_or(last).min(last);
        return &mut items[index];
    }
    let child = object(value).entry(token.to_owned()).or_insert(Value::Null);
    if child.is_null() {
        *child = if below == "-" || below.parse::<usize>().is_ok() {
            Value::Array(Vec::new())
        } else {
            Value::Object(Map::new())
        };
    }
    child
}

fn set(place: &mut Value, token: &str, value: Value, how: Place) {
    if let Value::Array(items) = place {
        match token.parse::<usize>() {
            Ok(index) if index < items.len() && how == Place::Replaced => items[index] = value,
            Ok(index) if index < items.len() => items.insert(index, value),
            Ok(_) | Err(_) => items.push(value),
        }
        return;
    }
    object(place).insert(token.to_owned(), value);
}

fn remove(place: &mut Value, token: &str) {
    match place {
        Value::Array(items) => {
            if let Some(index) = token.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        Value::Object(members) => {
            members.remove(token);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The members of an object, which is made where there is none.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("it was made an object just now")
        }
    }
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::apply;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(mut template: Value, patch: &Value, expected: &Value) {
        apply(&mut template, patch.as_array().expect("a list"));
        assert_eq!(template, *expected);
    }

    #[test]
    fn what_a_template_lacks_is_made() {
        check(
            json!({"spec": {"volumes": null}}),
            &json!([
                {"op": "add", "path": "/metadata/annotations/a~1b", "value": "1"},
                {"op": "add", "path": "/spec/volumes/-", "value": {"name": "v"}},
                {"op": "add", "path": "/spec/volumes/-", "value": {"name": "w"}},
                {"op": "replace", "path": "/spec/terminationGracePeriodSeconds", "value": 60},
            ]),
            &json!({"metadata": {"annotations": {"a/b": "1"}}, "spec": {
                "volumes": [{"name": "v"}, {"name": "w"}], "terminationGracePeriodSeconds": 60}}),
        );
    }

    #[test]
    fn what_it_has_is_replaced_and_removed_by_place() {
        check(
            json!({"spec": {"containers": [{"env": [1, 2, 3]}]}}),
            &json!([
                {"op": "replace", "path": "/spec/containers/0/env/1", "value": 20},
                {"op": "remove", "path": "/spec/containers/0/env/0"},
                {"op": "add", "path": "/spec/containers/0/env/-", "value": 4},
                {"op": "add", "path": "/spec/containers/0/lifecycle", "value": {}},
            ]),
            &json!({"spec": {"containers": [{"env": [20, 3, 4], "lifecycle": {}}]}}),
        );
    }
}
