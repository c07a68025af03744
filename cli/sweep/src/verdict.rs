//! What a run says of an agent.

use azure_protocol::{AgentId, PoolId, ServerTime};

/// A pod, as a marker or the ledger names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// ID of the cluster.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// What is said of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its pool.
    pub pool: PoolId,
    /// Its ID.
    pub agent: AgentId,
    /// Its name.
    pub name: String,
    /// Its pod.
    pub pod: PodRef,
    /// Since when it is online or offline.
    pub status_changed: Option<ServerTime>,
    /// What is done.
    pub decision: Decision,
}

/// What is done about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It would be removed (dry run).
    WouldRemove,
    /// It was removed.
    Removed,
    /// Somebody else removed it right before.
    AlreadyGone,
    /// It stays, for now or forever.
    Kept(Kept),
    /// It is online, of our cluster and namespace, and neither the API server nor the ledger knows its pod: two clusters have one
    /// ID, or a job forged its marker. Nothing of this namespace is removed.
    Clash,
    /// Its pod is gone and was never seen: nothing proves whose it is, so a person has to remove it.
    Unknown,
    /// Azure DevOps did not remove it.
    Failed(String),
}

/// Why an agent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    /// It only holds a place.
    Placeholder,
    /// A job is assigned to it.
    Busy,
    /// It came online again.
    Online,
    /// Another agent has its ID now, or it is another pod's now.
    Replaced,
    /// The service did not say since when it is offline.
    NoTime,
    /// It is not offline for long enough.
    Young,
    /// It was not seen twice yet.
    SeenOnce,
    /// Its pod is there.
    PodExists,
    /// The run has removed as many as it may.
    Limit,
    /// See [`Decision::Clash`].
    Clash,
    /// Not every agent that is online has been looked at yet, so that a clash could be hidden.
    Unread,
    /// The run was stopped by an answer that it did not understand.
    Stopped,
}

impl Decision {
    /// One word that never changes, for metrics, JSON and searching.
    pub fn word(&self) -> &'static str {
        match self {
            Self::WouldRemove => "would-remove",
            Self::Removed => "removed",
            Self::AlreadyGone => "already-gone",
            Self::Kept(kept) => kept.word(),
            Self::Clash => "clash",
            Self::Unknown => "unknown",
            Self::Failed(_) => "failed",
        }
    }

    /// Every word, with what it means.
    pub const WORDS: &'static [(&'static str, &'static str)] = &[
        ("would-remove", "It would be removed; `--delete` does so."),
        ("removed", "It was removed."),
        ("already-gone", "Somebody else removed it right before."),
        ("kept-placeholder", "It stays: it only holds a place in the pool."),
        ("kept-busy", "It stays: a job is assigned to it."),
        ("kept-online", "It stays: it came online again."),
        (
            "kept-replaced",
            "It stays: another agent has its ID now, or it is another pod's now.",
        ),
        (
            "kept-no-time",
            "It stays: Azure DevOps did not say since when it is offline.",
        ),
        ("kept-young", "It stays for now: it is not offline for long enough."),
        ("kept-seen-once", "It stays for now: it has to be seen twice."),
        ("kept-pod-exists", "It stays: its pod is there."),
        ("kept-limit", "It stays for now: the run has removed as many as it may."),
        (
            "kept-clash",
            "It stays: an agent of its cluster and namespace is online whose pod nobody knows (`clash`).",
        ),
        (
            "kept-unread",
            "It stays for now: not every agent that is online was looked at yet.",
        ),
        (
            "kept-stopped",
            "It stays for now: the run was stopped by an answer that it did not understand.",
        ),
        (
            "clash",
            "It is online and of our cluster and namespace, and nobody knows its pod: two clusters have one ID, or a job forged its marker. Nothing of this namespace is removed while it is there.",
        ),
        (
            "unknown",
            "Its pod is gone and was never seen: a person has to remove it.",
        ),
        ("failed", "Azure DevOps did not remove it."),
    ];
}

impl Kept {
    fn word(self) -> &'static str {
        match self {
            Self::Placeholder => "kept-placeholder",
            Self::Busy => "kept-busy",
            Self::Online => "kept-online",
            Self::Replaced => "kept-replaced",
            Self::NoTime => "kept-no-time",
            Self::Young => "kept-young",
            Self::SeenOnce => "kept-seen-once",
            Self::PodExists => "kept-pod-exists",
            Self::Limit => "kept-limit",
            Self::Clash => "kept-clash",
            Self::Unread => "kept-unread",
            Self::Stopped => "kept-stopped",
        }
    }
}
