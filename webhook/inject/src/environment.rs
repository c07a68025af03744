//! The agent container's environment as Kubernetes reads it: `env`, `envFrom`, and `$(NAME)` in values.

use crate::Denial;
use crate::raw::{self, Object};
use crate::text::quote;
use crate::variable::{KeyRef, ValueFrom, Variable};
use contract::Reason;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Most variables that are copied into the sidecar: an honest pod needs a handful.
const COPIES_MAX: usize = 100;

/// Environment of one container.
#[derive(Debug)]
pub(crate) struct Environment<'a> {
    container: &'a str,
    entries: Vec<Entry<'a>>,
    sources: Vec<Source<'a>>,
}

/// One entry of `env`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    name: &'a str,
    raw: &'a Object,
    /// `None` where the value comes from `valueFrom`.
    literal: Option<&'a str>,
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
    pub(crate) fn read(container: raw::Container<'a>, path: &str) -> Result<Self, Denial> {
        let mut entries = Vec::new();
        for (index, raw) in raw::objects(container.raw, "env", path)?.into_iter().enumerate() {
            let path = format_args!("{path}env[{index}].");
            let name = raw::name(raw, "name", path)?;
            let literal = match raw::object(raw, "valueFrom", path)? {
                Some(_) => None,
                None => Some(raw::text(raw, "value", path)?.unwrap_or_default()),
            };
            entries.push(Entry { name, raw, literal });
        }
        let mut sources = Vec::new();
        for (index, raw) in raw::objects(container.raw, "envFrom", path)?.into_iter().enumerate() {
            let path = format_args!("{path}envFrom[{index}].");
            let prefix = raw::text(raw, "prefix", path)?.unwrap_or_default();
            for (key, kind) in [("configMapRef", Kind::ConfigMap), ("secretRef", Kind::Secret)] {
                if let Some(source) = raw::object(raw, key, path)?
                    && let Some(object) = raw::text(source, "name", format_args!("{path}{key}."))?
                {
                    sources.push(Source {
                        index,
                        prefix,
                        kind,
                        object,
                    });
                }
            }
        }
        if sources
            .iter()
            .any(|source| source.index >= contract::ENV_FROM_SOURCES_MAX)
        {
            return Err(Denial::new(
                Reason::MalformedPod,
                format!(
                    "container {} has more than {} envFrom sources; merge some of them",
                    quote(container.name),
                    contract::ENV_FROM_SOURCES_MAX
                ),
            ));
        }
        Ok(Self {
            container: container.name,
            entries,
            sources,
        })
    }

    /// Where `name` comes from; of several entries the last counts.
    pub(crate) fn find(&self, name: &str) -> Found<'a> {
        match self.positions(name).last() {
            Some(index) => match self.entries[index].literal {
                Some("") => Found::Blank(index),
                Some(literal) if references(literal).is_empty() => Found::Literal(index, literal),
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

    /// The literal at a position, if it is one.
    pub(crate) fn literal(&self, index: usize) -> Option<&'a str> {
        self.entries[index].literal
    }

    /// Whether an `envFrom` source could set the variable.
    pub(crate) fn may_bring(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.key(name).is_some())
    }

    /// Optional references to the variable's key in every `envFrom` source that could set it, as variables
    /// `<target>_<index of the source>`.
    pub(crate) fn numbered_references(&self, name: &'a str, target: &str) -> Vec<Variable<'a>> {
        self.sources
            .iter()
            .filter_map(|source| source.reference(name, format!("{target}_{}", source.index).into()))
            .collect()
    }

    /// Copies entries (position, new name) for the sidecar, and every variable that their values refer to.
    ///
    /// What is referred to keeps its name, so that `$(NAME)` still finds it. The original order is kept: Kubernetes
    /// resolves references to earlier entries only.
    pub(crate) fn copies(&self, wanted: &[(usize, &str)]) -> Result<Vec<Variable<'a>>, Denial> {
        let mut names: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (index, target) in wanted {
            names.entry(*index).or_default().insert(target);
        }
        let mut positions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            positions.entry(entry.name).or_default().push(index);
        }
        let mut brought = BTreeSet::new();
        let mut visited = BTreeSet::new();
        let mut pending: Vec<usize> = names.keys().copied().collect();
        while let Some(index) = pending.pop() {
            if !visited.insert(index) {
                continue;
            }
            for name in self.entries[index].literal.map(references).unwrap_or_default() {
                if is_reserved(name) {
                    return Err(self.reserved(self.entries[index].name, name));
                }
                let definitions = positions.get(name).map(Vec::as_slice).unwrap_or_default();
                let earlier = definitions.partition_point(|position| *position < index);
                if let Some(earlier) = earlier.checked_sub(1).map(|nth| definitions[nth]) {
                    names.entry(earlier).or_default().insert(self.entries[earlier].name);
                    pending.push(earlier);
                } else {
                    brought.insert(name);
                }
                if names.len() + brought.len() > COPIES_MAX {
                    return Err(self.too_many());
                }
            }
        }
        let mut copies: Vec<Variable<'a>> = brought
            .into_iter()
            .flat_map(|name| {
                self.sources
                    .iter()
                    .filter_map(move |source| source.reference(name, name.into()))
            })
            .collect();
        for (index, targets) in names {
            copies.extend(targets.into_iter().map(|target| self.copy(index, target)));
        }
        Ok(copies)
    }

    fn copy(&self, index: usize, target: &str) -> Variable<'a> {
        let mut entry = self.entries[index].raw.clone();
        entry.insert("name".to_owned(), target.into());
        // Without a name, a resource reference means the container that it stands in.
        if let Some(reference) = entry
            .get_mut("valueFrom")
            .and_then(|from| from.get_mut("resourceFieldRef"))
            .and_then(Value::as_object_mut)
            && reference
                .get("containerName")
                .is_none_or(|name| name == "" || name.is_null())
        {
            reference.insert("containerName".to_owned(), self.container.into());
        }
        Variable::Copy(entry)
    }

    fn too_many(&self) -> Denial {
        Denial::new(
            Reason::MalformedPod,
            format!(
                "organisation URL, pool, agent name and proxies of container {} refer to more than {COPIES_MAX} other variables; \
                 set them to plain values",
                quote(self.container)
            ),
        )
    }

    fn reserved(&self, variable: &str, name: &str) -> Denial {
        Denial::new(
            Reason::NameClash,
            format!(
                "variable {} of container {} refers to $({}), which has another meaning in the sidecar; rename the variable \
                 that it refers to, or set annotations {} and {} instead",
                quote(variable),
                quote(self.container),
                name,
                contract::URL_ANNOTATION,
                contract::POOL_ANNOTATION
            ),
        )
    }
}

