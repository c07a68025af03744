//! What Azure DevOps' answers look like, as far as we read them.

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
    // Only whether there is one counts.
    ("assignedRequest", NOTHING),
    // Whoever holds the agent's key chooses how many there are.
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
    /// The head of the response is there; `received` is now, by the client's clock.
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

    /// What the response means, and its head.
    pub fn finish(self) -> (Result<AdoResponse, AdoError>, Response) {
        let response = self.reader.finish();
        (read(self.request, &response, self.reading), response)
    }
}

/// What the answer to a question is read into while it arrives.
#[derive(Debug)]
enum Reading {
    /// The pool of this name; the server's own filter may be wider.
    Pool { name: String, found: Option<PoolId> },
    /// A boolean, bare or wrapped as `{"value": …}`.
    Verdict,
    /// Agents of this name; likewise. With capabilities and assigned requests.
    Named { name: String, agents: Vec<Agent> },
    /// Agents that may be ours. Without these.
    Listed(Shortlist),
    /// One agent. With these.
    Agent,
    /// Only whether it succeeded counts.
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

    /// What of the answer is kept.
    fn keep(&self) -> &'static Keep {
        match self {
            Self::Pool { .. } => &POOLS,
            Self::Verdict => &VERDICT,
            Self::Named { .. } | Self::Listed(_) => &AGENTS,
            Self::Agent => &AGENT,
            Self::Nothing => &NOTHING,
        }
    }

    /// Takes an element of a list; false where it has not the right shape.
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
                    agents.push(agent.read(true));
                }
            }
            Self::Listed(shortlist) => {
                let Ok(agent) = serde_json::from_slice::<RawAgent>(json) else {
                    return false;
                };
                shortlist.offer(agent.read(false));
            }
            Self::Verdict | Self::Agent | Self::Nothing => {}
        }
        true
    }

    /// What was answered, if it has the right shape.
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
            Self::Agent => Some(AdoResponse::Agents(vec![answer.json::<RawAgent>()?.read(true)])),
            Self::Nothing => Some(AdoResponse::Done),
        }
    }
}

impl RawAgent {
    /// `whole` where capabilities and assigned requests were asked for.
    fn read(self, whole: bool) -> Agent {
        let owner = self.system_capabilities.and_then(|mut capabilities| {
            match capabilities.remove(contract::OWNER_VARIABLE)? {
                Value::String(owner) => Some(owner),
                // Something stands there, and it is not our marker.
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
            assigned: whole.then_some(self.assigned_request.is_some()),
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
    // A page is never the answer to a change; no content may be.
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
mod tests {
    use super::*;
    use crate::Criteria;
    use serde_json::json;

    const POOL: PoolId = PoolId(1);

    fn read(question: &AdoRequest, body: &str) -> Option<AdoResponse> {
        let mut reading = Reading::new(question);
        let answer = Response::of_json(StatusCode::OK, reading.keep(), body, &mut |element| {
            reading.element(element)
        });
        reading.answer(&answer)
    }

    #[test]
    fn a_pool_is_found_by_its_whole_name_whatever_the_case() {
        let list = json!({"count": 2, "value": [{"id": 1, "name": "linux-2"}, {"id": 2, "name": "Linux"}]}).to_string();
        assert_eq!(
            read(&AdoRequest::PoolByName("linux".into()), &list),
            Some(AdoResponse::Pool(Some(PoolId(2))))
        );
        assert_eq!(
            read(&AdoRequest::PoolByName("linux".into()), r#"{"value": []}"#),
            Some(AdoResponse::Pool(None))
        );
        for odd in [
            "[]",
            "{}",
            r#"{"value": {}}"#,
            r#"{"value": [{"name": "linux"}]}"#,
            r#"{"value": [7]}"#,
        ] {
            assert_eq!(read(&AdoRequest::PoolByName("linux".into()), odd), None, "{odd}");
        }
    }

    #[test]
    fn a_verdict_is_a_boolean_bare_or_wrapped() {
        let read = |body| read(&AdoRequest::MayManage(POOL), body);
        assert_eq!(read("true"), Some(AdoResponse::MayManage(true)));
        assert_eq!(read(r#"{"value": false}"#), Some(AdoResponse::MayManage(false)));
        for other in ["null", "\"true\"", "{}", "[true]", "<html>", "truest", ""] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn an_agent_is_read_with_what_was_asked_for() {
        let raw = json!({
            "id": 7, "name": "p-0", "createdOn": "1994-11-06T08:49:37.123Z", "enabled": false, "status": "Online",
            "assignedRequest": {"requestId": 3, "demands": []}, "systemCapabilities": {"ADO_AGENT_OWNER": "me", "PATH": "/"},
        });
        let expected = Agent {
            id: AgentId(7),
            name: "p-0".into(),
            created: Some(ServerTime(784_111_777)),
            enabled: false,
            online: true,
            assigned: Some(true),
            owner: Some("me".into()),
        };
        let one = AdoRequest::Agent(POOL, AgentId(7));
        assert_eq!(
            read(&one, &raw.to_string()),
            Some(AdoResponse::Agents(vec![expected.clone()]))
        );
        let by_name = AdoRequest::AgentByName(POOL, "P-0".into());
        let list = json!({"value": [{"id": 8, "name": "p-00"}, raw]}).to_string();
        assert_eq!(read(&by_name, &list), Some(AdoResponse::Agents(vec![expected])));
        assert_eq!(read(&by_name, "[{\"id\": 7}]"), None, "a bare array is not a list");
        let criteria = Criteria {
            agent_name: "p-0".into(),
            pod_name: String::new(),
            started: None,
            seen: Vec::new(),
            most: 3,
        };
        let mut shortlist = Shortlist::new(criteria.clone());
        shortlist.offer(Agent {
            id: AgentId(7),
            name: "p-0".into(),
            created: None,
            enabled: true,
            online: false,
            assigned: None,
            owner: None,
        });
        let listed = read(
            &AdoRequest::Agents(POOL, criteria),
            r#"{"value": [{"id": 7, "name": "p-0", "assignedRequest": null}]}"#,
        );
        assert_eq!(listed, Some(AdoResponse::Shortlist(shortlist)));
    }

    #[test]
    fn a_marker_is_read_among_any_number_of_capabilities_and_may_not_be_hidden_by_its_size() {
        let one = AdoRequest::Agent(POOL, AgentId(7));
        let owner = |capabilities: Value| {
            let raw = json!({"id": 7, "systemCapabilities": capabilities}).to_string();
            match read(&one, &raw) {
                Some(AdoResponse::Agents(agents)) => agents[0].owner.clone(),
                other => panic!("{other:?}"),
            }
        };
        let many = (0..100_000).map(|number| (format!("K{number}"), json!("v")));
        let many: serde_json::Map<_, _> = many.chain([("ADO_AGENT_OWNER".to_owned(), json!("me"))]).collect();
        assert_eq!(owner(Value::Object(many)).as_deref(), Some("me"));
        assert_eq!(
            owner(json!({"K": "x".repeat(1 << 20), "ADO_AGENT_OWNER": "me"})).as_deref(),
            Some("me")
        );
        // Not as if there were none.
        for odd in [json!("x".repeat(1 << 20)), json!(7), json!(null), json!({"a": "me"})] {
            assert_eq!(owner(json!({"ADO_AGENT_OWNER": odd})).as_deref(), Some(""));
        }
        assert_eq!(owner(json!({"PATH": "/"})), None);
        assert_eq!(owner(json!(null)), None);
    }
}
