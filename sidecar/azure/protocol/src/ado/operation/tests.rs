use super::*;
use crate::PoolId;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

fn reply(status: u16, kind: &'static str, body: &[u8]) -> Result<Vec<TaskAgent>, AdoError> {
    let operation = ListAgents {
        pool: PoolId(7),
        include: Include::Assigned,
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut reader = OperationReader::new(StatusCode::from_u16(status).expect("a status"), headers, ServerTime(0));
    for piece in body.chunks(1000) {
        if reader.push(piece) == Flow::Enough {
            break;
        }
    }
    reader.finish(&operation).0
}

const AGENT: &str = r#"{"id": 3, "name": "a", "status": "offline", "enabled": false, "version": "4.1.0",
    "createdOn": "1994-11-06T08:49:37.123Z", "statusChangedOn": "1994-11-06T08:50:37Z",
    "assignedRequest": {"requestId": 9, "jobName": "build", "receiveTime": "1994-11-06T08:50:00Z", "result": null},
    "lastCompletedRequest": {"requestId": 8, "result": 5, "reservedAgent": {"id": 3}},
    "systemCapabilities": {"ADO_AGENT_OWNER": "ado-agent/v1/c/n/p/u", "n": 1}}"#;

#[test]
fn an_agent_is_read_with_everything_that_an_operator_sees() {
    let body = format!(r#"{{"count": 1, "value": [{AGENT}]}}"#);
    let agents = reply(200, "application/json", body.as_bytes()).expect("agents");
    let [agent] = agents.as_slice() else {
        panic!("{agents:?}");
    };
    assert!(!agent.online && !agent.enabled);
    assert_eq!(agent.created, Some(ServerTime(784_111_777)));
    assert_eq!(agent.status_changed, Some(ServerTime(784_111_837)));
    assert_eq!(agent.marker().map(|marker| marker.uid).as_deref(), Some("u"));
    assert_eq!(agent.system_capabilities["n"], "1");
    let assigned = agent.assigned.as_ref().expect("a job");
    assert_eq!(
        (assigned.id, assigned.name.as_str(), &assigned.result),
        (9, "build", &None)
    );
    let last = agent.last_completed.as_ref().expect("a job");
    assert_eq!(last.result.as_deref(), Some("abandoned"));
}

#[test]
fn a_list_that_is_not_whole_is_no_list() {
    use AdoErrorKind::{Throttled, Unauthorized, UnexpectedResponse};
    let whole = format!(r#"{{"count": 1, "value": [{AGENT}]}}"#);
    let half = format!(r#"{{"count": 2, "value": [{AGENT}]}}"#);
    let long = vec![b' '; OPERATION_LIMIT + 1];
    for (status, kind, body, expected) in [
        (200, "application/json", half.as_bytes(), UnexpectedResponse),
        (200, "application/json", &whole.as_bytes()[..100], UnexpectedResponse),
        (200, "application/json", b"", UnexpectedResponse),
        (200, "application/json", b"{}", UnexpectedResponse),
        (
            200,
            "application/json",
            br#"{"value": [{"id": 3}]}"#,
            UnexpectedResponse,
        ),
        (200, "application/json", &long, UnexpectedResponse),
        (200, "text/html", whole.as_bytes(), UnexpectedResponse),
        (200, "text/html", b"<title>Sign In</title>", Unauthorized),
        (203, "application/json", whole.as_bytes(), Unauthorized),
        (429, "application/json", b"{}", Throttled),
    ] {
        let error = reply(status, kind, body).expect_err("an error");
        let beginning = String::from_utf8_lossy(&body[..body.len().min(80)]);
        assert_eq!(error.kind, expected, "{status} {kind} {beginning}: {error:?}");
    }
    assert!(reply(200, "application/json", br#"{"value": []}"#).is_ok_and(|agents| agents.is_empty()));
}

#[test]
fn what_is_added_has_no_key() {
    let description = AgentDescription {
        name: "placeholder".to_owned(),
        version: "4.1.0".to_owned(),
        os: "Linux".to_owned(),
        system_capabilities: [("Agent.OS".to_owned(), "Linux".to_owned())].into(),
        user_capabilities: [].into(),
    };
    let route = AddAgent {
        pool: PoolId(7),
        description,
    }
    .endpoint()
    .route;
    assert_eq!(route.segments, ["distributedtask", "pools", "7", "agents"]);
    let body = route.body.expect("a body");
    assert!(body.get("authorization").is_none());
    assert_eq!(body["systemCapabilities"]["Agent.OS"], "Linux");
}
