//! Entra's token endpoint: one request, three outcomes (a token, a refusal, no answer of Entra's).
//!
//! Microsoft identity platform, OAuth 2.0 client credentials flow, third case: access token request with a federated
//! credential.

mod assertion;
mod binding;
mod refusals;

use crate::config::Names;
use crate::http::{self, Answer, Http, Keep, Wanted};
use crate::secret::Secret;
use crate::times;
use crate::url::Authority;
use assertion::{Assertion, Claims};
use azure_protocol::{EntraError, EntraErrorKind, ServerTime};
pub use binding::Binding;
use reqwest::{Response, StatusCode};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A clock that is wrong by this much is worth a word: Entra tolerates five minutes.
const SKEW: i64 = 300;

/// Who we are at Entra.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Client id.
    pub client_id: String,
    /// Scope of the access token.
    pub scope: String,
    /// The projected service-account token.
    pub assertion_file: PathBuf,
    /// Entra's authority.
    pub authority: Authority,
    /// The cluster's token proxy that is asked instead of the authority (AKS identity binding).
    pub binding: Option<Binding>,
}

impl Identity {
    /// Reads the identity's variables.
    pub(crate) fn read(names: &mut Names<'_>, authority: Option<Authority>) -> Option<Self> {
        let azwi = names.optional(contract::AZWI_IDENTITY_VARIABLE).as_deref() == Some("true");
        let file = contract::AZURE_FEDERATED_TOKEN_FILE_VARIABLE;
        if azwi && names.optional(file).is_none() {
            names.refuse(format!(
                "the identity is left to Azure Workload Identity, but {file} is not set: azwi did not mutate this pod; check \
                 that its webhook runs and that the pod carries the label {}: \"true\"",
                contract::AZWI_USE_LABEL
            ));
            return None;
        }
        let identity = Self {
            client_id: names.required(contract::AZURE_CLIENT_ID_VARIABLE),
            scope: names
                .optional(contract::SCOPE_VARIABLE)
                .unwrap_or_else(|| contract::DEFAULT_SCOPE.to_owned()),
            assertion_file: PathBuf::from(names.required(file)),
            authority: authority?,
            binding: if azwi { Binding::read(names) } else { None },
        };
        Some(identity)
    }
}

/// A token as Entra issued it.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: Secret,
    /// From just before the request was sent.
    pub(crate) lifetime: Duration,
    /// Likewise.
    pub(crate) refresh_in: Option<Duration>,
}

/// One identity at one authority.
#[derive(Debug)]
pub(crate) struct Entra {
    identity: Identity,
    http: Arc<Http>,
}

impl Entra {
    pub(crate) fn new(identity: Identity, http: Arc<Http>) -> Self {
        Self { identity, http }
    }

    /// Reads the assertion and trades it for an access token.
    pub(crate) async fn exchange(&self, tenant: &str) -> Result<Issued, EntraError> {
        let file = &self.identity.assertion_file;
        let assertion = Assertion::read(file).map_err(|problem| EntraError {
            kind: EntraErrorKind::AssertionMissing,
            detail: problem,
            retry_after: None,
            assertion_changed: false,
        })?;
        let request_id = request_id();
        let mut codes = Vec::new();
        let answer = self.post(&assertion, tenant, &request_id, &mut codes).await;
        let verdict = match answer {
            Err(problem) => Err(refusals::Seen::unreachable(self.whom(), &problem)),
            Ok(answer) => judge(self.whom(), self.identity.binding.is_some(), &answer, &codes),
        };
        verdict.map_err(|seen| {
            let claims = assertion.claims();
            let detail = self.detail(&seen, &claims, tenant, &request_id);
            EntraError {
                kind: seen.kind,
                detail: assertion.secret().redact(&detail),
                retry_after: seen.retry_after,
                assertion_changed: Assertion::read(file).is_ok_and(|now| now.secret() != assertion.secret()),
            }
        })
    }

