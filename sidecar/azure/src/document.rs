//! One small document over https, as a whole: the issuer's discovery document, a list of Microsoft Graph.

use crate::Secret;
use crate::http::{self, Http, HttpError};
use azure_protocol::Flow;
use std::time::Duration;

/// Longest document that is read, in bytes.
const LIMIT: usize = 256 * 1024;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// HTTP status.
    pub status: u16,
    /// The body, at most 256 KiB of it.
    pub body: Vec<u8>,
}

impl Http {
    /// Asks for the document at `url`, with a token if the server wants one, and waits no longer than `timeout` for its end.
    /// Whoever calls this decides that the token may go to this URL.
    ///
    /// # Errors
    /// No response, or not to its end; the message never contains the token.
    pub async fn document(&self, url: &str, token: Option<&Secret>, timeout: Duration) -> Result<Document, HttpError> {
        let mut request = self
            .client()?
            .get(url)
            .timeout(timeout)
            // A key set of the API server comes as this type only; others are answered with 406 (pkg/routes/openidmetadata.go).
            .header("accept", "application/json, application/jwk-set+json");
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        let mut response = http::send(request).await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        http::read(&mut response, |piece| {
            let room = LIMIT - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() < LIMIT { Flow::More } else { Flow::Enough }
        })
        .await?;
        Ok(Document { status, body })
    }
}
