//! What Azure DevOps' answers look like, as far as we read them.

use super::same_name;
use crate::times;
use lifecycle::{Agent, AgentId, PoolId};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct List<T> {
    value: Vec<T>,
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
    assigned_request: Option<AnyObject>,
    system_capabilities: Option<BTreeMap<String, Value>>,
}

/// An object of which only the presence counts.
#[derive(Deserialize)]
struct AnyObject {}

/// The pool of this name; the server's own filter may be wider.
pub(super) fn pool(body: &[u8], name: &str) -> Option<Option<PoolId>> {
    let list: List<Pool> = serde_json::from_slice(body).ok()?;
    let pool = list.value.into_iter().find(|pool| same_name(&pool.name, name));
    Some(pool.map(|pool| PoolId(pool.id)))
}

/// A boolean, bare or wrapped as `{"value": …}`.
pub(super) fn verdict(body: &[u8]) -> Option<bool> {
    match serde_json::from_slice(body).ok()? {
        Value::Bool(verdict) => Some(verdict),
        Value::Object(object) => object.get("value")?.as_bool(),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// A list of agents; `whole` where capabilities and assigned requests were asked for.
pub(super) fn agents(body: &[u8], whole: bool) -> Option<Vec<Agent>> {
    let list: List<RawAgent> = serde_json::from_slice(body).ok()?;
    Some(list.value.into_iter().map(|agent| agent.read(whole)).collect())
}

/// One agent, asked for with everything.
pub(super) fn agent(body: &[u8]) -> Option<Agent> {
    serde_json::from_slice::<RawAgent>(body)
        .ok()
        .map(|agent| agent.read(true))
}

impl RawAgent {
    fn read(self, whole: bool) -> Agent {
        let owner = self.system_capabilities.and_then(|mut capabilities| {
            match capabilities.remove(contract::OWNER_VARIABLE)? {
                Value::String(owner) => Some(owner),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
            }
        });
        Agent {
            id: AgentId(self.id),
            name: self.name,
            created: self.created_on.as_deref().and_then(times::rfc3339),
            enabled: self.enabled.unwrap_or(true),
            online: self.status.is_some_and(|status| status.eq_ignore_ascii_case("online")),
            assigned: whole.then_some(self.assigned_request.is_some()),
            owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifecycle::ServerTime;
    use serde_json::json;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn a_pool_is_found_by_its_whole_name_whatever_the_case() {
        let list = bytes(&json!({"count": 2, "value": [{"id": 1, "name": "linux-2"}, {"id": 2, "name": "Linux"}]}));
        assert_eq!(pool(&list, "linux"), Some(Some(PoolId(2))));
        assert_eq!(pool(&list, "lin"), Some(None));
        assert_eq!(pool(b"[]", "linux"), None);
        assert_eq!(pool(b"{}", "linux"), None);
    }

    #[test]
    fn a_verdict_is_a_boolean_bare_or_wrapped() {
        assert_eq!(verdict(b"true"), Some(true));
        assert_eq!(verdict(br#"{"value": false}"#), Some(false));
        for other in ["null", "\"true\"", "{}", "[true]", "<html>"] {
            assert_eq!(verdict(other.as_bytes()), None, "{other}");
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
        assert_eq!(agent(&bytes(&raw)), Some(expected));
        let bare = agents(&bytes(&json!({"value": [{"id": 7, "assignedRequest": null}]})), false).expect("a list");
        assert_eq!((bare[0].assigned, bare[0].created, &bare[0].owner), (None, None, &None));
        assert_eq!(agents(b"[{\"id\": 7}]", true), None, "a bare array is no list");
    }
}
