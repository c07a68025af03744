//! The wall clock, for dates that servers send.

use azure_protocol::ServerTime;
use std::time::SystemTime;

/// Now by this machine's wall clock, which may be wrong.
pub(crate) fn wall_clock() -> ServerTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    ServerTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
