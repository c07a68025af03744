//! Reading the object: without its managed fields, and not more of it than memory is planned for.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Values that an object may consist of: an object that is short as text can be fifty times as large in memory, where a
/// small value takes as much as a long one. A pod of ten containers with a hundred variables each has about 4,000.
pub const MOST_VALUES: usize = 20_000;

/// Who set which field: as long as a small pod, and not needed here. The API server adds it before it calls the webhook
/// (kubernetes/kubernetes#87672).
const MANAGED_FIELDS: &[&str] = &["metadata", "managedFields"];

/// The object of a review.
#[derive(Debug, PartialEq)]
pub(super) enum Object {
    /// As it came, without its managed fields.
    Read(Value),
    /// It consists of so many values, which are more than [`MOST_VALUES`], and was not stored.
    TooLarge(usize),
}

impl Default for Object {
    fn default() -> Self {
        Self::Read(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = Cell::new(0);
        let without = MANAGED_FIELDS;
        let value = Reader {
            values: &values,
            without,
        }
        .deserialize(deserializer)?;
        Ok(match values.get() {
            0..=MOST_VALUES => Self::Read(value),
            more => Self::TooLarge(more),
        })
    }
}

/// Reads a value without its member at a path, and counts the values that it consists of: itself, members, items. Beyond
/// [`MOST_VALUES`] it goes on counting and keeps nothing.
#[derive(Clone, Copy)]
struct Reader<'a> {
    values: &'a Cell<usize>,
    without: &'a [&'static str],
}

impl Reader<'_> {
    /// Whether values are still stored.
    fn keeps(self) -> bool {
        self.values.get() <= MOST_VALUES
    }

    fn count(self) {
        self.values.set(self.values.get() + 1);
    }

    fn scalar<E>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.count();
        Ok(value.into())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.count();
        let inner = Self { without: &[], ..self };
        let mut object = Map::new();
        while self.keeps() {
            let Some(key) = members.next_key::<String>()? else {
                return Ok(Value::Object(object));
            };
            let value = match self.without {
                [last] if key == *last => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                [first, without @ ..] if key == *first => members.next_value_seed(Self { without, ..self })?,
                _ => members.next_value_seed(inner)?,
            };
            object.insert(key, value);
        }
        drop(object);
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(inner)?;
        }
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.count();
        let inner = Self { without: &[], ..self };
        let mut list = Vec::new();
        while self.keeps() {
            let Some(item) = items.next_element_seed(inner)? else {
                return Ok(Value::Array(list));
            };
            list.push(item);
        }
        drop(list);
        while items.next_element_seed(inner)?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.scalar(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.scalar(self.keeps().then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Object {
        serde_json::from_str(json).expect("JSON")
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(read(json), Object::Read(serde_json::from_str(expected).expect("JSON")));
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

    #[test]
    fn values_are_counted_wherever_they_are_and_managed_fields_are_not() {
        let most = |item: &str, each: usize| format!("[{}]", vec![item; (MOST_VALUES - 1) / each].join(","));
        // The list is one value; what is left of the limit by division stays free.
        for (item, each) in [("0", 1), (r#""x""#, 1), ("{}", 1), (r#"{"a":0}"#, 2), ("[[0]]", 3)] {
            let within = most(item, each);
            assert!(matches!(read(&within), Object::Read(_)), "{item}");
            let beyond = format!("{}{}]", &within[..within.len() - 1], format!(",{item}").repeat(3));
            let Object::TooLarge(values) = read(&beyond) else {
                panic!("{item}")
            };
            assert_eq!(values, 1 + each * ((MOST_VALUES - 1) / each + 3), "{item}");
        }
        let many = vec!["0"; MOST_VALUES + 1].join(",");
        let managed = format!(r#"{{"metadata": {{"managedFields": [{many}]}}}}"#);
        check(&managed, r#"{"metadata": {}}"#);
        assert!(matches!(
            read(&format!(r#"{{"metadata": {{"other": [{many}]}}}}"#)),
            Object::TooLarge(_)
        ));
    }

    #[test]
    fn beyond_the_limit_the_rest_must_still_be_json() {
        let many = vec!["0"; MOST_VALUES + 1].join(",");
        for rest in ["x]", r#"{"a"}]"#, ""] {
            assert!(
                serde_json::from_str::<Object>(&format!("[{many},{rest}")).is_err(),
                "{rest}"
            );
        }
    }
}
