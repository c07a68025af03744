//! Where a request goes: method, path, query and body.

use super::{AdoRequest, AgentId, Availability, PoolId};
use http::Method;
use serde_json::{Value, json};

pub(super) const VERSION: (&str, &str) = ("api-version", "7.1");
/// The permission "Manage" of a pool, in `…/pools/{id}/permissions/{bits}`.
const MANAGE: &str = "2";
const CAPABILITIES: (&str, &str) = ("includeCapabilities", "true");
const ASSIGNED_REQUEST: (&str, &str) = ("includeAssignedRequest", "true");

/// A request as parts of HTTP, below `{organization}/_apis/distributedtask`, or below `{organization}/_apis` where it is an
/// operation's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Segments of the path, not escaped yet.
    pub segments: Vec<String>,
    /// Query, not escaped yet.
    pub query: Vec<(&'static str, String)>,
    /// Body, as JSON.
    pub body: Option<Value>,
}

/// Where a request goes (Azure DevOps REST API 7.1, area `distributedtask`).
///
/// ```
/// use azure_protocol::{AdoRequest, route};
///
/// let route = route(&AdoRequest::PoolByName("linux".to_owned()));
/// assert_eq!(route.segments, ["pools"]);
/// assert_eq!(route.query[0], ("poolName", "linux".to_owned()));
/// ```
pub fn route(request: &AdoRequest) -> Route {
    match request {
        AdoRequest::Tenant => get(pools(), &[VERSION]),
        AdoRequest::PoolByName(name) => get(pools(), &[("poolName", name), VERSION]),
        AdoRequest::MayManage(pool) => get(
            [
                pools(),
                vec![pool.0.to_string(), "permissions".to_owned(), MANAGE.to_owned()],
            ]
            .concat(),
            &[("api-version", "7.2-preview.1")],
        ),
        AdoRequest::AgentByName(pool, name) => get(
            agents(*pool),
            &[("agentName", name), CAPABILITIES, ASSIGNED_REQUEST, VERSION],
        ),
        AdoRequest::Agents(pool, _) => get(agents(*pool), &[("includeCapabilities", "false"), VERSION]),
        AdoRequest::Agent(pool, id) => get(agent(*pool, *id), &[CAPABILITIES, ASSIGNED_REQUEST, VERSION]),
        AdoRequest::SetAvailability(pool, id, availability) => Route {
            method: Method::PATCH,
            body: Some(json!({"id": id.0, "enabled": *availability == Availability::Enabled})),
            ..get(agent(*pool, *id), &[VERSION])
        },
        AdoRequest::Delete(pool, id) => Route {
            method: Method::DELETE,
            ..get(agent(*pool, *id), &[VERSION])
        },
    }
}

fn get(segments: Vec<String>, query: &[(&'static str, &str)]) -> Route {
    Route {
        method: Method::GET,
        segments,
        query: query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body: None,
    }
}

fn pools() -> Vec<String> {
    vec!["pools".to_owned()]
}

fn agents(pool: PoolId) -> Vec<String> {
    vec!["pools".to_owned(), pool.0.to_string(), "agents".to_owned()]
}

fn agent(pool: PoolId, agent: AgentId) -> Vec<String> {
    [agents(pool), vec![agent.0.to_string()]].concat()
}
