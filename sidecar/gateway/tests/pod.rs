//! A pod with an agent, and requests of its containers.

use azure_protocol::{AgentId, PoolId};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gateway::{Reading, Scope, Sessions, Traffic, Verdict, judge};
use http::Request;
use http::request::Parts;

pub(crate) const POOL: PoolId = PoolId(7);
pub(crate) const OWN: AgentId = AgentId(42);
pub(crate) const ENDED: AgentId = AgentId(41);

/// What the gateway knows of a pod.
pub(crate) struct Pod {
    pub(crate) sessions: Sessions,
    pub(crate) pool: Option<PoolId>,
    pub(crate) own: Option<AgentId>,
    pub(crate) traffic: Traffic,
}

impl Pod {
    pub(crate) fn new() -> Self {
        let mut sessions = Sessions::default();
        sessions.opened("old", ENDED);
        sessions.opened("new", OWN);
        Self {
            sessions,
            pool: Some(POOL),
            own: Some(OWN),
            traffic: Traffic::All,
        }
    }

    pub(crate) fn judge(&self, head: &Parts) -> Verdict {
        let scope = Scope {
            pool: self.pool,
            pool_name: "Linux Pool",
            own: self.own,
            ended: &[ENDED],
            traffic: self.traffic,
            sentence: "all is well",
            sessions: &self.sessions,
        };
        judge(&scope, head)
    }
}

pub(crate) fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:7649");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect(target).into_parts().0
}

pub(crate) fn ticket() -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("VstsAgent:{}", contract::TICKET))
    )
}

/// With the ticket, below the organization.
pub(crate) fn ours(pod: &Pod, method: &str, path: &str) -> Verdict {
    let target = format!("/{}/{path}", contract::GATEWAY_ORGANIZATION_SEGMENT);
    pod.judge(&head(method, &target, &[("authorization", &ticket())]))
}

/// With a credential of its own.
pub(crate) fn theirs(pod: &Pod, method: &str, path: &str) -> Verdict {
    let target = format!("/{}/{path}", contract::GATEWAY_ORGANIZATION_SEGMENT);
    pod.judge(&head(method, &target, &[("authorization", "Bearer own")]))
}

pub(crate) fn status(verdict: &Verdict) -> Option<u16> {
    let Verdict::Answer(answer) = verdict else {
        return None;
    };
    Some(answer.status.as_u16())
}

/// What an answer of the gateway's own says.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    let Verdict::Answer(answer) = verdict else {
        panic!("no answer of its own: {verdict:?}");
    };
    answer.body.clone()
}

pub(crate) fn onward(verdict: &Verdict) -> Option<(&str, &Reading)> {
    let Verdict::Onward(onward) = verdict else {
        return None;
    };
    Some((&onward.target, &onward.reading))
}
