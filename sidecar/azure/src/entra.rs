//! Entra's token endpoint: one request, three outcomes (a token, a refusal, no response from Entra).
//!
//! Microsoft identity platform, OAuth 2.0 client credentials flow, third case: access token request with a federated
//! credential.

mod assertion;
mod binding;

pub use assertion::AssertionError;
pub use binding::{Binding, BindingError};

use crate::Authority;
use crate::clock::wall_clock;
use crate::http::{self, Http, HttpError};
use crate::secret::Secret;
use assertion::Assertion;
use azure_protocol::{
    AccessToken, BINDING_AUDIENCE, Claims, EntraError, EntraErrorKind, Refusal, ServerTime, TokenReader, TokenServer,
};
use rustix::rand::{GetRandomFlags, getrandom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Clock skew worth reporting, in seconds: Entra tolerates five minutes.
const SKEW: i64 = 300;

/// Who we are at Entra.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Client ID.
    pub client_id: String,
    /// Scope of the access token.
    pub scope: String,
    /// The service-account token.
    pub assertion: AssertionSource,
    /// Entra's authority.
    pub authority: Authority,
    /// The cluster's token proxy that is asked instead of the authority (AKS identity binding).
    pub binding: Option<Binding>,
}

/// Where the service-account token is.
#[derive(Debug, Clone)]
pub enum AssertionSource {
    /// In a file that the kubelet keeps fresh; read again for every exchange.
    File(PathBuf),
    /// Asked for a moment ago, and never on disk.
    Held(Secret),
}

/// A token as Entra issued it.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: Secret,
    /// Its lifetime, from just before the request was sent.
    pub lifetime: Duration,
    /// When Entra suggests to refresh it, counted likewise.
    pub refresh_in: Option<Duration>,
}

/// One identity at one authority.
#[derive(Debug)]
pub struct Entra {
    identity: Identity,
    http: Arc<Http>,
}

impl Entra {
    /// A client for this identity.
    pub fn new(identity: Identity, http: Arc<Http>) -> Self {
        Self { identity, http }
    }

    /// Client ID of the identity.
    pub fn client_id(&self) -> &str {
        &self.identity.client_id
    }

    /// Reads the assertion and trades it for an access token.
    ///
    /// # Errors
    /// Why there is none; never with the assertion in it.
    pub async fn exchange(&self, tenant: &str) -> Result<Issued, EntraError> {
        let source = &self.identity.assertion;
        let assertion = Assertion::read(source).map_err(|error| EntraError {
            kind: EntraErrorKind::AssertionMissing,
            detail: error.to_string(),
            retry_after: None,
            assertion_changed: false,
        })?;
        let request_id = request_id();
        let result = match self.post(&assertion, tenant, &request_id).await {
            Ok(result) => result.map(issued),
            Err(error) => Err(Refusal::unreachable(self.server(), &error.to_string())),
        };
        result.map_err(|refusal| {
            let claims = assertion.claims();
            let detail = self.detail(&refusal, &claims, tenant, &request_id);
            EntraError {
                kind: refusal.kind,
                detail: assertion.secret().redact(&detail),
                retry_after: refusal.retry_after,
                assertion_changed: Assertion::read(source).is_ok_and(|now| now.secret() != assertion.secret()),
            }
        })
    }

    async fn post(
        &self,
        assertion: &Assertion,
        tenant: &str,
        request_id: &str,
    ) -> Result<Result<AccessToken, Refusal>, HttpError> {
        let request = match &self.identity.binding {
            None => self.http.client()?.post(self.identity.authority.token_endpoint(tenant)),
            Some(binding) => binding.post(tenant, &self.http).await?,
        };
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.identity.client_id),
            ("scope", &self.identity.scope),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.secret().expose()),
        ];
        let request = request
            .timeout(TIMEOUT)
            .header("accept", "application/json")
            .header("client-request-id", request_id)
            .header("return-client-request-id", "true")
            .form(&form);
        receive(self.server(), http::send(request).await?).await
    }

    fn server(&self) -> TokenServer<'_> {
        match &self.identity.binding {
            Some(_) => TokenServer::Proxy,
            None => TokenServer::Authority(self.identity.authority.host()),
        }
    }

    fn detail(&self, refusal: &Refusal, claims: &Claims, tenant: &str, request_id: &str) -> String {
        let mut parts = vec![refusal.text.clone()];
        if let Some(skew) = refusal.date.and_then(|date| skew(date, wall_clock())) {
            parts.push(skew);
        }
        if claims.for_identity_binding() && self.identity.binding.is_none() {
            parts.push(format!(
                "the service-account token is for AKS identity binding ({}), but {} is not set",
                BINDING_AUDIENCE,
                contract::AZURE_TOKEN_PROXY_VARIABLE
            ));
        }
        parts.push(format!("tenant {tenant}"));
        parts.push(format!("service-account token: {claims}"));
        parts.push(format!("our request id {request_id}"));
        parts.join("; ")
    }
}

fn issued(token: AccessToken) -> Issued {
    Issued {
        token: Secret::new(token.token),
        lifetime: token.lifetime,
        refresh_in: token.refresh_in,
    }
}

async fn receive(
    server: TokenServer<'_>,
    mut response: reqwest::Response,
) -> Result<Result<AccessToken, Refusal>, HttpError> {
    let headers = std::mem::take(response.headers_mut());
    let mut reader = TokenReader::new(server, response.status(), headers, wall_clock());
    http::read(&mut response, |piece| reader.push(piece)).await?;
    Ok(reader.finish())
}

/// Reads a response to a request for a token, whoever sent it: fuzz targets give any bytes to this.
///
/// # Errors
/// Why there is no token.
pub async fn receive_token(server: TokenServer<'_>, response: reqwest::Response) -> Result<AccessToken, Refusal> {
    match receive(server, response).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::unreachable(server, &error.to_string())),
    }
}

/// Says how far the node's clock is off, if by enough to matter.
fn skew(theirs: ServerTime, ours: ServerTime) -> Option<String> {
    let off = ours.0.saturating_sub(theirs.0);
    let minutes = off.unsigned_abs() / 60;
    let direction = if off > 0 { "ahead of" } else { "behind" };
    (off.abs() >= SKEW).then(|| {
        format!(
            "this node's clock is {} h {} min {direction} the server's: correct it (NTP)",
            minutes / 60,
            minutes % 60
        )
    })
}

/// A random UUID (RFC 9562, version 4), by which Microsoft's support finds the request.
fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is less useful, and nothing else.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.concat();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_random_uuid() {
        let (first, second) = (request_id(), request_id());
        assert_ne!(first, second);
        assert_eq!(first.len(), 36);
        assert_eq!(&first[14..15], "4");
    }

    #[test]
    fn a_wrong_clock_is_named_with_its_direction() {
        let now = ServerTime(1_000_000);
        assert_eq!(skew(now, ServerTime(1_000_200)), None);
        assert!(
            skew(now, ServerTime(1_003_660))
                .expect("ahead")
                .contains("1 h 1 min ahead of")
        );
        assert!(
            skew(now, ServerTime(999_400))
                .expect("behind")
                .contains("0 h 10 min behind")
        );
    }
}
