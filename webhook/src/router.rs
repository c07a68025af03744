//! What is answered on which path. Everything that HTTP itself can refuse is refused here, before a review is read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::accounts::Accounts;
use crate::admission;
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::server::Phase;
use crate::tls::Certificates;

/// The API server takes objects of at most 3 MiB; the review around one gets another.
pub(crate) const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// Nearly every review is smaller than this; larger ones wait for their share of [`LARGE_BODIES`].
const SMALL_BODY: usize = 64 * 1024;
/// Bytes of large bodies that are held at once, so that memory is bounded whoever posts.
const LARGE_BODIES: usize = 2 * LARGEST_BODY;
/// `timeoutSeconds` of the shipped configuration, for requests that do not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that Kubernetes allows.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// What the way back takes; an answer after the API server's deadline is none.
const MARGIN: Duration = Duration::from_millis(500);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) certificates: Certificates,
    pub(crate) cluster: Cluster,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phase: watch::Receiver<Phase>,
    large_bodies: Semaphore,
}

impl Shared {
    pub(crate) fn new(
        accounts: Arc<Accounts>,
        certificates: Certificates,
        cluster: Cluster,
        metrics: Arc<Metrics>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            accounts,
            certificates,
            cluster,
            metrics,
            phase,
            large_bodies: Semaphore::new(LARGE_BODIES),
        }
    }
}

/// What is served over TLS.
pub(crate) fn mutating(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/mutate", post(mutate))
        .layer(from_fn_with_state(Arc::clone(shared), count))
        .with_state(Arc::clone(shared))
}

/// What is served without TLS.
pub(crate) fn plain(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(shared))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let problems: Vec<String> = [
        (*shared.phase.borrow() != Phase::Serving).then(|| "the webhook is ending".to_owned()),
        shared.certificates.problem(SystemTime::now()),
        shared.cluster.settings().err(),
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
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.render()).into_response()
}

async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let _held = shared.metrics.in_flight();
    let response = next.run(request).await;
    if !response.status().is_success() {
        shared.metrics.rejected(response.status().as_u16());
    }
    response
}

/// An answer that is no review; the rest of the request is not read.
fn refuse(status: StatusCode, message: impl Into<String>) -> Response {
    (status, [(CONNECTION, "close")], message.into() + "\n").into_response()
}

async fn mutate(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let deadline = Instant::now() + patience(request.uri());
    match answer(&shared, request, deadline).await {
        Ok(review) => ([(CONTENT_TYPE, "application/json")], review).into_response(),
        Err(response) => *response,
    }
}

async fn answer(shared: &Shared, request: Request, deadline: Instant) -> Result<String, Box<Response>> {
    let (head, body) = request.into_parts();
    if !is_json(&head.headers) {
        return Err(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected Content-Type: application/json",
        )
        .into());
    }
    let (_share, body) = receive(shared, &head.headers, body, deadline).await?;
    let settings = shared.cluster.settings().map_err(|problem| {
        // Not a decision: the manifest's failurePolicy says what becomes of the pod.
        Box::new((StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {problem}\n")).into_response())
    })?;
    admission::answer(&body, &settings, &shared.accounts, &shared.metrics, deadline)
        .await
        .map_err(|error| {
            tracing::warn!(bytes = body.len(), "a request was no review: {error}");
            Box::new((StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())
        })
}

/// The body, and its share of the memory for large ones.
async fn receive<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<(Option<SemaphorePermit<'a>>, Bytes), Box<Response>> {
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LARGEST_BODY} bytes"));
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Without a length it may become as large as is allowed.
    let length = length.map_or(LARGEST_BODY, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length > LARGEST_BODY {
        return Err(too_large().into());
    }
    let late = || refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    let receiving = async {
        let share = match u32::try_from(length) {
            Ok(length) if length as usize > SMALL_BODY => shared.large_bodies.acquire_many(length).await.ok(),
            Ok(_) | Err(_) => None,
        };
        let body = to_bytes(body, LARGEST_BODY).await;
        (share, body)
    };
    match tokio::time::timeout_at(deadline.into(), receiving).await {
        Ok((share, Ok(body))) => Ok((share, body)),
        Ok((_, Err(error))) if is_too_large(&error) => Err(too_large().into()),
        Ok((_, Err(error))) => Err(refuse(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")).into()),
        Err(_) => Err(late().into()),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// How long the API server waits, less the way back: `?timeout=` as Go writes durations (`5s`, `1m0s`, `500ms`).
fn patience(uri: &Uri) -> Duration {
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
    fn the_api_servers_time_is_read_from_the_query() {
        let patience = |uri: &str| patience(&uri.parse().unwrap());
        assert_eq!(patience("/mutate?timeout=5s"), Duration::from_millis(4500));
        assert_eq!(patience("/mutate"), Duration::from_millis(4500));
        assert_eq!(patience("/mutate?x=y&timeout=1m0s"), Duration::from_millis(29_500));
        assert_eq!(patience("/mutate?timeout=800ms"), Duration::from_millis(400));
        for nonsense in ["-5s", "5", "s", "5y", "", "1e9s", "0s", "99999999999999999999999h"] {
            assert!(
                patience(&format!("/mutate?timeout={nonsense}")) <= Duration::from_millis(29_500),
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
