//! One request: judged, forwarded, answered.

use super::relay::{OpenPoll, Passing, Relay, Watch};
use super::{Opened, Shared, registration, upload};
use azure::{Forwarded, HttpError, OutgoingBody, Secret};
use gateway::{Answer, Credential, Onward, Reader, Reading, Scope, Verdict};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use lifecycle::{Found, GatewayEvent, TokenId, Traffic};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How long a request with the ticket waits for the pool and the token.
const HELD: Duration = Duration::from_secs(60);
/// How long it waits for another token where Azure DevOps did not accept the one it had.
const REFRESHED: Duration = Duration::from_secs(30);
/// How long Azure DevOps may take for the head of an answer: twice as long as it holds polls open.
const HEAD: Duration = Duration::from_secs(100);
/// How long it may take with the ticket.
const HEAD_OF_OURS: Duration = Duration::from_secs(30);

/// Answers a request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Relay> {
    let (head, body) = request.into_parts();
    let mut verdict = judged(&shared, &head);
    if verdict == Verdict::Hold {
        shared
            .until(HELD, |open| is_open(open) || open.gate.traffic == Traffic::OnlyPolls)
            .await;
        verdict = judged(&shared, &head);
    }
    debug!(method = %head.method, path = head.uri.path(), verdict = kind(&verdict), "a request to the gateway");
    match verdict {
        Verdict::Answer(answer) => own(answer),
        Verdict::Hold => own(gateway::refused(&shared.now().gate.sentence)),
        Verdict::Onward(onward) => {
            let credential = Credential::of(&head.headers);
            match credential {
                Credential::Ticket => with_token(&shared, &head, onward).await,
                Credential::Other | Credential::None => pass(&shared, &head, body, onward).await,
            }
        }
        Verdict::Lookup(name) => registration::lookup(&shared, name).await,
        Verdict::Register(meant) => registration::register(&shared, &head, body, meant).await,
        Verdict::Unregister(agent) => registration::unregister(&shared, &head, agent).await,
        Verdict::Change(agent) => registration::change(&shared, &head, body, agent).await,
    }
}

fn judged(shared: &Shared, head: &Parts) -> Verdict {
    let open = shared.open.borrow();
    let gate = &open.gate;
    let scope = Scope {
        pool: gate.pool.filter(|_| is_open(&open)),
        pool_name: &shared.pod.pool,
        own: gate.own,
        ended: &gate.ended,
        traffic: match gate.traffic {
            Traffic::All => gateway::Traffic::All,
            Traffic::OnlyPolls => gateway::Traffic::OnlyPolls,
        },
        sentence: &gate.sentence,
        sessions: &super::lock(&shared.sessions),
    };
    gateway::judge(&scope, head)
}

fn is_open(open: &Opened) -> bool {
    open.gate.pool.is_some() && open.token.is_some()
}

/// Forwards a request that has a credential of its own.
async fn pass(shared: &Arc<Shared>, head: &Parts, body: Incoming, onward: Onward) -> Response<Relay> {
    let credential = Credential::of(&head.headers);
    let mut poll = None;
    let mut watched = None;
    if let Reading::Poll(session) = &onward.reading {
        let gate = shared.now().gate;
        watched = super::lock(&shared.sessions).agent(session, gate.own, &gate.ended);
        poll = watched.map(|agent| OpenPoll::begin(agent, shared));
    }
    let forwarded = Forwarded {
        method: onward.method,
        target: onward.target,
        headers: gateway::onward(&head.headers, credential, onward.reading.encoding()),
        body: if onward.with_body {
            upload::of(body, shared)
        } else {
            upload::none()
        },
    };
    let mut open = shared.open.clone();
    let is_poll = poll.is_some();
    let ends = open.wait_for(|open| match watched {
        Some(agent) => open.gate.ended.contains(&agent),
        None => open.gate.traffic == Traffic::OnlyPolls,
    });
    let sent = tokio::time::timeout(HEAD, shared.pod.forwarder.send(forwarded, None));
    let sent = tokio::select! {
        biased;
        _ = ends => {
            if let (Some(poll), Some(agent)) = (poll, watched) {
                poll.answered(Found::Nothing);
                return own(gateway::agent_not_found(shared.now().gate.pool.map(|pool| pool.0), agent));
            }
            return own(gateway::refused(&format!("the pod ends: {}", shared.now().gate.sentence)));
        }
        sent = sent => sent,
    };
    let response = match sent {
        Ok(Ok(response)) => response,
        failed => {
            if let Some(poll) = poll {
                poll.answered(Found::Unknown);
            }
            let problem = match failed {
                Ok(Err(error)) => error.to_string(),
                Ok(Ok(_)) | Err(_) => format!("no answer within {} s", HEAD.as_secs()),
            };
            debug!(problem, is_poll, "a request was not answered");
            return own(gateway::unavailable(&format!(
                "Azure DevOps cannot be reached: {problem}"
            )));
        }
    };
    relayed(shared, &head.method, credential, onward.reading, response, poll)
}