    async fn post(
        &self,
        assertion: &Assertion,
        tenant: &str,
        request_id: &str,
        codes: &mut Vec<u64>,
    ) -> Result<Answer, String> {
        let request = match &self.identity.binding {
            None => self.http.client()?.post(self.identity.authority.token_endpoint(tenant)),
            Some(binding) => binding.post(tenant).await?,
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
        http::send(request, wanted, |element| keep_code(codes, element)).await
    }

    /// Who answers, for sentences.
    fn whom(&self) -> &str {
        match &self.identity.binding {
            Some(_) => "the cluster's token proxy",
            None => self.identity.authority.host(),
        }
    }

    fn detail(&self, seen: &refusals::Seen, claims: &Claims, tenant: &str, request_id: &str) -> String {
        let mut parts = vec![seen.text.clone()];
        if let Some(skew) = seen.date.and_then(|date| skew(date, times::wall_clock())) {
            parts.push(skew);
        }
        if claims.for_identity_binding() && self.identity.binding.is_none() {
            parts.push(format!(
                "the service-account token is for AKS identity binding ({}), but {} is not set",
                assertion::BINDING_AUDIENCE,
                contract::AZURE_TOKEN_PROXY_VARIABLE
            ));
        }
        parts.push(format!("tenant {tenant}"));
        parts.push(format!("service-account token: {claims}"));
        parts.push(format!("our request id {request_id}"));
        parts.join("; ")
    }
}

/// What an answer means; `whom` is who gave it.
fn judge(whom: &str, through_binding: bool, answer: &Answer, codes: &[u64]) -> Result<Issued, refusals::Seen> {
    if answer.status != StatusCode::OK {
        return Err(refusals::Seen::answer(whom, answer, codes, through_binding));
    }
    let garbled = || refusals::Seen::garbled(whom, answer);
    if !answer.is_json() {
        return Err(garbled());
    }
    let body: Success = answer.json().ok_or_else(|| {
        // The body may hold a token, so nothing of it is shown.
        refusals::Seen::unreachable(whom, "a success whose body has not the shape of a token answer")
    })?;
    let lifetime = seconds(&body.expires_in).filter(|lifetime| !lifetime.is_zero());
    let token = Secret::new(body.access_token);
    let plain = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match lifetime {
        Some(lifetime) if plain => Ok(Issued {
            token,
            lifetime,
            refresh_in: seconds(&body.refresh_in),
        }),
        Some(_) | None => Err(refusals::Seen::unreachable(
            whom,
            "a success without a token or without its lifetime",
        )),
    }
}

/// Reads a response to a request for a token, and says how long the token lives; `through_binding` where the cluster's token
/// proxy was asked.
///
/// # Errors
/// The kind of error, and the server's words.
pub async fn answer(response: Response, through_binding: bool) -> Result<Duration, (EntraErrorKind, String)> {
    let whom = "the server";
    let mut codes = Vec::new();
    let seen = match http::receive(response, wanted, |element| keep_code(&mut codes, element)).await {
        Ok(answer) => judge(whom, through_binding, &answer, &codes).map(|issued| issued.lifetime),
        Err(problem) => Err(refusals::Seen::unreachable(whom, &problem)),
    };
    seen.map_err(|seen| (seen.kind, seen.text))
}

/// What is kept of an answer: the token, or what went wrong.
fn wanted(status: StatusCode) -> Wanted {
    Wanted {
        keep: if status == StatusCode::OK {
            &SUCCESS
        } else {
            &refusals::BODY
        },
        secret: status == StatusCode::OK,
    }
}

fn keep_code(codes: &mut Vec<u64>, element: &[u8]) -> bool {
    if codes.len() < refusals::CODES_KEPT {
        codes.extend(refusals::code(element));
    }
    true
}

/// Says how far the node's clock is off, if that is worth a word.
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

const SUCCESS: Keep = Keep::Object(&[
    ("access_token", Keep::Scalar),
    ("expires_in", Keep::Scalar),
    ("refresh_in", Keep::Scalar),
]);

#[derive(Deserialize)]
struct Success {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    refresh_in: Value,
}

/// Seconds, as a number or as a string with one.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_may_be_strings() {
        for (value, expected) in [
            (json!(3599), Some(3599)),
            (json!("3599"), Some(3599)),
            (json!(86399.0), Some(86399)),
            (json!("soon"), None),
            (json!(-1), None),
            (json!(null), None),
        ] {
            assert_eq!(seconds(&value), expected.map(Duration::from_secs), "{value}");
        }
    }

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
