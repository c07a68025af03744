//! Requests with the ticket: an agent is looked up, registered, disabled, removed.

use super::Shared;
use super::memory::{REGISTERED, REGISTRATION, SMALL};
use super::relay::Relay;
use super::service::{Failure, Ours, own, send, send_once};
use azure_protocol::{AdoErrorKind, AdoRequest, AdoResponse, AgentId, PoolId};
use gateway::{Answer, Credential, Encoding, Meant, Reader, Reading, Told};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use lifecycle::{Admission, GatewayEvent, RegistrationFailure};
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take to arrive.
const ARRIVES: Duration = Duration::from_secs(30);
/// How long a lookup may take.
const LOOKUP: Duration = Duration::from_secs(10);

/// Lists this pod's agent, if it has this name, after the machine has admitted the lookup.
pub(super) async fn lookup(shared: &Arc<Shared>, name: Option<String>) -> Response<Relay> {
    if let Some(name) = name.clone() {
        let question = |number| GatewayEvent::RegistrationAsked { number, name };
        if let Admission::Refused(sentence) = shared.ask(question).await {
            return own(gateway::refused(&sentence));
        }
    }
    let open = shared.now();
    let (Some(agent), Some(pool), Some(token)) = (open.gate.own, open.gate.pool, &open.token) else {
        return own(gateway::listed(None));
    };
    let request = AdoRequest::Agent(pool, agent);
    let reply = shared.pod.azure_devops.call(&request, Some(token), LOOKUP).await;
    own(match reply.result {
        Ok(AdoResponse::Agents(agents)) => {
            let mut found = agents.iter();
            gateway::listed(found.find(|agent| name.as_ref().is_none_or(|name| agent.is_named(name))))
        }
        Ok(
            AdoResponse::Tenant(_)
            | AdoResponse::Pool(_)
            | AdoResponse::MayManage(_)
            | AdoResponse::Shortlist(_)
            | AdoResponse::Done,
        ) => gateway::listed(None),
        Err(error) if error.kind == AdoErrorKind::NotFound => gateway::listed(None),
        Err(error) => {
            if let (AdoErrorKind::Unauthorized, Some(token)) = (error.kind, open.gate.token) {
                shared.send_event(GatewayEvent::TokenRejected { token });
            }
            gateway::unavailable(&format!("this pod's agent cannot be looked up: {}", error.detail))
        }
    })
}

/// Registers an agent. Continues when the client disconnects: the machine has to know the result.
pub(super) async fn register(shared: &Arc<Shared>, head: &Parts, body: Incoming, meant: Meant) -> Response<Relay> {
    let mut headers = gateway::onward(&head.headers, Credential::Ticket, Encoding::Plain);
    let shared = Arc::clone(shared);
    // One at a time from here on, so that at most one body is buffered.
    let turn = Arc::clone(&shared.registering).lock_owned().await;
    let body = match whole(body, REGISTRATION).await {
        Ok(body) => body,
        Err(answer) => return own(answer),
    };
    let (Some(name), Ok(body)) = (
        gateway::registration_name(&body),
        gateway::registration_body(&body, meant),
    ) else {
        return own(gateway::refused("a registration is a JSON object with a name"));
    };
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    let version = gateway::version(&head.uri);
    let registered = tokio::spawn(async move {
        let answer = admitted(&shared, headers, version, body, name).await;
        drop(turn);
        answer
    });
    match registered.await {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => own(gateway::unavailable("the sidecar ends")),
        },
    }
}

