//! Routes and handlers. Requests that can be refused by their HTTP head alone are refused here, before a review is read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use inject::Settings;
use tokio::sync::{Semaphore, watch};

use crate::accounts::Accounts;
use crate::admission;
use crate::body::{self, busy};
use crate::budget::{Budget, Charge};
use crate::client::InRequest;
use crate::cluster::Cluster;
use crate::memory::SMALL_BODY;
use crate::metrics::Metrics;
use crate::server::Phase;
use crate::tls::Certificates;

/// `timeoutSeconds` of the shipped webhook configuration, for requests without `?timeout=`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest `timeoutSeconds` that Kubernetes allows.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Reserved for the way back: a response after the API server's deadline is useless.
const MARGIN: Duration = Duration::from_millis(500);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) budget: Budget,
    pub(crate) body_timeout: Duration,
    pub(crate) certificates: Certificates,
    pub(crate) cluster: Cluster,
    /// Large reviews are parsed one at a time.
    pub(crate) large: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) settings: Settings,
}

/// Routes of the TLS port.
pub(crate) fn mutating(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/mutate", post(mutate))
        .layer(from_fn_with_state(Arc::clone(shared), count))
        .with_state(Arc::clone(shared))
}

/// Routes of the plain port.
pub(crate) fn plain(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(shared))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let problems: Vec<String> = [
        (*shared.phase.borrow() != Phase::Serving).then(|| "the webhook is shutting down".to_owned()),
        shared.certificates.problem(SystemTime::now()),
        shared.cluster.facts().err(),
    ]
    .into_iter()
    .flatten()
    .collect();
    if problems.is_empty() {
        return "ok\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready: {}\n", problems.join("; ")),
    )
        .into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    ([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], shared.metrics.render()).into_response()
}

async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let _in_flight = shared.metrics.in_flight();
    let response = next.run(request).await;
    if !response.status().is_success() {
        shared.metrics.rejected(response.status().as_u16());
    }
    response
}

/// Rejects the request with a plain HTTP error and closes the connection.
pub(crate) fn refuse(status: StatusCode, message: String) -> Response {
    (status, [(CONNECTION, "close")], message + "\n").into_response()
}

async fn mutate(
    State(shared): State<Arc<Shared>>,
    Extension(in_request): Extension<Arc<InRequest>>,
    request: Request,
) -> Response {
    let deadline = Instant::now() + timeout(request.uri());
    match answer(&shared, &in_request, request, deadline).await {
        Ok((json, charge)) => {
            let answer = Bytes::from_owner(Answer {
                json,
                _charge: charge,
                _in_request: in_request,
            });
            ([(CONTENT_TYPE, "application/json")], answer).into_response()
        }
        Err(response) => response,
    }
}

/// A response body, and what is released when its last byte has been written.
struct Answer {
    json: Vec<u8>,
    _charge: Option<Charge>,
    _in_request: Arc<InRequest>,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

async fn answer(
    shared: &Arc<Shared>,
    in_request: &InRequest,
    request: Request,
    deadline: Instant,
) -> Result<(Vec<u8>, Option<Charge>), Response> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        let expected = "expected Content-Type: application/json".to_owned();
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
    }
    let client = &in_request.0;
    let by = deadline.min(Instant::now() + shared.body_timeout);
    let body = body::receive(body, &shared.budget, client, by).await?;
    let cluster = shared.cluster.facts().map_err(|problem| {
        // Not a decision: the webhook configuration's failurePolicy decides what becomes of the pod.
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {problem}\n")).into_response()
    })?;
    let json = admission::answer(shared, body, cluster, client, deadline).await?;
    // The body has been freed; nearly every response fits into a connection's own memory.
    let charge = match json.capacity() {
        0..=SMALL_BODY => None,
        large => Some(shared.budget.charge(large, client).await.ok_or_else(busy)?),
    };
    Ok((json, charge))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// How long the API server waits, minus a margin: `?timeout=` as Go writes durations (`5s`, `1m0s`, `500ms`).
fn timeout(uri: &Uri) -> Duration {
    let timeout = uri
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("timeout=")))
        .and_then(go_duration)
        .unwrap_or(DEFAULT_TIMEOUT)
        .min(LONGEST_TIMEOUT);
    timeout.saturating_sub(MARGIN).max(timeout / 2)
}

fn go_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after
            .find(|character: char| character.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(total)
        .ok()
        .filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_timeout_is_read_from_the_query() {
        let timeout = |uri: &str| timeout(&uri.parse().unwrap());
        assert_eq!(timeout("/mutate?timeout=5s"), Duration::from_millis(4500));
        assert_eq!(timeout("/mutate"), Duration::from_millis(4500));
        assert_eq!(timeout("/mutate?x=y&timeout=1m0s"), Duration::from_millis(29_500));
        assert_eq!(timeout("/mutate?timeout=800ms"), Duration::from_millis(400));
        for nonsense in ["-5s", "5", "s", "5y", "", "1e9s", "0s", "99999999999999999999999h"] {
            assert!(
                timeout(&format!("/mutate?timeout={nonsense}")) <= Duration::from_millis(29_500),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn json_is_the_only_content_type() {
        let of = |value: &str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        assert!(of("application/json") && of("Application/JSON; charset=utf-8"));
        assert!(!of("text/plain") && !of("application/json-patch+json") && !of(""));
    }
}
