//! The ledger as text, in a fixed number of pieces that each fit into a ConfigMap.

use crate::{Entry, Ledger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many pieces. A pod's is chosen by its UID, so that a change rewrites few.
pub const SHARDS: usize = 4;
/// Longest piece in bytes. A ConfigMap may have 1 MiB.
pub const SHARD_LIMIT: usize = 900_000;
/// Format of the pieces.
const VERSION: u32 = 1;
/// What an entry takes beside its strings: member names, numbers, punctuation.
const OVERHEAD: usize = 320;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    version: u32,
    organization: &'a str,
    entries: BTreeMap<&'a str, &'a Entry>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
    organization: String,
}

#[derive(Deserialize)]
struct Read {
    entries: BTreeMap<String, Entry>,
}

/// Why a ledger cannot be read. It is not guessed what it said: nothing is removed without it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not what this program writes.
    #[error(
        "it is not a ledger ({0}); delete its data to begin anew: agents of pods that are gone by then are only reported"
    )]
    Malformed(String),
    /// Of a later version.
    #[error("a later version of ado-agent wrote it (format {0}, this one reads {VERSION}); run that version")]
    Later(u32),
    /// Of another organization.
    #[error("it is of {0}; give each organization an ado-agent keep and ConfigMaps of its own")]
    OtherOrganization(String),
}

/// The piece of a pod.
pub(crate) fn shard(uid: &str) -> usize {
    // FNV-1a: the same in every version and on every machine.
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    usize::try_from(hash % SHARDS as u64).unwrap_or_default()
}

/// At least what an entry takes as text, whatever becomes of it.
pub(crate) fn size(uid: &str, entry: &Entry) -> usize {
    OVERHEAD + uid.len() + entry.cluster.len() + entry.namespace.len() + entry.pod.len()
}

impl Ledger {
    /// The pieces as text.
    pub fn write(&self) -> [String; SHARDS] {
        std::array::from_fn(|number| {
            let entries = self.entries.iter().filter(|(uid, _)| shard(uid) == number);
            let written = Written {
                version: VERSION,
                organization: &self.organization,
                entries: entries.map(|(uid, entry)| (uid.as_str(), entry)).collect(),
            };
            serde_json::to_string(&written).unwrap_or_default()
        })
    }

    /// Reads the pieces; an empty one holds nothing.
    ///
    /// # Errors
    /// The number of the piece that cannot be read, and why.
    pub fn read(organization: &str, pieces: &[String; SHARDS]) -> Result<Self, (usize, ShardError)> {
        let mut ledger = Self::new(organization);
        for (number, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.trim().is_empty()) {
            let malformed = |error: serde_json::Error| (number, ShardError::Malformed(error.to_string()));
            let head: Version = serde_json::from_str(piece).map_err(malformed)?;
            if head.version != VERSION {
                return Err((number, ShardError::Later(head.version)));
            }
            if !head.organization.eq_ignore_ascii_case(organization) {
                return Err((number, ShardError::OtherOrganization(head.organization)));
            }
            let read: Read = serde_json::from_str(piece).map_err(malformed)?;
            for (uid, entry) in read.entries {
                if shard(&uid) != number {
                    let stray = format!("pod {uid} belongs into another piece");
                    return Err((number, ShardError::Malformed(stray)));
                }
                ledger.sizes[number] += size(&uid, &entry);
                ledger.entries.insert(uid, entry);
            }
        }
        Ok(ledger)
    }
}
