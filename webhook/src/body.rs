//! Receiving the body of a request: no more than it may have, in memory that is planned for.

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

/// Nearly every review fits.
const FIRST_ROOM: usize = 8 * 1024;

/// Values that are read while others wait. A pod of a plain Deployment has about 200, with its managed fields.
const CHEAP_VALUES: usize = 1_000;

/// A complete body, and its part of the budget where it is large.
pub(crate) struct Received {
    bytes: Vec<u8>,
    charge: Option<Charge>,
}

impl Received {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it takes long to read: it is large, or it consists of many values. Each but the first has one of these bytes
    /// before it, and to count them takes less than a microsecond.
    pub(crate) fn is_costly(&self) -> bool {
        let starts = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        self.bytes.len() > SMALL_BODY || starts(&self.bytes) > CHEAP_VALUES
    }

    /// Makes room for so many bytes more. Large buffers are paid for before they grow, and while one is copied into a larger
    /// one both are held.
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
        let room = needed
            .max(self.bytes.capacity() * 2)
            .clamp(FIRST_ROOM.min(length), length);
        if room > SMALL_BODY {
            let charge = budget.charge(room, client).await.ok_or_else(busy)?;
            client.set(Activity::Receiving);
            self.bytes.reserve_exact(room - self.bytes.len());
            self.charge = Some(charge);
        } else {
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        Ok(())
    }
}

/// Receives a body until `deadline`.
///
/// # Errors
/// The answer to give instead: the body is too large, too slow or broken, or there is no memory for it now.
pub(crate) async fn receive(
    body: Body,
    budget: &Budget,
    client: &Arc<Client>,
    deadline: Instant,
) -> Result<Received, Response> {
    // Without a length it may become as large as is allowed.
    let length = body
        .size_hint()
        .exact()
        .map_or(LARGEST_BODY, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length > LARGEST_BODY {
        return Err(too_large());
    }
    let late = |_| refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned());
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
    refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LARGEST_BODY} bytes"))
}

/// The API server's client comes again after the seconds that we name, within the time of its call (k8s.io/client-go
/// `rest/with_retry.go`); without the header the call fails at once.
pub(crate) fn busy() -> Response {
    let text = "too many large reviews at once".to_owned();
    let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, text);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
