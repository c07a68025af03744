//! What a fault does to a request, as far as that needs no knowledge of the service.

use super::Fault;
use crate::http::{Answer, Pace, Reply};
use std::time::Duration;

/// What can be said about a fault without knowing the service.
pub(crate) enum Effect {
    /// The request is not looked at.
    Instead(Answer),
    /// The request is served, then the answer is changed.
    Afterwards,
    /// The service itself knows what to do.
    Service,
}

impl Fault {
    pub(crate) fn effect(&self) -> Effect {
        let reply = match self {
            Self::Reset => return Effect::Instead(Answer::Reset),
            Self::Hang => return Effect::Instead(Answer::Hang),
            Self::ResetAfter
            | Self::Delay { .. }
            | Self::SlowBody { .. }
            | Self::Truncate
            | Self::Garbage
            | Self::Flood { .. }
            | Self::RetryAfterOnSuccess { .. } => return Effect::Afterwards,
            Self::Status { status } => Reply::html(
                *status,
                format!("<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>gateway</body></html>"),
            ),
            Self::ProxyPage => Reply::html(
                200,
                "<html><head><title>Access blocked</title></head><body>This site is blocked by your organization's proxy.</body></html>",
            ),
            Self::Redirect { status, location } => Reply::empty(*status).with("location", location),
            Self::Throttle { .. }
            | Self::SignInPage
            | Self::SignInRedirect
            | Self::Unauthorized
            | Self::IdentityUnknown
            | Self::AccessDenied
            | Self::PoolMissing
            | Self::AgentExists
            | Self::JobStillRunning
            | Self::WithoutAuthorization
            | Self::EntitlementRefused
            | Self::Aadsts { .. }
            | Self::ConcurrentWrite => return Effect::Service,
        };
        Effect::Instead(reply.into())
    }

    /// Changes the right answer.
    pub(crate) async fn change(&self, answer: Answer) -> Answer {
        let Answer::Reply(mut reply) = answer else {
            return answer;
        };
        match self {
            Self::ResetAfter => return Answer::Reset,
            Self::Delay { millis } => tokio::time::sleep(Duration::from_millis(*millis)).await,
            Self::SlowBody { millis } => reply.pace = Pace::Slow(Duration::from_millis(*millis)),
            Self::Truncate => reply.pace = Pace::Truncated,
            Self::Garbage => reply.body = "{\"count\": 1, \"value\": [{\"id\": ".into(),
            Self::Flood { of } => of.change(&mut reply),
            Self::RetryAfterOnSuccess { seconds } => reply = reply.with("retry-after", seconds.to_string()),
            Self::Reset
            | Self::Hang
            | Self::Status { .. }
            | Self::Throttle { .. }
            | Self::ProxyPage
            | Self::SignInPage
            | Self::SignInRedirect
            | Self::Redirect { .. }
            | Self::Unauthorized
            | Self::IdentityUnknown
            | Self::AccessDenied
            | Self::PoolMissing
            | Self::AgentExists
            | Self::JobStillRunning
            | Self::WithoutAuthorization
            | Self::EntitlementRefused
            | Self::Aadsts { .. }
            | Self::ConcurrentWrite => {}
        }
        reply.into()
    }
}
