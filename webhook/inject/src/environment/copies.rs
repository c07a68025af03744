//! Entries of the agent container that the sidecar gets a copy of, and what their values refer to.
//!
//! What is referred to arrives under names of ours: whatever a pod calls a variable, on the sidecar it means nothing to a
//! library or a loader (`SSL_CERT_FILE`, `LD_PRELOAD`), and hides nothing that the webhook sets.

use super::Environment;
use super::expansion::{Reference, references, rewritten};
use crate::Denial;
use crate::env_var::EnvVar;
use crate::text::quote;
use contract::DenyReason;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Most variables that are copied into the sidecar: an honest pod needs a handful.
const COPIES_MAX: usize = 100;
/// Most bytes of all copied variables together, with their names, as JSON.
const COPIES_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of all variables that depend on the agent container, as JSON.
const VARIABLES_BYTES_MAX: usize = 128 * 1024;
/// Prefix of the names under which the sidecar gets variables that a copied value refers to.
const PREFIX: &str = contract::REFERENCE_VARIABLE_PREFIX;

/// What is collected for the sidecar.
#[derive(Default)]
struct Collected<'a> {
    /// Positions of entries, with the names that each gets and its value where that is a literal.
    entries: BTreeMap<usize, (BTreeSet<Cow<'a, str>>, Option<String>)>,
    /// Names that `envFrom` may bring.
    brought: BTreeSet<&'a str>,
}

