//! What the gateway answers itself, in Azure DevOps' form.
//!
//! Its client library picks an exception by the body: without `typeName` and its assembly an error is a general one, after
//! which a listener polls forever (seen with the library of 2019). The message is shown to the user as it is.

use azure_protocol::{Agent, AgentId};
use http::StatusCode;
use serde_json::{Value, json};

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// JSON; empty where there is nothing to say.
    pub body: String,
}

const AGENTS: &str = "Microsoft.TeamFoundation.DistributedTask.WebApi";
const SERVICES: &str = "Microsoft.VisualStudio.Services.Common";

/// 403 with a sentence that says why: never 401, after which the library drops its credential for good.
pub fn refused(sentence: &str) -> Answer {
    error(StatusCode::FORBIDDEN, AGENTS, "AccessDeniedException", sentence)
}

/// 404 that ends a listener, and tells `config.sh remove` that there is nothing to remove.
pub fn agent_not_found(pool: Option<i64>, agent: AgentId) -> Answer {
    let pool = pool.map_or_else(String::new, |pool| format!(" in pool {pool}"));
    let sentence = format!(
        "No agent found{pool} with identifier {}: this pod's agent was removed.",
        agent.0
    );
    error(StatusCode::NOT_FOUND, AGENTS, "TaskAgentNotFoundException", &sentence)
}

/// 503: the library asks again, three times within a minute.
pub fn unavailable(sentence: &str) -> Answer {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        SERVICES,
        "VssServiceException",
        sentence,
    )
}

/// A request that is none, or one to nowhere.
pub(crate) fn senseless(status: StatusCode, sentence: &str) -> Answer {
    error(status, SERVICES, "VssServiceException", sentence)
}

fn error(status: StatusCode, namespace: &str, key: &str, sentence: &str) -> Answer {
    let body = json!({
        "$id": "1",
        "innerException": null,
        "message": format!("ado-agent-sidecar: {sentence}"),
        "typeName": format!("{namespace}.{key}, {namespace}"),
        "typeKey": key,
        "errorCode": 0,
        "eventId": 3000,
    });
    Answer {
        status,
        body: body.to_string(),
    }
}

/// A list of this pod's agent, or of nothing.
pub fn listed(agent: Option<&Agent>) -> Answer {
    let agents: Vec<Value> = agent
        .map(|agent| {
            json!({
                "id": agent.id.0,
                "name": agent.name,
                "enabled": agent.enabled,
                "status": if agent.online { "online" } else { "offline" },
            })
        })
        .into_iter()
        .collect();
    success(&json!({ "count": agents.len(), "value": agents }))
}

/// The list of services with addresses of their own, empty: a client then finds everything at the gateway, as at a server
/// (azure-devops-node-api `WebApi.ts`, azure-devops-python-api `connection.py`).
pub(crate) fn no_areas() -> Answer {
    success(&json!({ "count": 0, "value": [] }))
}

/// The answer of a token endpoint, with the ticket for a token.
pub(crate) fn token() -> Answer {
    success(&json!({
        "token_type": "Bearer",
        "expires_in": 3599,
        "ext_expires_in": 3599,
        "access_token": contract::TICKET,
    }))
}

/// Nothing more to say.
pub(crate) fn accepted() -> Answer {
    Answer {
        status: StatusCode::NO_CONTENT,
        body: String::new(),
    }
}

fn success(body: &Value) -> Answer {
    Answer {
        status: StatusCode::OK,
        body: body.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_everything_by_which_the_library_knows_them() {
        for (answer, status, key) in [
            (refused("no."), 403, "AccessDeniedException"),
            (agent_not_found(Some(7), AgentId(3)), 404, "TaskAgentNotFoundException"),
            (unavailable("later."), 503, "VssServiceException"),
        ] {
            let body: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!((answer.status.as_u16(), body["typeKey"].as_str()), (status, Some(key)));
            let name = body["typeName"].as_str().expect("a name");
            let (class, assembly) = name.split_once(", ").expect("with its assembly");
            assert_eq!(class, format!("{assembly}.{key}"));
            assert!(
                body["message"].as_str().is_some_and(|message| message.len() > 20),
                "{body}"
            );
        }
    }
}
