//! Parses the responses of Azure DevOps.

use super::failure::{self, failure, garbled};
use super::{AdoError, AdoErrorKind, AdoRequest, AdoResponse, Agent, AgentId, PoolId, Shortlist, same_name};
use crate::ServerTime;
use crate::http::{Flow, Keep, Reader, Response, Wanted};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;

/// Agents of one name that are kept. A pool has at most one.
const NAMESAKES: usize = 8;

const POOLS: Keep = Keep::Object(&[(
    "value",
    Keep::Each(&Keep::Object(&[("id", Keep::Scalar), ("name", Keep::Scalar)])),
)]);
const AGENTS: Keep = Keep::Object(&[("value", Keep::Each(&AGENT))]);
const AGENT: Keep = Keep::Object(&[
    ("id", Keep::Scalar),
    ("name", Keep::Scalar),
    ("createdOn", Keep::Scalar),
    ("enabled", Keep::Scalar),
    ("status", Keep::Scalar),
    // Only its presence matters.
    ("assignedRequest", NOTHING),
    // An agent may publish any number of them.
    (
        "systemCapabilities",
        Keep::Object(&[(contract::OWNER_VARIABLE, Keep::Foreign)]),
    ),
]);
const VERDICT: Keep = Keep::Object(&[("value", Keep::Scalar)]);
const NOTHING: Keep = Keep::Object(&[]);

/// A list whose elements were handed over one by one.
#[derive(Deserialize)]
struct List {
    #[serde(rename = "value")]
    _value: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Pool {
    id: i64,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAgent {
    id: i64,
    #[serde(default)]
    name: String,
    created_on: Option<String>,
    enabled: Option<bool>,
    status: Option<String>,
    assigned_request: Option<IgnoredAny>,
    system_capabilities: Option<BTreeMap<String, Value>>,
}

/// Reads the response to a request while it arrives.
#[derive(Debug)]
pub struct AdoReader<'a> {
    request: &'a AdoRequest,
    reading: Reading,
    reader: Reader,
}

impl<'a> AdoReader<'a> {
    /// Takes the head of the response; `received` is the client's time.
    pub fn new(request: &'a AdoRequest, status: StatusCode, headers: HeaderMap, received: ServerTime) -> Self {
        let reading = Reading::new(request);
        // Of a success, what was asked for; of anything else, what went wrong.
        let wanted = Wanted {
            keep: if is_success(status) {
                reading.keep()
            } else {
                &failure::BODY
            },
            secret: false,
        };
        Self {
            request,
            reading,
            reader: Reader::new(status, headers, received, wanted),
        }
    }

    /// Reads the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) -> Flow {
        self.reader.push(piece, &mut |element| self.reading.element(element))
    }

    /// The parsed response, and its head.
    pub fn finish(self) -> (Result<AdoResponse, AdoError>, Response) {
        let response = self.reader.finish();
        (read(self.request, &response, self.reading), response)
    }
}

/// The state of parsing, by request.
#[derive(Debug)]
enum Reading {
    /// The pool of this name; the server's own filter may be wider.
    Pool { name: String, found: Option<PoolId> },
    /// A boolean, bare or wrapped as `{"value": …}`.
    Verdict,
    /// Agents of this name; the filter may be wider here, too. With capabilities and assigned requests.
    Named { name: String, agents: Vec<Agent> },
    /// Agents that may be ours, without capabilities and assigned requests.
    Listed(Shortlist),
    /// One agent, with capabilities and assigned request.
    Agent,
    /// Only success or failure matters.
    Nothing,
}

impl Reading {
    fn new(question: &AdoRequest) -> Self {
        match question {
            AdoRequest::PoolByName(name) => Self::Pool {
                name: name.clone(),
                found: None,
            },
            AdoRequest::MayManage(_) => Self::Verdict,
            AdoRequest::AgentByName(_, name) => Self::Named {
                name: name.clone(),
                agents: Vec::new(),
            },
            AdoRequest::Agents(_, criteria) => Self::Listed(Shortlist::new(criteria.clone())),
            AdoRequest::Agent(..) => Self::Agent,
            AdoRequest::Tenant | AdoRequest::SetAvailability(..) | AdoRequest::Delete(..) => Self::Nothing,
        }
    }

