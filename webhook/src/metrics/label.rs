//! The values of labels: closed lists.

/// Where the answer about a ServiceAccount came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// From the watch.
    Cached,
    /// From a read of its own.
    Live,
    /// From a read that found no such account.
    Missing,
    /// From a read of the last seconds that found no client id or no account.
    Remembered,
    /// The API server gave no answer.
    Unreadable,
}

impl Lookup {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Live => "live",
            Self::Missing => "missing",
            Self::Remembered => "remembered",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Of `/mutate`.
    Tls,
    /// Of probes and metrics.
    Plain,
}

impl Port {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Plain => "plain",
        }
    }
}

/// Why the webhook closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closed {
    /// No request came in time.
    NeverAsked,
    /// The head of a request began and did not end.
    SlowHead,
    /// There was no request for long.
    Idle,
    /// The client did not read its answer.
    Unread,
    /// Another one needed its place or its share of the memory.
    Evicted,
    /// It was the newcomer, and every other connection was being answered.
    NoRoom,
}

impl Closed {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NeverAsked => "never-asked",
            Self::SlowHead => "slow-head",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Evicted => "evicted",
            Self::NoRoom => "no-room",
        }
    }
}
