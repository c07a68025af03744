//! Azure DevOps: one REST request at a time.

use crate::clock::wall_clock;
use crate::endpoint::{Organization, UnusableHost};
use crate::http::{self, Http, HttpError};
use crate::secret::Secret;
use azure_protocol::{AdoError, AdoErrorKind, AdoReader, AdoRequest, AdoResponse, Response, ServerTime, route};
use contract::OrganizationUrl;
use std::sync::Arc;
use std::time::Duration;

/// An organization of Azure DevOps Services.
#[derive(Debug)]
pub struct AzureDevOps {
    organization: Organization,
    http: Arc<Http>,
}

/// What came of a request.
#[derive(Debug)]
pub struct AdoReply {
    /// The response.
    pub result: Result<AdoResponse, AdoError>,
    /// `Retry-After` of the response, whatever its status.
    pub retry_after: Option<Duration>,
    /// `Date` of the response.
    pub date: Option<ServerTime>,
}

impl AdoReply {
    /// No response.
    pub fn unreachable(problem: impl Into<String>) -> Self {
        Self {
            result: Err(AdoError::new(AdoErrorKind::Unreachable, problem)),
            retry_after: None,
            date: None,
        }
    }
}

impl AzureDevOps {
    /// A client of the organization.
    ///
    /// # Errors
    /// The HTTP client understands another host than the one that was checked.
    pub fn new(url: &OrganizationUrl, http: Arc<Http>) -> Result<Self, UnusableHost> {
        let organization = Organization::new(url)?;
        Ok(Self { organization, http })
    }

    /// Sends a request, and waits no longer than `timeout` for the end of the response. Errors never contain the token.
    pub async fn call(&self, request: &AdoRequest, token: Option<&Secret>, timeout: Duration) -> AdoReply {
        let redact = |text: &str| token.map_or_else(|| text.to_owned(), |token| token.redact(text));
        match self.send(request, token, timeout).await {
            Err(error) => AdoReply::unreachable(redact(&error.to_string())),
            Ok((result, response)) => AdoReply {
                result: result.map_err(|error| AdoError {
                    detail: redact(&error.detail),
                    ..error
                }),
                retry_after: response.retry_after(),
                date: response.date(),
            },
        }
    }

    async fn send(
        &self,
        request: &AdoRequest,
        token: Option<&Secret>,
        timeout: Duration,
    ) -> Result<(Result<AdoResponse, AdoError>, Response), HttpError> {
        let route = route(request);
        let url = self.organization.route(&route.segments, &route.query);
        let mut builder = self
            .http
            .client()?
            .request(route.method, url)
            .timeout(timeout)
            .header("accept", "application/json")
            // Asks for a 401 instead of the redirect to a sign-in page.
            .header("x-tfs-fedauthredirect", "Suppress");
        if let Some(token) = token {
            builder = builder.bearer_auth(token.expose());
        }
        if let Some(body) = route.body {
            builder = builder.json(&body);
        }
        receive(request, http::send(builder).await?).await
    }
}

async fn receive(
    request: &AdoRequest,
    mut response: reqwest::Response,
) -> Result<(Result<AdoResponse, AdoError>, Response), HttpError> {
    let headers = std::mem::take(response.headers_mut());
    let mut reader = AdoReader::new(request, response.status(), headers, wall_clock());
    http::read(&mut response, |piece| reader.push(piece)).await?;
    Ok(reader.finish())
}

/// Reads a response to a request, whoever sent it: fuzz targets give any bytes to this.
///
/// # Errors
/// What kind of error it is, with the server's words.
pub async fn receive_ado(request: &AdoRequest, response: reqwest::Response) -> Result<AdoResponse, AdoError> {
    match receive(request, response).await {
        Ok((result, _)) => result,
        Err(error) => Err(AdoError::new(AdoErrorKind::Unreachable, error.to_string())),
    }
}