impl<'a> Environment<'a> {
    /// Copies entries (position, new name) for the sidecar, and every variable that their values refer to, so that each has
    /// the value that it has in the agent container. The original order is kept: Kubernetes resolves references to earlier
    /// entries only.
    ///
    /// # Errors
    /// A denial where there would be more or longer copies than the sidecar could need.
    pub(crate) fn copies(&self, wanted: &[(usize, &'static str)]) -> Result<Vec<EnvVar<'a>>, Denial> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let collected = self.collect(wanted)?;
        let mut copies = Vec::new();
        for name in collected.brought {
            // Below all sources, as in the agent container: a variable of a Service, or else the text of the reference.
            let value = rewritten(&format!("$({name})"), PREFIX, kept_or_escaped);
            copies.push(EnvVar::Value {
                name: prefixed(name),
                value: value.into(),
            });
            for source in &self.sources {
                copies.extend(source.reference(name, prefixed(name)));
            }
        }
        for (index, (targets, value)) in collected.entries {
            // A value may refer to an earlier entry of its own name, which its prefixed copy hides from there on.
            let (prefixed, fixed): (Vec<_>, Vec<_>) = targets.into_iter().partition(|name| name.starts_with(PREFIX));
            for target in fixed.into_iter().chain(prefixed) {
                copies.push(self.copy(index, &target, value.as_deref()));
            }
        }
        if json_bytes(&copies, COPIES_BYTES_MAX).is_none() {
            return Err(self.too_long());
        }
        Ok(copies)
    }

    /// Denies a pod of which the sidecar would get more variables than any needs.
    ///
    /// # Errors
    /// The denial.
    pub(crate) fn check_size(&self, variables: &[EnvVar<'_>]) -> Result<(), Denial> {
        // Copies have their own limit. Nearly all pods are so far below this one that nothing has to be written to see it.
        let bound = COPIES_BYTES_MAX + variables.iter().map(EnvVar::json_bytes_bound).sum::<usize>();
        if bound < VARIABLES_BYTES_MAX || json_bytes(&variables, VARIABLES_BYTES_MAX).is_some() {
            return Ok(());
        }
        Err(Denial::new(
            DenyReason::PatchTooLarge,
            format!(
                "container {} has so many envFrom sources that references to their keys take more than {} KiB; merge some of \
                 them",
                quote(self.container),
                VARIABLES_BYTES_MAX / 1024
            ),
        ))
    }

    /// Finds what is referred to, by entries that are referred to.
    fn collect(&self, wanted: &[(usize, &'static str)]) -> Result<Collected<'a>, Denial> {
        let mut collected = Collected::default();
        for (index, target) in wanted {
            let (names, _) = collected.entries.entry(*index).or_default();
            names.insert((*target).into());
        }
        let mut positions = None;
        let mut bytes = COPIES_BYTES_MAX;
        let mut pending: Vec<usize> = collected.entries.keys().copied().collect();
        while let Some(index) = pending.pop() {
            // Before anything is done with them.
            let length = json_bytes(self.entries[index].object, bytes).ok_or_else(|| self.too_long())?;
            bytes -= length;
            let Some(literal) = self.entries[index].literal else {
                continue;
            };
            if references(literal).next().is_none() {
                continue;
            }
            let positions = positions.get_or_insert_with(|| self.all_positions());
            let value = rewritten(literal, PREFIX, |name| {
                let definitions = positions.get(name).map(Vec::as_slice).unwrap_or_default();
                let earlier = definitions.partition_point(|position| *position < index);
                if let Some(earlier) = earlier.checked_sub(1).map(|nth| definitions[nth]) {
                    let known = collected.entries.contains_key(&earlier);
                    let (names, _) = collected.entries.entry(earlier).or_default();
                    names.insert(prefixed(self.entries[earlier].name));
                    if !known {
                        pending.push(earlier);
                    }
                    Reference::Prefixed
                } else if self.may_bring(name) {
                    collected.brought.insert(name);
                    Reference::Prefixed
                } else {
                    kept_or_escaped(name)
                }
            });
            if let Some((_, copy)) = collected.entries.get_mut(&index) {
                *copy = Some(value);
            }
            if collected.entries.len() + collected.brought.len() > COPIES_MAX {
                return Err(self.too_many());
            }
        }
        Ok(collected)
    }

    /// Positions of all entries by name, in their order, without those that are removed from the agent container.
    fn all_positions(&self) -> BTreeMap<&'a str, Vec<usize>> {
        let mut positions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            if !contract::SECRET_VARIABLES.contains(&entry.name) {
                positions.entry(entry.name).or_default().push(index);
            }
        }
        positions
    }

    fn copy(&self, index: usize, target: &str, value: Option<&str>) -> EnvVar<'a> {
        let mut entry = self.entries[index].object.clone();
        entry.insert("name".to_owned(), target.into());
        if let Some(value) = value {
            entry.insert("value".to_owned(), value.into());
        }
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
        EnvVar::Copy(entry)
    }

    fn too_many(&self) -> Denial {
        self.too_large(&format!("refer to more than {COPIES_MAX} other variables"))
    }

    fn too_long(&self) -> Denial {
        self.too_large(&format!(
            "have, with what they refer to, more than {} KiB",
            COPIES_BYTES_MAX / 1024
        ))
    }

    fn too_large(&self, what: &str) -> Denial {
        Denial::new(
            DenyReason::PatchTooLarge,
            format!(
                "the variables of container {} for organization URL, pool, agent name and proxies {what}, and the sidecar \
                 would get a copy of all of that; set them to plain values",
                quote(self.container)
            ),
        )
    }
}

fn prefixed<'a>(name: &str) -> Cow<'a, str> {
    format!("{PREFIX}{name}").into()
}

/// A reference that nothing in the agent container resolves: the kubelet looks for a variable of a Service, which is the same
/// in every container of the pod, and otherwise leaves the text. So does a name that only the sidecar has.
fn kept_or_escaped(name: &str) -> Reference {
    if contract::is_sidecar_variable(name) {
        Reference::Escaped
    } else {
        Reference::Kept
    }
}

/// Length of the value's JSON form, if it is not above `most`. Nothing is written.
fn json_bytes(value: &impl serde::Serialize, most: usize) -> Option<usize> {
    struct Count {
        left: usize,
    }
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.left = self
                .left
                .checked_sub(bytes.len())
                .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count { left: most };
    serde_json::to_writer(&mut count, value).ok()?;
    Some(most - count.left)
}

#[cfg(test)]
mod tests;