async fn admitted(
    shared: &Arc<Shared>,
    headers: HeaderMap,
    version: String,
    body: Vec<u8>,
    name: String,
) -> Response<Relay> {
    let question = |number| GatewayEvent::RegistrationBegins { number, name };
    if let Admission::Refused(sentence) = shared.ask(question).await {
        return own(gateway::refused(&sentence));
    }
    let failed = |failure| shared.send_event(GatewayEvent::RegistrationFailed(failure));
    let Some(PoolId(pool)) = shared.now().gate.pool else {
        failed(RegistrationFailure::Refused);
        return own(gateway::refused(&shared.now().gate.sentence));
    };
    let ours = Ours {
        method: Method::POST,
        target: format!("/_apis/distributedtask/pools/{pool}/agents{version}"),
        headers,
        body: Some(body),
    };
    let response = match send_once(shared, &ours).await {
        Ok(response) => response,
        Err(Failure::Refused(answer)) => {
            failed(RegistrationFailure::Refused);
            return own(answer);
        }
        Err(Failure::Unanswered(answer)) => {
            failed(RegistrationFailure::Unanswered);
            return own(answer);
        }
    };
    let (head, body) = response.into_parts();
    let mut reader = Reader::new(Reading::Registration, head.status, &head.headers);
    let Ok(body) = whole(body, REGISTERED).await else {
        failed(RegistrationFailure::Unanswered);
        return own(gateway::unavailable(
            "the answer to the registration did not come to its end",
        ));
    };
    reader.push(&body);
    match reader.finish() {
        Told::Registered { agent, created, name } => {
            let id = agent;
            shared.send_event(GatewayEvent::Registered { id, created, name });
            // Until the machine has noted it, the agent's own requests would not be recognized as this pod's.
            shared.until(LOOKUP, |open| open.gate.own == Some(id)).await;
        }
        Told::RegistrationRefused => failed(RegistrationFailure::Refused),
        Told::RegistrationUnknown
        | Told::Nothing
        | Told::SessionOpened { .. }
        | Told::SessionClosed(_)
        | Told::Polled(_)
        | Told::Working
        | Told::Finished
        | Told::Removed => failed(RegistrationFailure::Unanswered),
    }
    let mut passed = body;
    let change = Reading::Registration.change().filter(|_| head.status.is_success());
    if let Some(mut rewriter) = change.and_then(|change| change.begin(&head.headers, &shared.address)) {
        let mut changed = Vec::with_capacity(passed.len());
        if rewriter.push(&passed, &mut changed).is_ok() && rewriter.finish().is_ok() {
            passed = changed;
        }
    }
    let mut response = Response::new(Relay::whole(passed));
    *response.status_mut() = head.status;
    *response.headers_mut() = gateway::back(&head.headers, Credential::Ticket);
    response
}

/// Removes this pod's agent.
pub(super) async fn unregister(shared: &Arc<Shared>, head: &Parts, agent: AgentId) -> Response<Relay> {
    let response = match about(shared, head, Method::DELETE, agent, None).await {
        Ok(response) => response,
        Err(answer) => return own(answer),
    };
    let (head, body) = response.into_parts();
    let reader = Reader::new(Reading::Removal, head.status, &head.headers);
    if reader.finish() == Told::Removed {
        shared.send_event(GatewayEvent::Unregistered { id: agent });
    }
    let body = match whole(body, SMALL).await {
        Ok(body) => body,
        Err(answer) => return own(answer),
    };
    let mut response = Response::new(Relay::whole(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = gateway::back(&head.headers, Credential::Ticket);
    response
}

/// Disables this pod's agent. Only the machine enables it again: after its one job it must not get another.
pub(super) async fn change(shared: &Arc<Shared>, head: &Parts, body: Incoming, agent: AgentId) -> Response<Relay> {
    let body = match whole(body, SMALL).await {
        Ok(body) => body,
        Err(answer) => return own(answer),
    };
    let Some(changed) = gateway::out_of_service(&body, agent) else {
        return own(gateway::refused(
            "the ticket may take this pod's agent out of service ({\"id\": …, \"enabled\": false}) and change nothing else",
        ));
    };
    let response = match about(shared, head, Method::PATCH, agent, Some(changed.into_bytes())).await {
        Ok(response) => response,
        Err(answer) => return own(answer),
    };
    let (head, body) = response.into_parts();
    let body = match whole(body, REGISTERED).await {
        Ok(body) => body,
        Err(answer) => return own(answer),
    };
    let mut response = Response::new(Relay::whole(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = gateway::back(&head.headers, Credential::Ticket);
    response
}

/// A request about this pod's agent.
async fn about(
    shared: &Arc<Shared>,
    head: &Parts,
    method: Method,
    agent: AgentId,
    body: Option<Vec<u8>>,
) -> Result<Response<Incoming>, Answer> {
    let Some(PoolId(pool)) = shared.now().gate.pool else {
        return Err(gateway::refused(&shared.now().gate.sentence));
    };
    let ours = Ours {
        method,
        target: format!(
            "/_apis/distributedtask/pools/{pool}/agents/{}{}",
            agent.0,
            gateway::version(&head.uri)
        ),
        headers: gateway::onward(&head.headers, Credential::Ticket, Encoding::Plain),
        body,
    };
    send(shared, &ours).await
}

/// The whole body, if it is not longer than this and arrives in time.
async fn whole(body: Incoming, most: usize) -> Result<Vec<u8>, Answer> {
    let collected = tokio::time::timeout(ARRIVES, Limited::new(body, most).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(_)) => Err(gateway::refused(&format!(
            "a body of at most {most} bytes is expected, to its end"
        ))),
        Err(_) => Err(gateway::unavailable("the body did not come to its end in time")),
    }
}
