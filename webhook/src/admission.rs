//! One review, from bytes to bytes: decode, look the ServiceAccount up, decide, log one line.
//!
//! What a review becomes in memory is many times its text, so it never waits for anything: where the ServiceAccount has to
//! be read live, only the text is kept meanwhile, and the review is read a second time.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use contract::Reason;
use inject::review::{Error, Incoming, Object, Verdict};
use inject::{Decision, Request, ServiceAccount, Settings};
use serde_json::Value;

use crate::accounts::Key;
use crate::body::{Received, busy};
use crate::connections::{Activity, Client};
use crate::metrics::Outcome;
use crate::router::Shared;

/// The word for a decision that has no reason of its own.
const INJECTED: &str = "injected";

/// Answers a review; `deadline` is when the API server stops waiting.
///
/// # Errors
/// The answer to give instead: the bytes are no review that could be answered, or too many others are being answered.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    body: Received,
    settings: Arc<Settings>,
    client: &Client,
    deadline: Instant,
) -> Result<String, Response> {
    let mut review = Review {
        shared: Arc::clone(shared),
        is_last_source: settings.client_id.is_none(),
        settings,
        body,
        started: Instant::now(),
    };
    let mut account = None;
    loop {
        client.set(Activity::Working);
        let step;
        (review, step) = review.step(account, deadline).await?;
        let key = match step {
            Step::Answered(text) => return Ok(text),
            Step::NeedsAccount(key) => key,
        };
        client.set(Activity::LookingUp);
        account = Some(shared.accounts.read(&key, review.is_last_source, deadline).await);
    }
}

struct Review {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    is_last_source: bool,
    body: Received,
    started: Instant,
}

enum Step {
    Answered(String),
    NeedsAccount(Key),
}

impl Review {
    /// Reads and decides: a small review at once; a costly one on another thread, one at a time, so that others do not wait
    /// for it and memory holds one of each.
    async fn step(self, account: Option<ServiceAccount>, deadline: Instant) -> Result<(Self, Step), Response> {
        let (review, step) = if self.body.is_costly() {
            let turn = Arc::clone(&self.shared.large).acquire_owned();
            let Ok(Ok(turn)) = tokio::time::timeout_at(deadline.into(), turn).await else {
                return Err(busy());
            };
            let task = tokio::task::spawn_blocking(move || {
                let step = self.decide(account);
                // Here, since a client that leaves does not end what was begun.
                drop(turn);
                (self, step)
            });
            task.await.map_err(|_| busy())?
        } else {
            let step = self.decide(account);
            (self, step)
        };
        match step {
            Ok(step) => Ok((review, step)),
            Err(error) => {
                tracing::warn!(bytes = review.body.bytes().len(), "a request was no review: {error}");
                Err((StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())
            }
        }
    }

    fn decide(&self, account: Option<ServiceAccount>) -> Result<Step, Error> {
        let incoming = Incoming::parse(self.body.bytes())?;
        let asked = &incoming.request;
        let (group, resource) = asked
            .resource
            .as_ref()
            .map_or(("", ""), |resource| (&resource.group, &resource.resource));
        let request = Request {
            namespace: asked.namespace.as_deref().unwrap_or_default(),
            operation: &asked.operation,
            group,
            resource,
            subresource: asked.sub_resource.as_deref().unwrap_or_default(),
        };
        let decision = match &asked.object {
            Object::TooLarge(values) => inject::decide_too_large(*values, &request),
            Object::Read(object) => {
                let inspection = inject::inspect(object, &request, &self.settings);
                let account = match (inspection.account(), account) {
                    (None, _) => ServiceAccount::NotAsked,
                    (Some(_), Some(account)) => account,
                    (Some(name), None) => {
                        let key = Key::new(request.namespace, name);
                        match self.shared.accounts.known(&key) {
                            Some(account) => account,
                            None => return Ok(Step::NeedsAccount(key)),
                        }
                    }
                };
                inspection.decide(&account)
            }
        };
        Ok(Step::Answered(self.conclude(&incoming, &request, &decision)))
    }

    /// The answer, counted and logged.
    fn conclude(&self, incoming: &Incoming, request: &Request<'_>, decision: &Decision) -> String {
        let asked = &incoming.request;
        let (outcome, reason, sentence) = describe(decision);
        let answer = incoming.answer(verdict(decision), outcome.as_str(), reason);
        let took = self.started.elapsed();
        let bytes = self.body.bytes().len();
        self.shared
            .metrics
            .answered(operation(&asked.operation), outcome, reason, took, bytes);
        let metadata = match &asked.object {
            Object::Read(object) => &object["metadata"],
            Object::TooLarge(_) => &Value::Null,
        };
        tracing::info!(
            uid = asked.uid,
            namespace = short(request.namespace),
            name = short(
                asked
                    .name
                    .as_deref()
                    .or_else(|| metadata["generateName"].as_str())
                    .unwrap_or_default()
            ),
            owner = owner(metadata),
            decision = outcome.as_str(),
            reason,
            sentence,
            ms = took.as_secs_f64() * 1e3,
            "review"
        );
        answer
    }
}

fn describe(decision: &Decision) -> (Outcome, &'static str, Option<&str>) {
    match decision {
        Decision::Inject(_) => (Outcome::Injected, INJECTED, None),
        Decision::Skip { reason, .. } => (Outcome::Skipped, reason.as_str(), None),
        Decision::Deny(denial) => (Outcome::Denied, denial.reason.as_str(), Some(&denial.sentence)),
    }
}

fn verdict(decision: &Decision) -> Verdict<'_> {
    match decision {
        Decision::Inject(injection) => Verdict::Patch {
            patch: &injection.patch,
            warnings: &injection.warnings,
        },
        Decision::Skip { warnings, .. } => Verdict::Allow { warnings },
        Decision::Deny(denial) => Verdict::Deny {
            // kubectl shows a 422 as "the request is invalid"; everything else is a matter of what is allowed here.
            code: if denial.reason == Reason::MalformedPod {
                422
            } else {
                403
            },
            sentence: &denial.sentence,
        },
    }
}

/// The label of the metric, from a closed list whatever the request says.
fn operation(word: &str) -> &'static str {
    ["CREATE", "UPDATE", "DELETE", "CONNECT"]
        .into_iter()
        .find(|known| *known == word)
        .unwrap_or("other")
}

/// `Kind/name` of the controller, for instance `ReplicaSet/agent-7d9f`.
fn owner(metadata: &Value) -> Option<String> {
    let owner = metadata["ownerReferences"].get(0)?;
    Some(format!(
        "{}/{}",
        short(owner["kind"].as_str()?),
        short(owner["name"].as_str()?)
    ))
}

/// The start of a name, as long as Kubernetes' names can be: whoever reaches our port must not fill the log with one line.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(253)]
}
