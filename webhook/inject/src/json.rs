//! Reading JSON whose shape has not been checked.
//!
//! `null` is read as absent, as the API server does. A wrong type is a [`Denial`] that names the place.

use crate::Denial;
use contract::DenyReason;
use serde_json::{Map, Value};
use std::fmt;

pub(crate) type Object = Map<String, Value>;

/// The place of a value, for messages: `spec.containers[0].env`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Member(&'p Self, &'p str),
    Item(&'p Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, key) => f.write_str(key),
            Self::Member(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(list, index) => write!(f, "{list}[{index}]"),
        }
    }
}

/// An object and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a, 'p> {
    pub(crate) object: &'a Object,
    path: &'p Path<'p>,
}

impl<'a, 'p> Node<'a, 'p> {
    /// The object that everything else is part of.
    pub(crate) fn root(value: &'a Value) -> Result<Self, Denial> {
        let object = value.as_object().ok_or_else(|| wrong("the object", "an object"))?;
        let path = &Path::Root;
        Ok(Self { object, path })
    }

    fn new(value: &'a Value, path: &'p Path<'p>) -> Result<Self, Denial> {
        let object = value.as_object().ok_or_else(|| wrong(path, "an object"))?;
        Ok(Self { object, path })
    }

    fn present(self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Converts the value at `key`, if there is one.
    fn converted<T>(
        self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Denial> {
        self.present(key)
            .map(|value| convert(value).ok_or_else(|| wrong(Path::Member(self.path, key), expected)))
            .transpose()
    }

    /// What is read of the object at `key`, if there is one.
    pub(crate) fn object<T>(
        self,
        key: &str,
        read: impl FnOnce(Node<'a, '_>) -> Result<T, Denial>,
    ) -> Result<Option<T>, Denial> {
        self.present(key)
            .map(|value| read(Node::new(value, &Path::Member(self.path, key))?))
            .transpose()
    }

    /// What is read of the objects in the list at `key`; nothing where it is absent.
    pub(crate) fn list<T>(
        self,
        key: &str,
        mut read: impl FnMut(usize, Node<'a, '_>) -> Result<T, Denial>,
    ) -> Result<Vec<T>, Denial> {
        let items = self.converted(key, "a list", Value::as_array)?;
        let items = items.map(Vec::as_slice).unwrap_or_default();
        let path = Path::Member(self.path, key);
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            list.push(read(index, Node::new(item, &Path::Item(&path, index))?)?);
        }
        Ok(list)
    }

    /// The text at `key`, if there is one.
    pub(crate) fn text(self, key: &str) -> Result<Option<&'a str>, Denial> {
        self.converted(key, "a string", Value::as_str)
    }

    /// The text at `key`, which must be there.
    pub(crate) fn name(self, key: &str) -> Result<&'a str, Denial> {
        self.text(key)?
            .ok_or_else(|| wrong(Path::Member(self.path, key), "a string"))
    }

    /// The texts in the list at `key`; none where it is absent.
    pub(crate) fn texts(self, key: &str) -> Result<Vec<&'a str>, Denial> {
        let texts = self.converted(key, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// The object at `key` as a map of texts; empty where it is absent.
    pub(crate) fn map(self, key: &str) -> Result<Texts<'a>, Denial> {
        let map = self.object(key, |map| {
            for key in map.object.keys() {
                map.text(key)?;
            }
            Ok(map.object)
        })?;
        Ok(Texts(map))
    }

    /// The whole number at `key`, if there is one.
    pub(crate) fn integer(self, key: &str) -> Result<Option<i64>, Denial> {
        self.converted(key, "a whole number", Value::as_i64)
    }

    /// The flag at `key`, if there is one.
    pub(crate) fn flag(self, key: &str) -> Result<Option<bool>, Denial> {
        self.converted(key, "true or false", Value::as_bool)
    }
}

/// An object whose values are texts, or `null`, which is absent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Texts<'a>(Option<&'a Object>);

impl<'a> Texts<'a> {
    pub(crate) fn get(self, key: &str) -> Option<&'a str> {
        self.0?.get(key)?.as_str()
    }

    /// The keys, also of what is `null`.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flat_map(|map| map.keys()).map(String::as_str)
    }
}

fn wrong(place: impl fmt::Display, expected: &str) -> Denial {
    Denial::new(
        DenyReason::MalformedPod,
        format!("the pod is malformed: {place} must be {expected}"),
    )
}
