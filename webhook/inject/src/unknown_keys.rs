//! Keys under our prefix that this version does not know.
//!
//! They warn and do not deny: a rollback must not block the pods that a newer version allowed.

use crate::pod::Pod;
use crate::text::{cut, nearest, quote};

/// Most keys that are listed and compared with the known ones. A pod may have 100,000.
const LISTED_MAX: usize = 10;
/// The longest key that Kubernetes takes: a DNS subdomain, a slash and a name.
const KEY_BYTES_MAX: usize = 253 + 1 + 63;

/// The unknown keys of a pod.
#[derive(Debug, Default)]
pub(crate) struct UnknownKeys {
    /// The first unknown keys, each with its warning.
    listed: Vec<(String, String)>,
    /// How many more unknown keys there are.
    pub(crate) more: usize,
}

impl UnknownKeys {
    pub(crate) fn find(pod: &Pod<'_>) -> Self {
        let annotations: Vec<&str> = contract::POD_ANNOTATIONS.iter().map(|entry| entry.name).collect();
        let labels: Vec<&str> = contract::LABELS.iter().map(|entry| entry.name).collect();
        let mut found = Self::default();
        for (kind, map, known, other_kind, other) in [
            ("annotation", pod.annotations, &annotations, "a label", &labels),
            ("label", pod.labels, &labels, "an annotation", &annotations),
        ] {
            for key in map.keys() {
                let ours = key.starts_with(contract::PREFIX) && key != contract::STATUS_ANNOTATION;
                if !ours || known.contains(&key) {
                    continue;
                }
                if found.listed.len() == LISTED_MAX {
                    found.more += 1;
                    continue;
                }
                let hint = if other.contains(&key) {
                    format!("; it is {other_kind}")
                } else {
                    let near = nearest(key, known.iter().chain(other).copied());
                    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
                };
                let sentence = format!("unknown {kind} {} is ignored{hint}", quote(key));
                found.listed.push((cut(key, KEY_BYTES_MAX), sentence));
            }
        }
        found
    }

    /// A warning for each that is listed, and one for the others.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let more =
            (self.more > 0).then(|| format!("{} more unknown keys under {} are ignored", self.more, contract::PREFIX));
        self.listed.iter().map(|(_, sentence)| sentence.clone()).chain(more)
    }

    /// The keys that are listed.
    pub(crate) fn into_keys(self) -> Vec<String> {
        self.listed.into_iter().map(|(key, _)| key).collect()
    }
}
