//! Azure DevOps: one REST request at a time.

use crate::clock::wall_clock;
use crate::endpoint::{Organization, UnusableHost};
use crate::http::{self, Http, HttpError};
use crate::secret::Secret;
use azure_protocol::{
    AdoError, AdoErrorKind, AdoReader, AdoRequest, AdoResponse, Endpoint, Operation, OperationReader, Response, Route,
    ServerTime, route,
};
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

/// What came of an operation.
#[derive(Debug)]
pub struct OperationReply<T> {
    /// What the response says.
    pub result: Result<T, AdoError>,
    /// Status of the response; `None`: there was none.
    pub status: Option<u16>,
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
        let response = self.exchange(route, url, token, timeout).await?;
        receive(request, response).await
    }

    /// The address of an endpoint, for people.
    pub fn address(&self, endpoint: &Endpoint) -> String {
        self.organization.operation(endpoint).to_string()
    }

    /// Performs an operation, and waits no longer than `timeout` for the end of the response. Errors never contain the token.
    pub async fn perform<O: Operation>(
        &self,
        operation: &O,
        token: Option<&Secret>,
        timeout: Duration,
    ) -> OperationReply<O::Output> {
        let redact = |text: &str| token.map_or_else(|| text.to_owned(), |token| token.redact(text));
        let endpoint = operation.endpoint();
        let url = self.organization.operation(&endpoint);
        let received = async {
            let mut response = self.exchange(endpoint.route, url, token, timeout).await?;
            let status = response.status();
            let headers = std::mem::take(response.headers_mut());
            let mut reader = OperationReader::new(status, headers, wall_clock());
            http::read(&mut response, |piece| reader.push(piece)).await?;
            Ok::<_, HttpError>((status, reader.finish(operation)))
        };
        match received.await {
            Err(error) => OperationReply {
                result: Err(AdoError::new(AdoErrorKind::Unreachable, redact(&error.to_string()))),
                status: None,
                retry_after: None,
                date: None,
            },
            Ok((status, (result, response))) => OperationReply {
                result: result.map_err(|error| AdoError {
                    detail: redact(&error.detail),
                    ..error
                }),
                status: Some(status.as_u16()),
                retry_after: response.retry_after(),
                date: response.date(),
            },
        }
    }

    async fn exchange(
        &self,
        route: Route,
        url: reqwest::Url,
        token: Option<&Secret>,
        timeout: Duration,
    ) -> Result<reqwest::Response, HttpError> {
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
        http::send(builder).await
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
