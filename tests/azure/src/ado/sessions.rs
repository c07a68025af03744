//! Sessions and the long poll. A message is delivered again on each poll until it is deleted: an agent polls its session
//! twice at once and throws the answers of its keep-alive away. Messages are plain text, which the agent takes where the
//! session has no `encryptionKey` (azure-pipelines-agent `MessageListener.cs:392-401`).

use super::agents::{Include, find, text, texts};
use super::auth::unauthorized;
use super::call::Call;
use super::errors::Refusal;
use super::rights::LISTEN;
use super::state::{Message, PoolState, Session, State};
use super::{Ado, DeletedAgent};
use crate::guid;
use crate::http::Reply;
use serde_json::json;
use std::time::{Duration, Instant};

impl Ado {
    pub(super) fn open_session(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let body = call.body()?;
        let caller = call.agent(pool)?;
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, LISTEN)?;
        let named = body.pointer("/agent/id").and_then(serde_json::Value::as_i64);
        if named != Some(caller) {
            return Err(Refusal::access_denied(&call.caller.name(), "Listen", &pool.name));
        }
        let agent = find(pool, caller)?;
        let owner = text(&body, "ownerName").unwrap_or_default();
        // Whoever asks: a listener that was killed and started again under the same host name meets its own session
        // (azure-pipelines-agent#720, #1709, azure-devops-docs#12215).
        if let Some(session) = &agent.session {
            return Err(Refusal::session_conflict(&agent.name, &session.owner));
        }
        let id = guid::random();
        let agent = pool.agent_mut(caller).expect("it was found a moment ago");
        if body
            .get("systemCapabilities")
            .is_some_and(|capabilities| capabilities.is_object())
        {
            agent.system = texts(body.get("systemCapabilities"));
        }
        agent.status_changed = call.now;
        agent.session = Some(Session {
            id: id.clone(),
            owner: owner.clone(),
            seen: call.now,
            messages: Vec::new(),
            last_message: 0,
        });
        let agent = find(pool, caller)?;
        Ok(Reply::json(
            200,
            &json!({ "sessionId": id, "ownerName": owner, "agent": agent.json(pool, Include::NOTHING) }),
        ))
    }

    /// 204 (azure-pipelines-agent#5563).
    pub(super) fn close_session(&self, call: &Call<'_>, pool: i64, session: &str) -> Result<Reply, Refusal> {
        let caller = call.agent(pool)?;
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, LISTEN)?;
        open(pool, caller, session)?;
        pool.end_session(caller, call.now);
        Ok(Reply::empty(204))
    }

    /// `GET messages?sessionId=&lastMessageId=`: the next message, or 202 after a while.
    pub(super) async fn next_message(&self, call: &Call<'_>, pool: i64) -> Result<Reply, Refusal> {
        let caller = call.agent(pool)?;
        let session = call.request.parameter("sessionId").unwrap_or_default();
        let last = call
            .request
            .parameter("lastMessageId")
            .and_then(|last| last.parse().ok());
        let started = Instant::now();
        let mut changes = self.inner.recording.subscribe();
        loop {
            changes.mark_unchanged();
            let (message, hold) = {
                let mut state = self.lock();
                let hold = state.timing.poll;
                let tenant = call.organization(&state).tenant.clone();
                let invalid = state.behavior.deleted_agent == DeletedAgent::InvalidClient;
                match self.take_message(call, &mut state, pool, caller, session, last) {
                    Err(refusal) if invalid && refusal.is_agent_not_found() => {
                        return Ok(unauthorized(call.request, &tenant));
                    }
                    taken => (taken?, hold),
                }
            };
            if let Some(message) = message {
                self.touch();
                return Ok(Reply::json(
                    200,
                    &json!({ "messageId": message.id, "messageType": message.kind, "body": message.body }),
                ));
            }
            let left = hold.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Reply::empty(202));
            }
            // A change or the end of the pause: both mean to look again. Time alone can bring a job.
            let _ = tokio::time::timeout(left.min(Duration::from_millis(500)), changes.changed()).await;
        }
    }

    fn take_message(
        &self,
        call: &Call<'_>,
        state: &mut State,
        pool: i64,
        caller: i64,
        session: &str,
        last: Option<i64>,
    ) -> Result<Option<Message>, Refusal> {
        let now = self.clock().now();
        let pool = call.pool_mut(state, pool, LISTEN)?;
        let open = open(pool, caller, session)?;
        open.seen = now;
        let next = open
            .messages
            .iter()
            .find(|message| last.is_none_or(|last| message.id > last));
        let next = next.cloned();
        if let Some(request) = next.as_ref().and_then(|message| message.request)
            && let Some(job) = pool.jobs.iter_mut().find(|job| job.id == request)
        {
            job.received.get_or_insert(now);
        }
        Ok(next)
    }

    pub(super) fn delete_message(&self, call: &Call<'_>, pool: i64, message: i64) -> Result<Reply, Refusal> {
        let caller = call.agent(pool)?;
        let session = call.request.parameter("sessionId").unwrap_or_default();
        let mut state = self.lock();
        let pool = call.pool_mut(&mut state, pool, LISTEN)?;
        let open = open(pool, caller, session)?;
        let brought = open
            .messages
            .iter()
            .find(|found| found.id == message)
            .and_then(|found| found.request);
        open.messages.retain(|found| found.id != message);
        if let Some(job) = pool.jobs.iter_mut().find(|job| Some(job.id) == brought) {
            job.acknowledged = true;
        }
        Ok(Reply::empty(204))
    }
}

/// The agent's session, if it is this one.
fn open<'p>(pool: &'p mut PoolState, agent: i64, session: &str) -> Result<&'p mut Session, Refusal> {
    find(pool, agent)?;
    pool.agent_mut(agent)
        .and_then(|agent| agent.session.as_mut())
        .filter(|open| open.id.eq_ignore_ascii_case(session))
        .ok_or_else(|| Refusal::session_expired(session))
}
