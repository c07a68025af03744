//! A pool as it was listed.

use azure_protocol::{AgentId, PoolId, ServerTime};
use contract::Marker;

/// A pool's agents at one moment.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The pool.
    pub pool: PoolId,
    /// `Date` of the response: the server's clock, by which everything is counted.
    pub date: ServerTime,
    /// All its agents.
    pub agents: Vec<Listed>,
}

/// An agent in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// ID.
    pub id: AgentId,
    /// Name.
    pub name: String,
    /// When it was added.
    pub created: Option<ServerTime>,
    /// Whether it has a session.
    pub online: bool,
    /// Whether a job is assigned to it.
    pub busy: bool,
    /// When it last went online or offline.
    pub status_changed: Option<ServerTime>,
    /// Its marker, which was read apart from the list; `None`: it was not read yet.
    pub marker: Option<Result<Marker, contract::Foreign>>,
}

impl Listed {
    /// The marker, where it was read and is one.
    pub fn owner(&self) -> Option<&Marker> {
        self.marker.as_ref()?.as_ref().ok()
    }
}
