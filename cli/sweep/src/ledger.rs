//! The ledger: which pods were seen, and which agent was seen to be whose.

use crate::{Listing, shards};
use azure_protocol::{AgentId, PoolId, ServerTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far apart the clocks of the API server and of Azure DevOps may be, in seconds.
const SKEW: i64 = 300;
/// How long a pod that is gone stays in the ledger without an agent, in seconds: a registration may have been on its way, and the
/// lists of agents may not have been whole.
const REMEMBERED: i64 = 6 * 3_600;

/// A pod with our sidecar, as the API server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The cluster's ID, as the webhook wrote it into the pod's marker.
    pub cluster: String,
    /// `creationTimestamp`, by the API server's clock.
    pub created: ServerTime,
    /// Whether its agent is to stay in the pool.
    pub placeholder: bool,
    /// Whether anything of it still runs.
    pub life: Life,
}

/// Whether anything of a pod still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It may.
    Lives,
    /// Its phase is Succeeded or Failed: all its containers have ended and none starts again.
    Ended,
}

/// A pod that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The cluster's ID.
    pub cluster: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// When it was created, by the API server's clock.
    #[serde(with = "seconds")]
    pub created: ServerTime,
    /// When it was found to be gone, by Azure DevOps' clock.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_seconds")]
    pub gone: Option<ServerTime>,
    /// Whether its agent is to stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub placeholder: bool,
    /// Its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Registered>,
    /// When the agent was first seen offline after its pod was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_offline: Option<Sighting>,
}

/// An agent that was seen to be a pod's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// ID of its pool.
    #[serde(with = "pool_id")]
    pub pool: PoolId,
    /// Its ID.
    #[serde(with = "agent_id")]
    pub id: AgentId,
    /// When it was added.
    #[serde(with = "seconds")]
    pub created: ServerTime,
}

/// An agent was seen offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// When.
    #[serde(with = "seconds")]
    pub at: ServerTime,
    /// Since when it was, as the service said.
    #[serde(with = "seconds")]
    pub status_changed: ServerTime,
}

/// What was seen, for one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) organization: String,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Bytes that each shard would have.
    pub(crate) sizes: [usize; shards::SHARDS],
    /// Pods for which there was no room since this value was made.
    pub(crate) refused: usize,
}

impl Ledger {
    /// An empty one.
    pub fn new(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            entries: BTreeMap::new(),
            sizes: [0; shards::SHARDS],
            refused: 0,
        }
    }

    /// The pods, by UID.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// How many pods found no room.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Remembers the pods. What is known of a pod already stays: the first sight counts.
    pub fn see_pods(&mut self, pods: &[Pod]) {
        for pod in pods {
            match self.entries.get_mut(&pod.uid) {
                Some(entry) => entry.placeholder |= pod.placeholder,
                None => self.insert(
                    &pod.uid,
                    Entry {
                        cluster: pod.cluster.clone(),
                        namespace: pod.namespace.clone(),
                        pod: pod.name.clone(),
                        created: pod.created,
                        gone: None,
                        placeholder: pod.placeholder,
                        agent: None,
                        seen_offline: None,
                    },
                ),
            }
        }
    }

    /// Remembers which agents of a pool are whose: one for a pod, and the first that is seen. Its marker has to name a pod that
    /// was seen, and it has to have been added while that lived.
    pub fn see_agents(&mut self, listing: &Listing) {
        for agent in &listing.agents {
            let (Some(marker), Some(created)) = (agent.owner(), agent.created) else {
                continue;
            };
            let Some(entry) = self.entries.get_mut(&marker.uid) else {
                continue;
            };
            let same =
                entry.cluster == marker.cluster && entry.namespace == marker.namespace && entry.pod == marker.pod;
            let in_time = created.0 >= entry.created.0.saturating_sub(SKEW)
                && entry.gone.is_none_or(|gone| created.0 <= gone.0.saturating_add(SKEW));
            if same && in_time && entry.agent.is_none() {
                entry.agent = Some(Registered {
                    pool: listing.pool,
                    id: agent.id,
                    created,
                });
            }
        }
    }

    /// Forgets pods that are long gone and left no agent.
    pub fn forget(&mut self, now: ServerTime) {
        let over = |entry: &Entry| {
            entry.agent.is_none() && entry.gone.is_some_and(|gone| now.0.saturating_sub(gone.0) > REMEMBERED)
        };
        let forgotten: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| over(entry))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in forgotten {
            self.remove(&uid);
        }
    }

    fn insert(&mut self, uid: &str, entry: Entry) {
        let shard = shards::shard(uid);
        let size = shards::size(uid, &entry);
        if self.sizes[shard] + size > shards::SHARD_LIMIT && !self.make_room(shard) {
            self.refused += 1;
            return;
        }
        self.sizes[shard] += size;
        self.entries.insert(uid.to_owned(), entry);
    }

    /// Drops the pod of a shard that is gone for the longest time and left no agent.
    fn make_room(&mut self, shard: usize) -> bool {
        let oldest = self
            .entries
            .iter()
            .filter(|(uid, entry)| entry.agent.is_none() && entry.gone.is_some() && shards::shard(uid) == shard)
            .min_by_key(|(_, entry)| entry.gone)
            .map(|(uid, _)| uid.clone());
        oldest.is_some_and(|uid| {
            self.remove(&uid);
            true
        })
    }

    fn remove(&mut self, uid: &str) {
        if let Some(entry) = self.entries.remove(uid) {
            self.sizes[shards::shard(uid)] -= shards::size(uid, &entry);
        }
    }
}

macro_rules! as_number {
    ($module:ident, $type:ident) => {
        mod $module {
            use azure_protocol::$type;
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub(super) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                value.0.serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                i64::deserialize(deserializer).map($type)
            }
        }
    };
}

as_number!(seconds, ServerTime);
as_number!(pool_id, PoolId);
as_number!(agent_id, AgentId);

mod maybe_seconds {
    use azure_protocol::ServerTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<ServerTime>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|time| time.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServerTime>, D::Error> {
        Option::<i64>::deserialize(deserializer).map(|seconds| seconds.map(ServerTime))
    }
}
