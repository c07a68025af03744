//! Every response as it is, and as it should not be.

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
fn a_permission_is_a_boolean_bare_or_wrapped() {
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
