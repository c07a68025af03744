//! Values of labels: closed lists.

/// How a ServiceAccount was found, or that it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// In the cache that the watch fills.
    Cached,
    /// Read from the API server.
    Live,
    /// Read from the API server, which has no such account.
    Missing,
    /// A read of the last seconds found no account, or none with a client ID.
    CachedMiss,
    /// The API server did not answer, or refused.
    Unreadable,
}

impl Lookup {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Live => "live",
            Self::Missing => "missing",
            Self::CachedMiss => "cached-miss",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One of the two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Serves `/mutate`.
    Tls,
    /// Serves probes and metrics.
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
    /// No request arrived in time.
    NoRequest,
    /// The head of a request did not arrive completely in time.
    SlowHead,
    /// No further request for too long.
    Idle,
    /// The client did not read the response.
    Unread,
    /// A new connection or another body needed its place or its memory.
    Evicted,
    /// The limit was reached, and every open connection was being answered.
    NoRoom,
}

impl Closed {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoRequest => "no-request",
            Self::SlowHead => "slow-head",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Evicted => "evicted",
            Self::NoRoom => "no-room",
        }
    }
}
