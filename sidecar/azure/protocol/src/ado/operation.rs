//! What operators ask of Azure DevOps. The sidecar's machine knows each of its requests by name ([`super::AdoRequest`]); a
//! program for operators asks many more things, each in one place: a type with its route, its response, and its words.

mod agents;
mod changes;
mod jobs;
mod pools;
mod provisioning;

pub use agents::{FindAgent, GetAgent, Include, ListAgents, TaskAgent};
pub use changes::{AddAgent, AgentDescription, DeleteAgent, ReplaceAgent};
pub use jobs::{JobRequest, ListJobRequests};
pub use pools::{AgentPool, ListPools};
pub use provisioning::{
    AddServicePrincipal, AssignRole, CreatePool, DeletePool, FindPool, License, ListRoles, NewestAgent, PoolRole,
    PoolSettings, RemoveRole, RemoveServicePrincipal, RoleAssignment, ServicePrincipal, ServicePrincipalPage,
    ServicePrincipals,
};

use super::error::TOO_LONG;
use super::failure::{self, failure, garbled};
use super::{AdoError, AdoErrorKind, Route};
use crate::ServerTime;
use crate::http::{Flow, Keep, Reader, Response, Wanted};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Longest response to an operation, in bytes: a list of some fifteen thousand agents without capabilities.
pub const OPERATION_LIMIT: usize = 16 * 1024 * 1024;

const NOTHING: Keep = Keep::Object(&[]);

/// A request to Azure DevOps, and how its response is read.
///
/// ```
/// use azure_protocol::{Endpoint, ListPools, Operation, Service};
///
/// let list = ListPools { name: Some("linux".to_owned()) };
/// let Endpoint { service, route } = list.endpoint();
/// assert_eq!(service, Service::Main);
/// assert_eq!(route.segments, ["distributedtask", "pools"]);
/// assert_eq!(list.read(br#"{"count": 1, "value": [{"id": 7, "name": "linux"}]}"#).expect("pools")[0].id.0, 7);
/// ```
pub trait Operation {
    /// What a successful response says.
    type Output;

    /// One closed word for metrics and logs, such as `list-agents`.
    fn name(&self) -> &'static str;

    /// Where it goes.
    fn endpoint(&self) -> Endpoint;

    /// Reads the body of a successful response, which is empty where the service sends none; `None`: an unknown shape.
    fn read(&self, body: &[u8]) -> Option<Self::Output>;

    /// What is asked for, for a person, after "to": `list the agents of the pool`.
    fn action(&self) -> String;

    /// What does not exist where the service answers 404.
    fn subject(&self) -> Subject;

    /// What the identity lacks where the service answers 403.
    fn right(&self) -> Right;
}

/// Which of an organization's hosts serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `dev.azure.com`: pools, agents, jobs, roles.
    Main,
    /// `vsaex.dev.azure.com`: users and their access levels.
    Entitlements,
}

/// Where an operation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host.
    pub service: Service,
    /// Method, path, query and body; the segments begin below `{organization}/_apis`.
    pub route: Route,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The organization itself.
    Organization,
    /// A pool, or what is in it.
    Pool,
}

/// What an identity needs for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Role Reader on the pool.
    Reader,
    /// Role Administrator on the pool.
    PoolAdministrator,
    /// Role Administrator of all agent pools (Organization settings > Agent pools > Security).
    AllPoolsAdministrator,
    /// Member of the group Project Collection Administrators.
    CollectionAdministrator,
}

/// Reads the response to an operation while it arrives.
#[derive(Debug)]
pub struct OperationReader {
    reader: Reader,
    body: Vec<u8>,
    is_success: bool,
    is_too_long: bool,
}

impl OperationReader {
    /// Takes the head of the response; `received` is the client's time.
    pub fn new(status: StatusCode, headers: HeaderMap, received: ServerTime) -> Self {
        // Azure DevOps answers 203 with its sign-in page where it does not accept the token.
        let is_success = status.is_success() && status != StatusCode::NON_AUTHORITATIVE_INFORMATION;
        let wanted = Wanted {
            keep: if is_success { &NOTHING } else { &failure::BODY },
            secret: false,
        };
        Self {
            reader: Reader::new(status, headers, received, wanted),
            body: Vec::new(),
            is_success,
            is_too_long: false,
        }
    }

    /// Reads the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) -> Flow {
        let flow = self.reader.push(piece, &mut |_| true);
        if !self.is_success {
            return flow;
        }
        if self.body.len() + piece.len() > OPERATION_LIMIT {
            self.is_too_long = true;
            self.body = Vec::new();
            return Flow::Enough;
        }
        self.body.extend_from_slice(piece);
        Flow::More
    }

    /// What the response says, and its head.
    pub fn finish<O: Operation>(self, operation: &O) -> (Result<O::Output, AdoError>, Response) {
        let response = self.reader.finish();
        if self.is_too_long {
            let error = AdoError::new(AdoErrorKind::UnexpectedResponse, TOO_LONG);
            return (Err(error), response);
        }
        // An HTML page never confirms anything; an empty body may.
        let fits = self.is_success && (response.is_json() || self.body.is_empty());
        let result = if fits {
            operation.read(&self.body).ok_or_else(|| garbled(&response))
        } else {
            Err(failure(&response))
        };
        (result, response)
    }
}

/// A list as Azure DevOps writes it. One that holds fewer elements than it says is not read.
#[derive(Deserialize)]
struct List<T> {
    count: Option<usize>,
    value: Vec<T>,
}

/// Reads a list; `None` where it is not whole.
pub(super) fn list<T: DeserializeOwned>(body: &[u8]) -> Option<Vec<T>> {
    let list: List<T> = serde_json::from_slice(body).ok()?;
    let whole = list.count.is_none_or(|count| count == list.value.len());
    whole.then_some(list.value)
}

#[cfg(test)]
mod tests;
