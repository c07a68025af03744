//! What an answer tells, read while it passes.

use crate::change::Change;
use crate::headers::Encoding;
use azure_protocol::{AgentId, Keep, ServerTime, Sieve};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// What is looked for in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: it passes byte by byte.
    Nothing,
    /// Nothing, but it is changed.
    ConnectionData,
    /// To `POST sessions`.
    SessionOpened,
    /// To `DELETE sessions/{id}`.
    SessionClosed(String),
    /// To `GET messages` of a session.
    Poll(String),
    /// To `PATCH jobrequests/{id}`: a lock renewed, or a job finished.
    Renewal,
    /// To the `POST agents` of a registration.
    Registration,
    /// To the `DELETE agents/{id}` of a removal.
    Removal,
}

/// What an answer told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing that anybody needs to know.
    Nothing,
    /// A session was opened.
    SessionOpened {
        /// Its id.
        session: String,
        /// Whose it is.
        agent: AgentId,
    },
    /// A session was closed, or was closed before.
    SessionClosed(String),
    /// A poll was answered.
    Polled(Found),
    /// A job's lock was renewed: the agent works on it.
    Working,
    /// A job has ended: finished by the listener, or no longer locked for it.
    Finished,
    /// An agent was registered.
    Registered {
        /// Its id.
        agent: AgentId,
        /// When it was created, by the server's clock.
        created: Option<ServerTime>,
        /// Its name.
        name: String,
    },
    /// The agent is removed.
    Removed,
    /// Azure DevOps refused a registration.
    RegistrationRefused,
    /// Azure DevOps did not say whether it registered the agent.
    RegistrationUnknown,
}

/// What the answer to a poll says of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Agent,
    /// Azure DevOps knows no such agent, or no such pool.
    Nothing,
    /// Nothing: the poll failed otherwise.
    Unknown,
}

const SESSION: Keep = Keep::Object(&[
    ("sessionId", Keep::Scalar),
    ("agent", Keep::Object(&[("id", Keep::Scalar)])),
]);
const REQUEST: Keep = Keep::Object(&[("finishTime", Keep::Scalar), ("result", Keep::Scalar)]);
const AGENT: Keep = Keep::Object(&[
    ("id", Keep::Scalar),
    ("name", Keep::Scalar),
    ("createdOn", Keep::Scalar),
]);
const ERROR: Keep = Keep::Object(&[("typeKey", Keep::Scalar), ("typeName", Keep::Scalar)]);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSession {
    session_id: String,
    agent: RawId,
}

#[derive(Deserialize)]
struct RawId {
    id: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAgent {
    id: i64,
    #[serde(default)]
    name: String,
    created_on: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RawError {
    type_key: Option<String>,
    type_name: Option<String>,
}

impl Reading {
    /// How the answer may come.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Nothing | Self::SessionClosed(_) | Self::Removal => Encoding::AsAsked,
            Self::ConnectionData | Self::SessionOpened | Self::Poll(_) | Self::Renewal | Self::Registration => {
                Encoding::Plain
            }
        }
    }

    /// What is changed in a successful answer.
    pub fn change(&self) -> Option<Change> {
        match self {
            Self::ConnectionData => Some(Change::ConnectionData),
            Self::Registration => Some(Change::Registration),
            Self::Nothing
            | Self::SessionOpened
            | Self::SessionClosed(_)
            | Self::Poll(_)
            | Self::Renewal
            | Self::Removal => None,
        }
    }
}

/// Reads one answer.
#[derive(Debug)]
pub struct Reader {
    reading: Reading,
    status: StatusCode,
    sieve: Option<Sieve>,
}

impl Reader {
    /// The head of the answer is there.
    pub fn new(reading: Reading, status: StatusCode, headers: &HeaderMap) -> Self {
        let keep = match (&reading, status.is_success()) {
            (Reading::SessionOpened, true) => Some(&SESSION),
            (Reading::Renewal, true) => Some(&REQUEST),
            (Reading::Registration, true) => Some(&AGENT),
            (Reading::Poll(_), false) => Some(&ERROR),
            _ => None,
        };
        Self {
            reading,
            status,
            sieve: keep.filter(|_| is_json(headers)).map(Sieve::new),
        }
    }

    /// Reads on.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(sieve) = &mut self.sieve
            && sieve.push(piece, &mut |_| true).is_err()
        {
            self.sieve = None;
        }
    }

    /// The answer has come to its end.
    pub fn finish(self) -> Told {
        let json = self.sieve.and_then(|sieve| sieve.finish().ok());
        let json = json.as_ref().map(|json| json.as_slice());
        let (status, is_success) = (self.status, self.status.is_success());
        match self.reading {
            Reading::Nothing | Reading::ConnectionData => Told::Nothing,
            Reading::SessionOpened => match read::<RawSession>(json) {
                Some(session) => Told::SessionOpened {
                    session: session.session_id,
                    agent: AgentId(session.agent.id),
                },
                None => Told::Nothing,
            },
            Reading::SessionClosed(session) if is_success || is_gone(status) => Told::SessionClosed(session),
            Reading::SessionClosed(_) => Told::Nothing,
            Reading::Poll(_) if is_success => Told::Polled(Found::Agent),
            Reading::Poll(_) => {
                let error: RawError = read(json).unwrap_or_default();
                let name = error.type_key.or(error.type_name).unwrap_or_default();
                let is_gone = ["TaskAgentNotFoundException", "TaskAgentPoolNotFoundException"];
                Told::Polled(if is_gone.iter().any(|key| name.contains(key)) {
                    Found::Nothing
                } else {
                    Found::Unknown
                })
            }
            Reading::Renewal if is_success => {
                let members: Option<serde_json::Map<String, serde_json::Value>> = read(json);
                let is_finished = members.is_some_and(|members| members.values().any(|value| !value.is_null()));
                if is_finished { Told::Finished } else { Told::Working }
            }
            // 400 TaskAgentJobTokenExpiredException, 404 TaskAgentJobNotFoundException (`JobDispatcher.cs`).
            Reading::Renewal if status == StatusCode::BAD_REQUEST || is_gone(status) => Told::Finished,
            Reading::Renewal => Told::Nothing,
            Reading::Registration if is_success => match read::<RawAgent>(json) {
                Some(agent) => Told::Registered {
                    agent: AgentId(agent.id),
                    created: agent.created_on.as_deref().and_then(ServerTime::rfc3339),
                    name: agent.name,
                },
                None => Told::RegistrationUnknown,
            },
            Reading::Registration if status.is_server_error() => Told::RegistrationUnknown,
            Reading::Registration => Told::RegistrationRefused,
            Reading::Removal if is_success || is_gone(status) => Told::Removed,
            Reading::Removal => Told::Nothing,
        }
    }
}

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

