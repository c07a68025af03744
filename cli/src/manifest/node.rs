//! A JSON value that keeps the order of its keys.
//!
//! Everything that looks at manifests works on [`Value`], whose keys are sorted; the order is put back when a document is written.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Keys that stand first where nobody wrote an order.
const FIRST: [&str; 4] = ["apiVersion", "kind", "metadata", "name"];

/// A value with its keys in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Map(Vec<(String, Self)>),
}

impl Node {
    /// The value, without the order.
    pub fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Self::Map(members) => {
                Value::Object(members.iter().map(|(key, node)| (key.clone(), node.value())).collect())
            }
        }
    }

    /// A value with the order that its keys have in `like`. New keys follow, but for those that say what the object is.
    pub fn ordered(value: &Value, like: Option<&Self>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::ordered(item, like.and_then(|like| like.item_like(index, item))))
                    .collect(),
            ),
            Value::Object(members) => Self::ordered_map(members, like),
        }
    }

    fn ordered_map(members: &Map<String, Value>, like: Option<&Self>) -> Self {
        let before: &[(String, Self)] = match like {
            Some(Self::Map(before)) => before,
            Some(Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_)) | None => &[],
        };
        let mut ordered: Vec<(String, Self)> = Vec::with_capacity(members.len());
        for (key, node) in before {
            // A key that a merge repeats stands once.
            if let Some(value) = members.get(key)
                && !ordered.iter().any(|(done, _)| done == key)
            {
                ordered.push((key.clone(), Self::ordered(value, Some(node))));
            }
        }
        let is_new = |key: &str| !before.iter().any(|(old, _)| old == key);
        let rank = |key: &str| FIRST.iter().position(|first| *first == key);
        for (key, value) in FIRST.iter().filter_map(|key| members.get_key_value(*key)) {
            if is_new(key) {
                let precedes = |(other, _): &(String, Self)| rank(other).is_some_and(|other| Some(other) < rank(key));
                let place = ordered.iter().rposition(precedes).map_or(0, |last| last + 1);
                ordered.insert(place, (key.clone(), Self::ordered(value, None)));
            }
        }
        for (key, value) in members {
            if is_new(key) && rank(key).is_none() {
                ordered.push((key.clone(), Self::ordered(value, None)));
            }
        }
        Self::Map(ordered)
    }

    /// What an item of a list was before: the one of its name, or where items have none, the one at its place.
    fn item_like(&self, index: usize, item: &Value) -> Option<&Self> {
        let Self::List(items) = self else { return None };
        let Some(name) = item.get("name").and_then(Value::as_str) else {
            return items.get(index);
        };
        items.iter().find(|node| node.name() == Some(name))
    }

    fn name(&self) -> Option<&str> {
        let Self::Map(members) = self else { return None };
        members.iter().find_map(|(key, node)| match node {
            Self::Text(text) if key == "name" => Some(text.as_str()),
            Self::Text(_) | Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Map(_) => None,
        })
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, node) in members {
                    map.serialize_entry(key, node)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value as JSON has them")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Number::from_f64(number)
            .map(Node::Number)
            .ok_or_else(|| E::custom("JSON has no such number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::Node;
    use serde_json::{Value, json};

    fn text(value: &Value, like: &str) -> String {
        let like: Node = serde_json::from_str(like).expect("JSON");
        serde_json::to_string(&Node::ordered(value, Some(&like))).expect("JSON")
    }

    #[test]
    fn keys_keep_their_order_and_new_ones_follow() {
        assert_eq!(
            text(&json!({"a": 1, "m": 2, "z": 3}), r#"{"z": 0, "a": 0, "gone": 0}"#),
            r#"{"z":3,"a":1,"m":2}"#
        );
        assert_eq!(
            text(&json!({"new": {"b": 1, "name": "n", "kind": "k"}}), "{}"),
            r#"{"new":{"kind":"k","name":"n","b":1}}"#
        );
    }

    #[test]
    fn items_are_known_by_their_names_before_their_places() {
        assert_eq!(
            text(
                &json!([{"name": "new", "a": 1}, {"name": "old", "a": 1, "b": 2}]),
                r#"[{"b": 0, "name": "old", "a": 0}]"#
            ),
            r#"[{"name":"new","a":1},{"b":2,"name":"old","a":1}]"#
        );
        assert_eq!(
            text(&json!([{"a": 1, "b": 2}]), r#"[{"b": 0, "a": 0}]"#),
            r#"[{"b":2,"a":1}]"#
        );
    }
}
