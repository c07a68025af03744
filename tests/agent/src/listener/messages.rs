//! The message queue of a session: a poll, and what a message makes the listener do.

use super::{Listener, Running, Session};
use crate::client::Error;
use crate::job::Assignment;
use crate::session::is_final;
use crate::{Code, complain, pause, say};
use reqwest::Method;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a poll came to.
pub(super) enum Polled {
    Message(Value),
    Nothing,
    /// The session expired; a new one is needed.
    Expired,
    /// The listener ends.
    End(Code),
}

/// What is done with a message once it was looked at.
#[derive(PartialEq, Eq)]
pub(super) enum Handled {
    Delete,
    /// Another agent may have it, once this one is gone.
    Leave,
}

impl Listener {
    pub(super) async fn poll(&self, session: &Session, last: Option<i64>) -> Polled {
        let path = messages(&self.pool(), &session.id.borrow(), last);
        match session.server.call(Method::GET, &path, None).await {
            Ok(message) if message["messageId"].is_i64() => {
                session.failures.store(0, Ordering::Relaxed);
                Polled::Message(message)
            }
            Ok(_) => {
                session.failures.store(0, Ordering::Relaxed);
                tokio::time::sleep(pause(Duration::from_secs(10))).await;
                Polled::Nothing
            }
            Err(error) => {
                complain(&format!("Agent connect error: {error}"));
                match (error.type_key(), &error) {
                    ("TaskAgentAccessTokenExpiredException", _) => return Polled::End(Code::Success),
                    ("TaskAgentSessionExpiredException", _) => return Polled::Expired,
                    (key, _) if is_final(key) => return Polled::End(Code::Retryable),
                    (_, Error::Unauthorized(_)) => return Polled::End(Code::Retryable),
                    _ => {}
                }
                let failures = session.failures.fetch_add(1, Ordering::Relaxed) + 1;
                let seconds = if failures <= 5 { 20 } else { 45 };
                tokio::time::sleep(pause(Duration::from_secs(seconds))).await;
                Polled::Nothing
            }
        }
    }

    pub(super) fn handle(&self, session: &Session, message: &Value, running: &mut Option<Running>) -> Handled {
        match message["messageType"].as_str().unwrap_or_default() {
            "PipelineAgentJobRequest" | "JobRequest" if self.once && running.is_some() => Handled::Leave,
            "PipelineAgentJobRequest" | "JobRequest" => {
                match Assignment::parse(message) {
                    Ok(assignment) => *running = Some(self.start(session, assignment, running.take())),
                    Err(error) => complain(&format!("A job message cannot be understood: {error:#}")),
                }
                Handled::Delete
            }
            "JobCancellation" => {
                let body: Value =
                    serde_json::from_str(message["body"].as_str().unwrap_or_default()).unwrap_or_default();
                let is_meant = |job: &&Running| {
                    body["jobId"]
                        .as_str()
                        .is_some_and(|id| id.eq_ignore_ascii_case(&job.job))
                };
                match running.as_ref().filter(is_meant) {
                    Some(job) => {
                        say(&format!("Job request {} is canceled", job.request));
                        let _ = job.cancel.send(true);
                        Handled::Delete
                    }
                    None if self.once && running.is_some() => Handled::Leave,
                    None => Handled::Delete,
                }
            }
            other => {
                say(&format!("Message of type '{other}' is ignored"));
                Handled::Delete
            }
        }
    }
}

pub(super) fn messages(pool: &str, session: &str, last: Option<i64>) -> String {
    let last = last.map_or_else(String::new, |id| format!("&lastMessageId={id}"));
    format!("{pool}/messages?sessionId={session}{last}")
}
