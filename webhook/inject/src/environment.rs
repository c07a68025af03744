//! The agent container's environment as Kubernetes reads it: `env`, `envFrom`, and `$(NAME)` in values.

mod copies;
mod expansion;

use crate::Denial;
use crate::env_var::{EnvVar, EnvVarSource, KeySelector};
use crate::pod::{Container, EnvEntry};
use crate::text::quote;
use crate::values::{is_config_map_key, is_subdomain};
use contract::DenyReason;
use expansion::references;
use std::borrow::Cow;

/// Environment of one container.
#[derive(Debug)]
pub(crate) struct Environment<'a> {
    container: &'a str,
    entries: Vec<EnvEntry<'a>>,
    sources: Vec<Source<'a>>,
}

/// One source of `envFrom`.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    /// Position in `envFrom`.
    index: usize,
    prefix: &'a str,
    kind: Kind,
    object: &'a str,
}

/// What a source is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

/// What the container says about one variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A literal that is fixed at admission; its position and its text as written.
    Literal(usize, &'a str),
    /// A literal with `$(NAME)` in it, or a `valueFrom`: known at run time only.
    Dynamic(usize),
    /// An entry with an empty literal, which hides what `envFrom` brings.
    Blank(usize),
    /// No entry; a source of `envFrom` may bring it.
    Perhaps,
    /// It is not there.
    Absent,
}

impl<'a> Environment<'a> {
    /// # Errors
    /// A denial where the sidecar could not refer to a source, or to so many.
    pub(crate) fn read(container: &Container<'a>) -> Result<Self, Denial> {
        let mut sources = Vec::new();
        for (index, source) in container.env_from.iter().enumerate() {
            for (key, kind, object) in [
                ("configMapRef", Kind::ConfigMap, source.config_map),
                ("secretRef", Kind::Secret, source.secret),
            ] {
                let Some(object) = object else { continue };
                // It becomes part of references of the sidecar.
                if !is_subdomain(object) {
                    return Err(Denial::new(
                        DenyReason::MalformedPod,
                        format!(
                            "{}.envFrom[{index}].{key}.name is {}; expected the name of an object (a DNS subdomain)",
                            container.place(),
                            quote(object)
                        ),
                    ));
                }
                sources.push(Source {
                    index,
                    prefix: source.prefix,
                    kind,
                    object,
                });
            }
        }
        if sources
            .iter()
            .any(|source| source.index >= contract::ENV_FROM_SOURCES_MAX)
        {
            return Err(Denial::new(
                DenyReason::MalformedPod,
                format!(
                    "container {} has more than {} envFrom sources; merge some of them",
                    quote(container.name),
                    contract::ENV_FROM_SOURCES_MAX
                ),
            ));
        }
        Ok(Self {
            container: container.name,
            entries: container.env.clone(),
            sources,
        })
    }

    /// Where `name` comes from; of several entries the last counts.
    pub(crate) fn find(&self, name: &str) -> Found<'a> {
        match self.positions(name).next_back() {
            Some(index) => match self.entries[index].literal {
                Some("") => Found::Blank(index),
                Some(literal) if references(literal).next().is_none() => Found::Literal(index, literal),
                Some(_) | None => Found::Dynamic(index),
            },
            None if self.may_bring(name) => Found::Perhaps,
            None => Found::Absent,
        }
    }

    /// Positions of all entries of that name.
    pub(crate) fn positions(&self, name: &str) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.entries.len()).filter(move |index| self.entries[*index].name == name)
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().map(|entry| entry.name)
    }

    /// The literal at a position, if it is one.
    pub(crate) fn literal(&self, index: usize) -> Option<&'a str> {
        self.entries[index].literal
    }

    /// Whether an `envFrom` source could set the variable.
    pub(crate) fn may_bring(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.key(name).is_some())
    }

    /// Optional references to the variable's key in every `envFrom` source that could set it, under the names that the
    /// contract has for them.
    pub(crate) fn brought(&self, name: &'a str) -> impl Iterator<Item = EnvVar<'a>> {
        let prefix = contract::ENV_FROM_VARIABLE_PREFIX;
        self.sources.iter().filter_map(move |source| {
            let target = [prefix, &source.index.to_string(), "_", name].concat();
            source.reference(name, target.into())
        })
    }

    /// How many objects `envFrom` takes variables from.
    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    /// Optional references to the variable's key in every `envFrom` source that could set it, all under one name: the last
    /// that is there counts.
    pub(crate) fn references_as(&self, name: &'a str, target: &str) -> impl Iterator<Item = EnvVar<'a>> {
        self.sources
            .iter()
            .filter_map(move |source| source.reference(name, target.to_owned().into()))
    }

    /// Optional references to the variable's key in every `envFrom` source that could set it, as variables
    /// `<target>_<index of the source>`.
    pub(crate) fn numbered_references(&self, name: &'a str, target: &str) -> Vec<EnvVar<'a>> {
        self.sources
            .iter()
            .filter_map(|source| {
                let target = [target, "_", &source.index.to_string()].concat();
                source.reference(name, target.into())
            })
            .collect()
    }
}

impl<'a> Source<'a> {
    /// The key from which this source would set the variable.
    fn key<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.prefix).filter(|key| is_config_map_key(key))
    }

    /// An optional reference to the key from which this source would set the variable.
    fn reference(&self, name: &'a str, target: Cow<'a, str>) -> Option<EnvVar<'a>> {
        let reference = KeySelector {
            name: self.object,
            key: self.key(name)?,
            optional: true,
        };
        Some(EnvVar::Reference {
            name: target,
            value_from: match self.kind {
                Kind::ConfigMap => EnvVarSource::ConfigMap(reference),
                Kind::Secret => EnvVarSource::Secret(reference),
            },
        })
    }
}

/// The text of a literal without references, as the container sees it.
pub(crate) fn unescape(literal: &str) -> String {
    literal.replace("$$", "$")
}