/// The response that goes back to the client.
fn relayed(
    shared: &Arc<Shared>,
    method: &Method,
    credential: Credential,
    reading: Reading,
    response: Response<Incoming>,
    poll: Option<OpenPoll>,
) -> Response<Relay> {
    let (head, body) = response.into_parts();
    let change = reading.change().filter(|_| head.status.is_success());
    let rewriter = change.and_then(|change| change.begin(&head.headers, &shared.address));
    let watch = Watch {
        reader: Reader::new(reading, head.status, &head.headers),
        poll,
    };
    let mut headers = gateway::back(&head.headers, credential);
    // A response without a body has only a length.
    if let (&Method::HEAD, Some(length)) = (method, head.headers.get(CONTENT_LENGTH)) {
        headers.insert(CONTENT_LENGTH, length.clone());
    }
    let mut response = Response::new(Passing::begin(body, watch, rewriter, shared));
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    response
}

/// Forwards a request of the table with the sidecar's token.
async fn with_token(shared: &Arc<Shared>, head: &Parts, onward: Onward) -> Response<Relay> {
    let headers = gateway::onward(&head.headers, Credential::Ticket, onward.reading.encoding());
    let ours = Ours {
        method: onward.method,
        target: onward.target,
        headers,
        body: None,
    };
    match send(shared, &ours).await {
        Ok(response) => relayed(shared, &head.method, Credential::Ticket, onward.reading, response, None),
        Err(answer) => own(answer),
    }
}

/// A request with the sidecar's token, which can be sent again with another.
pub(super) struct Ours {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

/// Why a request with the sidecar's token has no response that can be passed on.
pub(super) enum Failure {
    /// It was not sent, or Azure DevOps did nothing.
    Refused(Answer),
    /// It was sent, and its result is unknown.
    Unanswered(Answer),
}

impl Failure {
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Refused(answer) | Self::Unanswered(answer) => answer,
        }
    }
}

/// Sends it; where the token is not accepted, once more, then with another one. A client with the ticket never sees a challenge,
/// after which its HTTP library would drop the credential permanently.
pub(super) async fn send_once(shared: &Arc<Shared>, ours: &Ours) -> Result<Response<Incoming>, Failure> {
    let mut rejected: Option<TokenId> = None;
    for attempt in 1..=3 {
        if attempt == 3 {
            if let Some(token) = rejected {
                shared.send_event(GatewayEvent::TokenRejected { token });
            }
            // Without a new one the old one is tried again: it may be accepted by now.
            let is_new = |open: &Opened| open.token.is_some() && open.gate.token != rejected;
            shared.until(REFRESHED, is_new).await;
        }
        let open = shared.now();
        let (Some(token), Some(id)) = (&open.token, open.gate.token) else {
            break;
        };
        let forwarded = Forwarded {
            method: ours.method.clone(),
            target: ours.target.clone(),
            headers: ours.headers.clone(),
            body: body_of(ours),
        };
        let sent = shared.pod.forwarder.send(forwarded, Some(token));
        let response = match tokio::time::timeout(HEAD_OF_OURS, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failure(&error, token)),
            Err(_) => {
                let sentence = format!("Azure DevOps does not answer within {} s", HEAD_OF_OURS.as_secs());
                return Err(Failure::Unanswered(gateway::unavailable(&sentence)));
            }
        };
        if !is_unauthorized(response.status()) {
            return Ok(response);
        }
        debug!(
            token = id.0,
            status = response.status().as_u16(),
            attempt,
            "the token was not accepted"
        );
        rejected = Some(id);
    }
    let sentence = format!(
        "Azure DevOps does not accept the sidecar's token: {}",
        shared.now().gate.sentence
    );
    Err(Failure::Refused(gateway::refused(&sentence)))
}

/// The same where it does not matter whether the request arrived.
pub(super) async fn send(shared: &Arc<Shared>, ours: &Ours) -> Result<Response<Incoming>, Answer> {
    send_once(shared, ours).await.map_err(Failure::answer)
}

fn body_of(ours: &Ours) -> OutgoingBody {
    match &ours.body {
        None => upload::none(),
        Some(body) => upload::whole(body.clone()),
    }
}

fn failure(error: &HttpError, token: &Secret) -> Failure {
    let problem = token.redact(&error.to_string());
    let answer = gateway::unavailable(&format!("Azure DevOps cannot be reached: {problem}"));
    if error.is_before_sending() {
        Failure::Refused(answer)
    } else {
        Failure::Unanswered(answer)
    }
}

/// The ways in which Azure DevOps says that it does not accept a token.
fn is_unauthorized(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::NON_AUTHORITATIVE_INFORMATION
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
    )
}

/// An answer of our own.
pub(super) fn own(answer: Answer) -> Response<Relay> {
    let has_body = !answer.body.is_empty();
    let mut response = Response::new(Relay::whole(answer.body));
    *response.status_mut() = answer.status;
    if has_body {
        let kind = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Answer(_) => "answer",
        Verdict::Hold => "hold",
        Verdict::Onward(_) => "onward",
        Verdict::Lookup(_) => "lookup",
        Verdict::Register(_) => "register",
        Verdict::Unregister(_) => "unregister",
        Verdict::Change(_) => "change",
    }
}
