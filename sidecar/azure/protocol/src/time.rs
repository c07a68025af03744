//! Points in time by the server's clock.

/// A point in time by the server's clock: seconds since 1970-01-01T00:00:00Z, as in `Date` headers and `createdOn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(pub i64);
