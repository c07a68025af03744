//! Sends on requests of somebody else to the organization, and gives the answer while it comes: for a gateway.
//!
//! The client that asks on our own behalf ([`crate::AzureDevOps`]) has a connection of its own, so that nothing that passes
//! here can keep it from removing an agent. Here neither a request nor an answer is ever held as a whole, and what a connection
//! may hold is bounded, the kernel's buffers included.
//!
//! **Invariant:** requests go to the organization's host and to no other, below its path. Redirects are not followed. The
//! token is put in here and nowhere else.

mod connect;

use crate::endpoint::{Organization, UnusableHost};
use crate::http::{Http, HttpError};
use crate::secret::Secret;
use bytes::Bytes;
use connect::Connect;
use contract::OrganizationUrl;
use http::header::AUTHORIZATION;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Most that is read ahead of an answer, and so the longest head that an answer may have.
const BUFFER: usize = 16 * 1024;

/// The body of a request that is sent on.
pub type OutgoingBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// What is sent on.
pub struct Forwarded {
    /// Method.
    pub method: Method,
    /// Path and query below the organization, with a slash at the beginning; without anything that could lead elsewhere.
    pub target: String,
    /// Headers; `Host` is the organization's.
    pub headers: HeaderMap,
    /// Body.
    pub body: OutgoingBody,
}

/// Sends requests on to one organization.
pub struct Forwarder {
    organization: Organization,
    client: Client<Connect, OutgoingBody>,
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Idle connections that are kept.
    pub const IDLE: usize = 4;
    /// Most bytes that a connection may hold: a piece in each direction, two records of TLS (16 KiB and what belongs to one), and
    /// what the kernel takes.
    pub const CONNECTION: usize = 2 * BUFFER + 2 * 18 * 1024 + 4 * connect::KERNEL_BUFFER;

    /// A client of the organization. Nothing is opened before the first request.
    ///
    /// # Errors
    /// The HTTP client understands another host than the one that was checked.
    pub fn new(url: &OrganizationUrl, http: Arc<Http>) -> Result<Self, UnusableHost> {
        let client = Client::builder(TokioExecutor::new())
            // No time limit: a timer that looks for idle connections would wake us.
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(Self::IDLE)
            .http1_max_buf_size(BUFFER)
            .build(Connect::new(http));
        Ok(Self {
            organization: Organization::new(url)?,
            client,
        })
    }

    /// Sends a request, with the token instead of any credential of its own if there is one. Gives the answer as soon as its
    /// head is there; whoever drops the future or the answer gives the request up.
    ///
    /// # Errors
    /// No answer. Errors never contain the token.
    pub async fn send(&self, request: Forwarded, token: Option<&Secret>) -> Result<Response<Incoming>, HttpError> {
        let mut headers = request.headers;
        if let Some(token) = token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| HttpError::UnusableToken)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut outgoing = Request::new(request.body);
        *outgoing.uri_mut() = self.uri(&request.target)?;
        *outgoing.method_mut() = request.method;
        *outgoing.headers_mut() = headers;
        Ok(self.client.request(outgoing).await?)
    }

    fn uri(&self, target: &str) -> Result<Uri, HttpError> {
        let (authority, path) = self.organization.parts();
        let unusable = |_| HttpError::UnusableTarget;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(authority.parse().map_err(unusable)?);
        parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{target}")).map_err(unusable)?);
        Uri::from_parts(parts).map_err(|_| HttpError::UnusableTarget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Proxies, Trust};
    use contract::HostList;

    fn forwarder(url: &str) -> Forwarder {
        let hosts = HostList::parse("dev.azure.com,*.visualstudio.com,[::1]").expect("hosts");
        let url = OrganizationUrl::parse(url, &hosts).expect(url);
        let http = Arc::new(Http::new(Trust::default(), Proxies::default(), "test"));
        Forwarder::new(&url, http).expect("usable")
    }

    #[test]
    fn requests_stay_below_the_organization_whatever_they_say() {
        let dev = forwarder("https://dev.azure.com/contoso");
        let uri = |target| dev.uri(target).map(|uri| uri.to_string());
        assert_eq!(
            uri("/_apis/x?a=b%2F..").ok().as_deref(),
            Some("https://dev.azure.com/contoso/_apis/x?a=b%2F..")
        );
        assert_eq!(uri("").ok().as_deref(), Some("https://dev.azure.com/contoso"));
        for target in ["@evil.example/", ".evil.example/", ":443@evil.example/"] {
            let uri = dev.uri(target).expect("a path");
            assert_eq!(uri.host(), Some("dev.azure.com"), "{target}");
        }
        assert!(dev.uri("/a b").is_err());
        let legacy = forwarder("https://contoso.visualstudio.com");
        assert_eq!(
            legacy.uri("/_apis").expect("a URI"),
            "https://contoso.visualstudio.com/_apis"
        );
        let literal = forwarder("https://[::1]:8443/contoso");
        assert_eq!(literal.uri("/a").expect("a URI"), "https://[::1]:8443/contoso/a");
    }
}
