//! Reads the body of a request, within the limits of `memory.rs`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt as _;

use crate::budget::{Budget, Charge};
use crate::client::{Activity, Client};
use crate::memory::{LARGEST_BODY, SMALL_BODY};
use crate::router::refuse;

/// Capacity of a new buffer; nearly every review fits.
const INITIAL_CAPACITY: usize = 8 * 1024;

/// A review of up to this many JSON values is parsed on the event loop. A pod of a plain Deployment has about 200, including
/// `managedFields`.
const FEW_VALUES: usize = 1_000;

/// A complete body and, if it is large, its share of the memory budget.
pub(crate) struct Received {
    bytes: Vec<u8>,
    charge: Option<Charge>,
}

impl Received {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether parsing takes long enough to be worth another thread: the body is large or has many JSON values.
    pub(crate) fn is_costly(&self) -> bool {
        self.bytes.len() > SMALL_BODY || inject::review::most_values(&self.bytes) > FEW_VALUES
    }

    /// Grows the buffer for `more` bytes. A large buffer is charged to the budget before it is allocated; the old charge is
    /// released afterwards, since both buffers exist while one is copied.
    async fn grow(
        &mut self,
        more: usize,
        length: usize,
        budget: &Budget,
        client: &Arc<Client>,
    ) -> Result<(), Response> {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let capacity = needed
            .max(self.bytes.capacity() * 2)
            .clamp(INITIAL_CAPACITY.min(length), length);
        if capacity > SMALL_BODY {
            let charge = budget.charge(capacity, client).await.ok_or_else(busy)?;
            client.set(Activity::Receiving);
            self.bytes.reserve_exact(capacity - self.bytes.len());
            self.charge = Some(charge);
        } else {
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        Ok(())
    }
}

/// Reads a body until `deadline`.
///
/// # Errors
/// The HTTP error to respond with: the body is too large, too slow or malformed, or the memory budget is exhausted.
pub(crate) async fn receive(
    body: Body,
    budget: &Budget,
    client: &Arc<Client>,
    deadline: Instant,
) -> Result<Received, Response> {
    // Without Content-Length (chunked), the limit itself.
    let length = body
        .size_hint()
        .exact()
        .map_or(LARGEST_BODY, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length > LARGEST_BODY {
        return Err(too_large());
    }
    let late = |_| {
        refuse(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time".to_owned(),
        )
    };
    tokio::time::timeout_at(deadline.into(), collect(body, length, budget, client))
        .await
        .map_err(late)?
}

async fn collect(mut body: Body, length: usize, budget: &Budget, client: &Arc<Client>) -> Result<Received, Response> {
    let mut received = Received {
        bytes: Vec::new(),
        charge: None,
    };
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        if received.bytes.len() + chunk.len() > length {
            return Err(too_large());
        }
        received.grow(chunk.len(), length, budget, client).await?;
        received.bytes.extend_from_slice(&chunk);
    }
    Ok(received)
}

fn too_large() -> Response {
    refuse(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {LARGEST_BODY} bytes"),
    )
}

/// The API server's client retries after `Retry-After` seconds, within the timeout of the call (k8s.io/client-go
/// `rest/with_retry.go`); without the header the call fails at once.
pub(crate) fn busy() -> Response {
    let text = "too many large reviews at once".to_owned();
    let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, text);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