impl<'a> Source<'a> {
    /// The key from which this source would set the variable.
    fn key<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.prefix).filter(|key| !key.is_empty())
    }

    fn reference(&self, name: &'a str, target: Cow<'a, str>) -> Option<Variable<'a>> {
        let reference = KeyRef {
            name: self.object,
            key: self.key(name)?,
            optional: true,
        };
        Some(Variable::Found {
            name: target,
            value_from: match self.kind {
                Kind::ConfigMap => ValueFrom::ConfigMap(reference),
                Kind::Secret => ValueFrom::Secret(reference),
            },
        })
    }
}

/// Whether the name means something to the sidecar.
fn is_reserved(name: &str) -> bool {
    name.starts_with("ADO_AGENT_") || contract::SIDECAR_VARIABLES.iter().any(|entry| entry.name == name)
}

/// The text of a literal without references, as the container sees it.
pub(crate) fn unescape(literal: &str) -> String {
    literal.replace("$$", "$")
}

/// The names in `$(NAME)`, as Kubernetes finds them (`third_party/forked/golang/expansion/expand.go`): `$$` is a plain
/// `$`, an unclosed parenthesis is text.
fn references(literal: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = literal;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some(after) = rest.strip_prefix('(')
            && let Some((name, after)) = after.split_once(')')
        {
            names.push(name);
            rest = after;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variable::escape;
    use serde_json::json;

    fn written(variables: &[Variable<'_>]) -> Value {
        serde_json::to_value(variables).expect("variables have a JSON form")
    }

    fn environment(raw: &Value) -> Environment<'_> {
        let raw = raw.as_object().expect("an object");
        Environment::read(raw::Container { name: "agent", raw }, "").expect("well-formed")
    }

    #[test]
    fn references_are_found_as_kubernetes_finds_them() {
        assert_eq!(references("a$(B)c$(D)"), ["B", "D"]);
        assert_eq!(references("$$(B) $$$(C) $( $d $"), ["C"]);
        assert_eq!(references("$()"), [""]);
        let text = "$(A) $ $$ $$(B)";
        assert!(references(&escape(text)).is_empty());
        assert_eq!(unescape(&escape(text)), text);
    }

    #[test]
    fn a_copy_brings_what_it_refers_to_in_the_original_order() {
        let raw = json!({
            "env": [
                {"name": "LATER", "value": "hidden by the next"},
                {"name": "HOST", "value": "dev.azure.com"},
                {"name": "LATER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "BASE", "value": "https://$(HOST)"},
                {"name": "AZP_URL", "value": "$(BASE)/$(ORG)/$(LATER)"},
                {"name": "LATER", "value": "too late"},
            ],
            "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "X", "secretRef": {"name": "s"}}],
        });
        let copies = environment(&raw).copies(&[(4, "ADO_AGENT_URL")]).expect("no clash");
        let names: Vec<_> = copies.iter().map(Variable::name).collect();
        assert_eq!(names, ["ORG", "HOST", "LATER", "BASE", "ADO_AGENT_URL"]);
        let copies = written(&copies);
        assert_eq!(
            copies[0]["valueFrom"]["configMapKeyRef"],
            json!({"name": "settings", "key": "ORG", "optional": true})
        );
        assert_eq!(copies[2]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    }

    #[test]
    fn a_reference_to_a_name_of_ours_is_a_clash() {
        for name in [
            "AZURE_CLIENT_ID",
            "ADO_AGENT_ALLOWED_HOSTS",
            "ADO_AGENT_POD_NAME",
            "ADO_AGENT_URL_FROM_3",
        ] {
            let raw =
                json!({"env": [{"name": name, "value": "x"}, {"name": "AZP_POOL", "value": format!("$({name})")}]});
            let denial = environment(&raw).copies(&[(1, "ADO_AGENT_POOL")]).expect_err("a clash");
            assert_eq!(denial.reason, Reason::NameClash, "{name}");
        }
    }

    #[test]
    fn a_prefix_decides_which_key_brings_a_variable() {
        let raw = json!({"envFrom": [
            {"prefix": "AZP_", "configMapRef": {"name": "a"}},
            {"prefix": "OTHER_", "configMapRef": {"name": "b"}},
            {"secretRef": {"name": "c"}},
        ]});
        let environment = environment(&raw);
        assert_eq!(environment.find("AZP_URL"), Found::Perhaps);
        let references = environment.numbered_references("AZP_URL", "ADO_AGENT_URL_FROM");
        assert_eq!(
            written(&references),
            json!([
                {"name": "ADO_AGENT_URL_FROM_0", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "URL", "optional": true}}},
                {"name": "ADO_AGENT_URL_FROM_2", "valueFrom": {"secretKeyRef": {"name": "c", "key": "AZP_URL", "optional": true}}},
            ])
        );
    }

    #[test]
    fn a_resource_reference_keeps_meaning_the_agent_container() {
        let raw =
            json!({"env": [{"name": "AZP_AGENT_NAME", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]});
        let copies = environment(&raw).copies(&[(0, "ADO_AGENT_NAME")]).expect("no clash");
        assert_eq!(
            written(&copies)[0]["valueFrom"]["resourceFieldRef"]["containerName"],
            "agent"
        );
    }

    #[test]
    fn a_long_chain_of_references_is_refused() {
        let env: Vec<Value> = (0..20_000)
            .map(|n: u32| json!({"name": format!("V{n}"), "value": format!("$(V{})", n.wrapping_sub(1))}))
            .collect();
        let raw = json!({ "env": env });
        let denial = environment(&raw).copies(&[(19_999, "X")]).expect_err("too many");
        assert!(denial.sentence.contains("more than 100"), "{}", denial.sentence);
    }
}
