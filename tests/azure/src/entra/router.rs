//! From a request to the right function: faults, route, headers, record.

use super::errors::Refusal;
use super::token::Endpoint;
use super::{Entra, graph};
use crate::clock::Timestamp;
use crate::faults::{Effect, Fault};
use crate::http::{Answer, Handler, Reply, Request};
use crate::recording::{Authorization, Record};

impl Handler for Entra {
    async fn answer(&self, request: Request) -> Answer {
        let now = self.clock().now();
        let fault = self.faults().strike(&request.method, &request.segments);
        let mut identity = None;
        let (mut answer, route) = match fault.as_ref().map(Fault::effect) {
            Some(Effect::Instead(answer)) => (answer, "struck by a fault"),
            Some(Effect::Service) => (struck(fault.as_ref(), &request, now), "struck by a fault"),
            Some(Effect::Afterwards) | None => {
                let (reply, route, who) = self.route(&request).await;
                identity = who;
                (reply.into(), route)
            }
        };
        if let Some(fault) = &fault {
            answer = fault.change(answer).await;
        }
        let mut status = 0;
        if let Answer::Reply(reply) = &mut answer {
            status = reply.status;
            decorate(reply, &request, now);
        }
        self.inner.recording.add(Record {
            time: now,
            host: request.host(),
            route,
            status,
            authorization: Authorization::None,
            identity,
            token: None,
            token_age: None,
            user_agent: request.header("user-agent").map(str::to_owned),
            fault,
            method: request.method,
            path: request.path,
            query: request.query,
        });
        answer
    }
}

impl Entra {
    /// The reply, the route's name, and who got a token.
    async fn route(&self, request: &Request) -> (Reply, &'static str, Option<String>) {
        if request.host() == "graph.microsoft.com" || request.segments.first().is_some_and(|first| first == "v1.0") {
            return (self.graph(request), "graph", None);
        }
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [tenant, "oauth2", "v2.0", "token"] => {
                let (reply, who) = self.exchange(tenant, Endpoint::V2, request).await;
                (reply, "POST token", who)
            }
            [tenant, "oauth2", "token"] => {
                let (reply, who) = self.exchange(tenant, Endpoint::V1, request).await;
                (reply, "POST token (v1)", who)
            }
            [_, "discovery", "instance"] => (self.instance_discovery(request), "GET instance discovery", None),
            [tenant, "v2.0", ".well-known", "openid-configuration"] => {
                (self.tenant_discovery(tenant, request), "GET tenant discovery", None)
            }
            [_, "discovery", "v2.0", "keys"] => (self.keys(), "GET keys", None),
            _ => (Reply::html(404, "<html><body>404</body></html>"), "unknown", None),
        }
    }
}

/// The answers of faults that only Entra can word.
fn struck(fault: Option<&Fault>, request: &Request, now: Timestamp) -> Answer {
    let refusal = |code| Refusal {
        code,
        presented: String::new(),
    };
    match fault {
        Some(Fault::Aadsts { code }) => refusal(*code).reply(request, now).into(),
        Some(Fault::Throttle { retry_after }) => {
            let reply = refusal(90055).reply(request, now);
            match retry_after {
                Some(time) => reply.with("retry-after", time.clone()).into(),
                None => reply.into(),
            }
        }
        Some(Fault::ConcurrentWrite) => graph::concurrent_write().into(),
        // A fault of Azure DevOps, put upon the wrong emulator: say so where a test will see it.
        _ => Reply::text(500, "this fault is not one of Entra's").into(),
    }
}

/// Headers of every answer.
fn decorate(reply: &mut Reply, request: &Request, now: Timestamp) {
    reply.headers.push(("date", now.http_date()));
    reply.headers.push(("cache-control", "no-store, no-cache".to_owned()));
    reply.headers.push(("x-ms-ests-server", "2.1.0 - emulator".to_owned()));
    if request
        .header("return-client-request-id")
        .is_some_and(|wanted| wanted == "true")
        && let Some(id) = request.header("client-request-id")
    {
        reply.headers.push(("client-request-id", id.to_owned()));
    }
}
