//! The response of the token endpoint.

use super::refusal::{self, Refusal};
use crate::ServerTime;
use crate::http::{Flow, Keep, Reader, Response, Wanted};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// An access token as it was issued. `Debug` does not show it.
pub struct AccessToken {
    /// The token.
    pub token: Zeroizing<String>,
    /// Its lifetime, from just before the request was sent.
    pub lifetime: Duration,
    /// When Entra suggests to refresh it, counted likewise.
    pub refresh_in: Option<Duration>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("lifetime", &self.lifetime)
            .field("refresh_in", &self.refresh_in)
            .finish_non_exhaustive()
    }
}

/// Who was asked for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenServer<'a> {
    /// Entra itself, at this host.
    Authority(&'a str),
    /// The cluster's token proxy (AKS identity binding).
    Proxy,
}

impl fmt::Display for TokenServer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority(host) => host,
            Self::Proxy => "the cluster's token proxy",
        })
    }
}

/// Reads the response to a request for a token while it arrives.
#[derive(Debug)]
pub struct TokenReader<'a> {
    server: TokenServer<'a>,
    codes: Vec<u64>,
    reader: Reader,
}

impl<'a> TokenReader<'a> {
    /// The head of the response is there; `received` is now, by the client's clock.
    pub fn new(server: TokenServer<'a>, status: StatusCode, headers: HeaderMap, received: ServerTime) -> Self {
        let is_success = status == StatusCode::OK;
        let wanted = Wanted {
            keep: if is_success { &SUCCESS } else { &refusal::BODY },
            secret: is_success,
        };
        Self {
            server,
            codes: Vec::new(),
            reader: Reader::new(status, headers, received, wanted),
        }
    }

    /// Reads the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) -> Flow {
        self.reader
            .push(piece, &mut |element| keep_code(&mut self.codes, element))
    }

    /// The token.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(self) -> Result<AccessToken, Refusal> {
        read_response(self.server, &self.reader.finish(), &self.codes)
    }
}

/// What a response means.
fn read_response(server: TokenServer<'_>, answer: &Response, codes: &[u64]) -> Result<AccessToken, Refusal> {
    if answer.status != StatusCode::OK {
        return Err(Refusal::answer(server, answer, codes));
    }
    let garbled = || Refusal::garbled(server, answer);
    if !answer.is_json() {
        return Err(garbled());
    }
    let body: Success = answer.json().ok_or_else(|| {
        // The body may hold a token, so nothing of it is shown.
        Refusal::unreachable(server, "a success whose body has not the shape of a token answer")
    })?;
    let lifetime = seconds(&body.expires_in).filter(|lifetime| !lifetime.is_zero());
    let token = Zeroizing::new(body.access_token);
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    match lifetime {
        Some(lifetime) if plain => Ok(AccessToken {
            token,
            lifetime,
            refresh_in: seconds(&body.refresh_in),
        }),
        Some(_) | None => Err(Refusal::unreachable(
            server,
            "a success without a token or without its lifetime",
        )),
    }
}

fn keep_code(codes: &mut Vec<u64>, element: &[u8]) -> bool {
    if codes.len() < refusal::CODES_KEPT {
        codes.extend(refusal::code(element));
    }
    true
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
}
