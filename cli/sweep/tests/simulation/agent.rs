//! One agent.

use azure_protocol::ServerTime;
use sweep::Listed;

/// An agent as it is, and as Azure DevOps lists it.
#[derive(Debug, Clone)]
pub(super) struct SimAgent {
    pub(super) listed: Listed,
    /// Number of its pod; `None`: a foreign one.
    pub(super) pod: Option<usize>,
    pub(super) busy_until: i64,
    pub(super) offline_at: i64,
    /// From when on to when it is offline though its pod lives.
    pub(super) blip: (i64, i64),
}

impl SimAgent {
    pub(super) fn advance(&mut self, now: i64) {
        let online = now < self.offline_at && !(self.blip.0..self.blip.1).contains(&now);
        if online != self.listed.online {
            self.listed.online = online;
            self.listed.status_changed = Some(ServerTime(now));
        }
        self.listed.busy = now < self.busy_until;
    }
}