fn read<T: serde::de::DeserializeOwned>(json: Option<&[u8]>) -> Option<T> {
    serde_json::from_slice(json?).ok()
}

/// Whether the body is JSON that can be read as it comes.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_plain = text(CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    is_plain
        && text(CONTENT_TYPE)
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn told(reading: Reading, status: u16, body: &str) -> Told {
        let kind = HeaderValue::from_static("application/json; charset=utf-8; api-version=7.1");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let mut reader = Reader::new(reading, StatusCode::from_u16(status).expect("a status"), &headers);
        for piece in body.as_bytes().chunks(3) {
            reader.push(piece);
        }
        reader.finish()
    }

    #[test]
    fn sessions_are_of_the_agent_that_the_answer_names() {
        let body = json!({"ownerName": "x", "sessionId": "S", "agent": {"name": "a", "id": 7}}).to_string();
        let opened = Told::SessionOpened {
            session: "S".to_owned(),
            agent: AgentId(7),
        };
        assert_eq!(told(Reading::SessionOpened, 200, &body), opened);
        assert_eq!(told(Reading::SessionOpened, 409, &body), Told::Nothing);
        assert_eq!(told(Reading::SessionOpened, 200, "{}"), Told::Nothing);
        for (status, expected) in [(204, true), (200, true), (404, true), (401, false), (503, false)] {
            let closed = told(Reading::SessionClosed("S".to_owned()), status, "");
            assert_eq!(closed == Told::SessionClosed("S".to_owned()), expected, "{status}");
        }
    }

    #[test]
    fn a_poll_tells_whether_the_agent_is_gone() {
        let error = |key: &str| json!({"message": "x", "typeKey": key}).to_string();
        for (status, body, found) in [
            (404, error("TaskAgentNotFoundException"), Found::Nothing),
            (404, error("TaskAgentPoolNotFoundException"), Found::Nothing),
            (404, error("TaskAgentSessionExpiredException"), Found::Unknown),
            (404, "<html>".to_owned(), Found::Unknown),
            (401, String::new(), Found::Unknown),
            (503, String::new(), Found::Unknown),
            (202, String::new(), Found::Agent),
            (200, error("TaskAgentNotFoundException"), Found::Agent),
        ] {
            let told = told(Reading::Poll("S".to_owned()), status, &body);
            assert_eq!(told, Told::Polled(found), "{status} {body}");
        }
    }

    #[test]
    fn a_renewed_lock_is_work_and_its_refusal_or_a_result_is_the_end() {
        let renewal = |status, body: &str| told(Reading::Renewal, status, body);
        assert_eq!(renewal(200, r#"{"requestId": 3, "lockedUntil": "x"}"#), Told::Working);
        assert_eq!(renewal(200, r#"{"finishTime": null, "result": null}"#), Told::Working);
        assert_eq!(
            renewal(200, r#"{"finishTime": "2026-01-01T00:00:00Z"}"#),
            Told::Finished
        );
        assert_eq!(renewal(200, r#"{"result": "succeeded"}"#), Told::Finished);
        assert_eq!(renewal(400, "{}"), Told::Finished);
        assert_eq!(renewal(404, "{}"), Told::Finished);
        assert_eq!(renewal(401, ""), Told::Nothing);
        assert_eq!(renewal(503, ""), Told::Nothing);
    }

    #[test]
    fn a_registration_is_id_time_and_name_or_not_known() {
        let body =
            json!({"systemCapabilities": {"a": "b"}, "createdOn": "1994-11-06T08:49:37.123Z", "id": 7, "name": "p"});
        let registered = Told::Registered {
            agent: AgentId(7),
            created: Some(ServerTime(784_111_777)),
            name: "p".to_owned(),
        };
        let registration = |status, body: &str| told(Reading::Registration, status, body);
        assert_eq!(registration(200, &body.to_string()), registered);
        assert_eq!(registration(200, &body.to_string()[..40]), Told::RegistrationUnknown);
        assert_eq!(registration(503, ""), Told::RegistrationUnknown);
        assert_eq!(registration(409, "{}"), Told::RegistrationRefused);
        assert_eq!(told(Reading::Removal, 204, ""), Told::Removed);
        assert_eq!(told(Reading::Removal, 404, ""), Told::Removed);
        assert_eq!(told(Reading::Removal, 400, ""), Told::Nothing);
    }
}