    /// What to keep of the body.
    fn keep(&self) -> &'static Keep {
        match self {
            Self::Pool { .. } => &POOLS,
            Self::Verdict => &VERDICT,
            Self::Named { .. } | Self::Listed(_) => &AGENTS,
            Self::Agent => &AGENT,
            Self::Nothing => &NOTHING,
        }
    }

    /// Parses an element of a list; false if it has an unexpected shape.
    fn element(&mut self, json: &[u8]) -> bool {
        match self {
            Self::Pool { name, found } => {
                let Ok(pool) = serde_json::from_slice::<Pool>(json) else {
                    return false;
                };
                if found.is_none() && same_name(&pool.name, name) {
                    *found = Some(PoolId(pool.id));
                }
            }
            Self::Named { name, agents } => {
                let Ok(agent) = serde_json::from_slice::<RawAgent>(json) else {
                    return false;
                };
                if agents.len() < NAMESAKES && same_name(&agent.name, name) {
                    agents.push(agent.read(Detail::Full));
                }
            }
            Self::Listed(shortlist) => {
                let Ok(agent) = serde_json::from_slice::<RawAgent>(json) else {
                    return false;
                };
                shortlist.offer(agent.read(Detail::Brief));
            }
            Self::Verdict | Self::Agent | Self::Nothing => {}
        }
        true
    }

    /// The response, if it has the expected shape.
    fn answer(self, answer: &Response) -> Option<AdoResponse> {
        match self {
            Self::Pool { found, .. } => answer.json::<List>().map(|_| AdoResponse::Pool(found)),
            Self::Verdict => match answer.json()? {
                Value::Bool(verdict) => Some(AdoResponse::MayManage(verdict)),
                Value::Object(object) => object.get("value")?.as_bool().map(AdoResponse::MayManage),
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
            },
            Self::Named { agents, .. } => answer.json::<List>().map(|_| AdoResponse::Agents(agents)),
            Self::Listed(shortlist) => answer.json::<List>().map(|_| AdoResponse::Shortlist(shortlist)),
            Self::Agent => Some(AdoResponse::Agents(vec![answer.json::<RawAgent>()?.read(Detail::Full)])),
            Self::Nothing => Some(AdoResponse::Done),
        }
    }
}

/// What the request asked for of each agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Also capabilities and the assigned request.
    Full,
    /// Neither.
    Brief,
}

impl RawAgent {
    fn read(self, detail: Detail) -> Agent {
        let owner = self.system_capabilities.and_then(|mut capabilities| {
            match capabilities.remove(contract::OWNER_VARIABLE)? {
                Value::String(owner) => Some(owner),
                // Not a string, so not a marker of ours.
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) | Value::Null => {
                    Some(String::new())
                }
            }
        });
        Agent {
            id: AgentId(self.id),
            name: self.name,
            created: self.created_on.as_deref().and_then(ServerTime::rfc3339),
            enabled: self.enabled.unwrap_or(true),
            online: self.status.is_some_and(|status| status.eq_ignore_ascii_case("online")),
            assigned: (detail == Detail::Full).then_some(self.assigned_request.is_some()),
            owner,
        }
    }
}

/// Azure DevOps answers 203 with its sign-in page where it does not accept the token.
fn is_success(status: StatusCode) -> bool {
    status.is_success() && status != StatusCode::NON_AUTHORITATIVE_INFORMATION
}

fn read(question: &AdoRequest, answer: &Response, reading: Reading) -> Result<AdoResponse, AdoError> {
    if *question == AdoRequest::Tenant {
        return tenant(answer);
    }
    let changed = matches!(question, AdoRequest::SetAvailability(..) | AdoRequest::Delete(..));
    // An HTML page never confirms a change; an empty body may.
    let fits = answer.is_json() || changed && (answer.status == StatusCode::NO_CONTENT || answer.beginning.is_empty());
    if !is_success(answer.status) || !fits {
        return Err(failure(answer));
    }
    if changed {
        return Ok(AdoResponse::Done);
    }
    reading.answer(answer).ok_or_else(|| garbled(answer))
}

/// The tenant that the organization trusts, from whatever an unauthenticated request is answered with.
fn tenant(answer: &Response) -> Result<AdoResponse, AdoError> {
    let tenant = failure::tenant(answer);
    let failed = failure(answer);
    match failed.kind {
        _ if tenant.is_some() => Ok(AdoResponse::Tenant(tenant)),
        AdoErrorKind::Unauthorized | AdoErrorKind::IdentityUnknown | AdoErrorKind::Forbidden => {
            Ok(AdoResponse::Tenant(None))
        }
        AdoErrorKind::Unreachable
        | AdoErrorKind::UnexpectedResponse
        | AdoErrorKind::Unavailable
        | AdoErrorKind::Throttled
        | AdoErrorKind::NotFound
        | AdoErrorKind::JobRunning
        | AdoErrorKind::Refused => Err(failed),
    }
}

#[cfg(test)]
mod tests;
