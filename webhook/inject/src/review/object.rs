//! Reading the object without what nobody asks for.

use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Who set which field: as long as a small pod, and read by nobody here. The API server notes it before it asks
/// (kubernetes/kubernetes#87672).
const MANAGED_FIELDS: Without<'_> = Without(&["metadata", "managedFields"]);

/// Any JSON value, without the managed fields of an object.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    MANAGED_FIELDS.deserialize(deserializer)
}

/// Reads a value without its member at a path.
#[derive(Clone, Copy)]
struct Without<'p>(&'p [&'static str]);

impl<'de> DeserializeSeed<'de> for Without<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Without<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = match self.0 {
                [last] if key == *last => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                [first, rest @ ..] if key == *first => members.next_value_seed(Without(rest))?,
                _ => members.next_value()?,
            };
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Value, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(items))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        let value = read(&mut serde_json::Deserializer::from_str(json)).expect("JSON");
        assert_eq!(value, serde_json::from_str::<Value>(expected).expect("JSON"));
    }

    #[test]
    fn managed_fields_are_left_out_and_nothing_else_is() {
        check(
            r#"{"kind": "Pod", "managedFields": 1, "metadata": {"managedFields": [{"f:metadata": {}}], "name": "a"}}"#,
            r#"{"kind": "Pod", "managedFields": 1, "metadata": {"name": "a"}}"#,
        );
        check(
            r#"{"spec": {"metadata": {"managedFields": []}}, "metadata": [{"managedFields": []}]}"#,
            r#"{"spec": {"metadata": {"managedFields": []}}, "metadata": [{"managedFields": []}]}"#,
        );
    }

    #[test]
    fn any_value_is_read_as_it_is() {
        for json in [
            "null",
            "true",
            "-1",
            "18446744073709551615",
            "1.5",
            r#""text""#,
            "[1, null]",
            "{}",
            r#"{"metadata": null}"#,
        ] {
            check(json, json);
        }
    }
}
