//! From the head of a request to what is done with it.

use crate::answer;
use crate::reading::Reading;
use crate::table::{self, Onward, Verdict, bad};
use crate::target::Target;
use crate::{Credential, Sessions};
use azure_protocol::{AgentId, PoolId};
use http::header::{AUTHORIZATION, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

/// What the gateway works by at this moment.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The pool of the closed table, once it is known.
    pub pool: Option<PoolId>,
    /// Its name.
    pub pool_name: &'a str,
    /// This pod's agent.
    pub own: Option<AgentId>,
    /// Agents of this pod that are gone.
    pub ended: &'a [AgentId],
    /// Which requests are served at all.
    pub traffic: Traffic,
    /// One sentence about the pod, for refusals.
    pub sentence: &'a str,
    /// Whose sessions are open.
    pub sessions: &'a Sessions,
}

/// Which requests are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// All that the table allows, and all with a credential of their own.
    All,
    /// The pod ends: the listener's polls and the end of its session.
    OnlyPolls,
}

/// Judges a request by its head.
pub fn judge(scope: &Scope<'_>, head: &Parts) -> Verdict {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() || head.method == Method::CONNECT {
        return bad("this is the gateway of one pod's agent, not a proxy");
    }
    if !is_for_us(&head.headers) {
        return bad("the gateway is asked as 127.0.0.1 or localhost only");
    }
    if head.headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return bad("a request has one credential");
    }
    let Some(target) = Target::read(&head.uri) else {
        return bad("the path can be understood in more than one way");
    };
    if is_token_endpoint(&target.segments) {
        return match head.method {
            Method::GET | Method::POST => Verdict::Answer(answer::token()),
            _ => nowhere(),
        };
    }
    let Some((first, target)) = target.below() else {
        return nowhere();
    };
    if !first.eq_ignore_ascii_case(contract::GATEWAY_ORGANIZATION_SEGMENT) {
        return nowhere();
    }
    let credential = Credential::of(&head.headers);
    let passing = pass(scope, &head.method, &target);
    if scope.traffic == Traffic::OnlyPolls && !is_the_listeners(credential, &passing) {
        return Verdict::Answer(answer::refused(&format!("the pod ends: {}", scope.sentence)));
    }
    match credential {
        Credential::Ticket if head.headers.contains_key(TRANSFER_ENCODING) => {
            bad("with the ticket, a request says how long it is (Content-Length)")
        }
        Credential::Ticket => table::judge(scope, &head.method, &target),
        Credential::Other | Credential::None => passing,
    }
}

/// Whether the request names us. Whoever makes a program in the pod ask us under another name wants something else.
fn is_for_us(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost")
}

/// `{tenant}/oauth2/v2.0/token` and the older `{tenant}/oauth2/token` (learn.microsoft.com, Microsoft identity platform), for
/// start scripts that trade a service-account token themselves.
fn is_token_endpoint(segments: &[String]) -> bool {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    matches!(
        segments.as_slice(),
        [_, "oauth2", "v2.0", "token"] | [_, "oauth2", "token"]
    )
}

/// A request with a credential of its own goes on as it is.
fn pass(scope: &Scope<'_>, method: &Method, target: &Target<'_>) -> Verdict {
    let lower: Vec<String> = target.segments.iter().map(|part| part.to_ascii_lowercase()).collect();
    let path: Vec<&str> = lower.iter().map(String::as_str).collect();
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if !known.contains(method) {
        return Verdict::Answer(answer::senseless(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("{method} is no method of Azure DevOps"),
        ));
    }
    let reading = match (method.as_str(), path.as_slice()) {
        ("GET", ["_apis", "connectiondata"]) => {
            // A listener of an agent that is gone would ask for tokens forever (azure-pipelines-agent#374).
            if let (None, Some(ended)) = (scope.own, scope.ended.last()) {
                return Verdict::Answer(answer::agent_not_found(scope.pool.map(|pool| pool.0), *ended));
            }
            Reading::ConnectionData
        }
        (method, ["_apis", "distributedtask", "pools", pool, below @ ..])
            if scope.pool.is_some_and(|own| table::id(pool) == Some(own.0)) =>
        {
            match (method, below) {
                ("POST", ["sessions"]) => Reading::SessionOpened,
                ("DELETE", ["sessions", session]) => Reading::SessionClosed((*session).to_owned()),
                ("GET", ["messages"]) => {
                    let session = target.parameter("sessionId").unwrap_or_default().to_ascii_lowercase();
                    let agent = scope.sessions.agent(&session, scope.own, scope.ended);
                    if let Some(agent) = agent.filter(|agent| scope.ended.contains(agent)) {
                        let pool = scope.pool.map(|pool| pool.0);
                        return Verdict::Answer(answer::agent_not_found(pool, agent));
                    }
                    Reading::Poll(session)
                }
                ("PATCH", ["jobrequests", _]) => Reading::Renewal,
                _ => Reading::Nothing,
            }
        }
        _ => Reading::Nothing,
    };
    Verdict::Onward(Onward {
        method: method.clone(),
        target: target.as_sent(),
        reading,
        with_body: true,
    })
}

/// What is served to the end: polls, and the end of a session.
fn is_the_listeners(credential: Credential, passing: &Verdict) -> bool {
    credential != Credential::Ticket
        && match passing {
            Verdict::Onward(onward) => matches!(onward.reading, Reading::Poll(_) | Reading::SessionClosed(_)),
            // Of an agent that is gone.
            Verdict::Answer(answer) => answer.status == StatusCode::NOT_FOUND,
            Verdict::Hold | Verdict::Lookup(_) | Verdict::Register(_) | Verdict::Unregister(_) | Verdict::Change(_) => {
                false
            }
        }
}

fn nowhere() -> Verdict {
    Verdict::Answer(answer::senseless(
        StatusCode::NOT_FOUND,
        &format!(
            "nothing is here; the organization's address is http://127.0.0.1:PORT/{}",
            contract::GATEWAY_ORGANIZATION_SEGMENT
        ),
    ))
}
