//! One review: parse, look up the ServiceAccount, decide, log one line.
//!
//! A parsed review takes many times the memory of its text, so none exists while something is waited for: where the
//! ServiceAccount has to be read live, only the text is kept, and the review is parsed again afterwards.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use inject::review::{Error, Incoming};
use inject::{ClusterFacts, Context, Decision, Inspection, ServiceAccount};

use crate::accounts::{Key, Needed};
use crate::body::{Received, busy};
use crate::client::{Activity, Client};
use crate::router::Shared;

/// Answers a review; `deadline` is when the API server stops waiting.
///
/// # Errors
/// The HTTP error to respond with: the body is not a review, or too many large ones wait.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    body: Received,
    cluster: Arc<ClusterFacts>,
    client: &Client,
    deadline: Instant,
) -> Result<Vec<u8>, Response> {
    let mut review = Review {
        shared: Arc::clone(shared),
        cluster,
        body,
        started: Instant::now(),
    };
    let mut account = None;
    loop {
        client.set(Activity::Working);
        let step;
        (review, step) = review.step(account, deadline).await?;
        let key = match step {
            Step::Answered(json) => return Ok(json),
            Step::NeedsAccount(key) => key,
        };
        client.set(Activity::LookingUp);
        let needed = match shared.settings.client_id {
            Some(_) => Needed::Account,
            None => Needed::ClientId,
        };
        account = Some(shared.accounts.read(&key, needed, deadline).await);
    }
}

struct Review {
    shared: Arc<Shared>,
    cluster: Arc<ClusterFacts>,
    body: Received,
    started: Instant,
}

enum Step {
    Answered(Vec<u8>),
    NeedsAccount(Key),
}

impl Review {
    /// Parses and decides: a small review at once; a costly one on another thread, one at a time, so that small ones do not wait
    /// for it and at most two parsed reviews exist.
    async fn step(self, account: Option<ServiceAccount>, deadline: Instant) -> Result<(Self, Step), Response> {
        let (review, step) = if self.body.is_costly() {
            let turn = Arc::clone(&self.shared.large).acquire_owned();
            let Ok(Ok(turn)) = tokio::time::timeout_at(deadline.into(), turn).await else {
                return Err(busy());
            };
            let task = tokio::task::spawn_blocking(move || {
                let step = self.decide(account);
                // Dropped here: a client that disconnects cancels the request, but not this thread.
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
                tracing::warn!(bytes = review.body.bytes().len(), "a request was not a review: {error}");
                Err((StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())
            }
        }
    }

    fn decide(&self, account: Option<ServiceAccount>) -> Result<Step, Error> {
        let incoming = Incoming::parse(self.body.bytes())?;
        let context = Context {
            settings: &self.shared.settings,
            cluster: &self.cluster,
        };
        let decision = match incoming.inspect(context) {
            Inspection::Decided(decision) => decision,
            Inspection::NeedsAccount(pending) => {
                let key = Key::new(incoming.subject().namespace, pending.account());
                match account.or_else(|| self.shared.accounts.known(&key)) {
                    Some(account) => pending.decide(&account),
                    None => return Ok(Step::NeedsAccount(key)),
                }
            }
        };
        Ok(Step::Answered(self.conclude(&incoming, &decision)))
    }

    /// Counts and logs the decision; returns the response.
    fn conclude(&self, incoming: &Incoming, decision: &Decision) -> Vec<u8> {
        let answer = incoming.answer(decision);
        let took = self.started.elapsed();
        let subject = incoming.subject();
        self.shared
            .metrics
            .answered(operation(subject.operation), decision, took, self.body.bytes().len());
        let denial = match decision {
            Decision::Deny(denial) => Some(&denial.message),
            Decision::Inject(_) | Decision::Skip { .. } => None,
        };
        let owner = incoming.owner();
        tracing::info!(
            uid = incoming.uid(),
            namespace = short(subject.namespace),
            name = short(incoming.name()),
            owner = owner.map(|(kind, name)| format!("{}/{}", short(kind), short(name))),
            decision = decision.outcome(),
            reason = decision.reason(),
            denial,
            ms = took.as_secs_f64() * 1e3,
            "review"
        );
        answer
    }
}

/// The metric's label: one of a closed list, whatever the request contains.
fn operation(word: &str) -> &'static str {
    ["CREATE", "UPDATE", "DELETE", "CONNECT"]
        .into_iter()
        .find(|known| *known == word)
        .unwrap_or("other")
}

/// A name cut to the longest length that Kubernetes allows, so that a client cannot write long lines into the log.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(253)]
}
