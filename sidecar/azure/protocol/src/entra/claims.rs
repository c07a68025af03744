//! Claims of a service-account token.

use crate::ServerTime;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::fmt;

/// Audience of a token that AKS identity binding expects, and Entra does not know.
pub const BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// Claims of a token whose signature nobody checked.
#[derive(Debug)]
pub struct Claims(Value);

impl Claims {
    /// What a token claims, unverified: for messages only.
    pub fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1).unwrap_or_default();
        let claims = URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        Self(claims.unwrap_or_default())
    }

    /// Whether AKS identity binding expects the token, which Entra does not know.
    pub fn for_identity_binding(&self) -> bool {
        let audience = &self.0["aud"];
        let listed = audience.as_array().into_iter().flatten();
        listed.chain([audience]).any(|audience| audience == BINDING_AUDIENCE)
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_null() {
            return f.write_str("not readable as a JWT");
        }
        let text = |name: &str| match &self.0[name] {
            Value::String(text) => text.clone(),
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            Value::Null => "none".to_owned(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => "unreadable".to_owned(),
        };
        let expires = self.0["exp"]
            .as_i64()
            .map_or_else(|| "unknown".to_owned(), |exp| ServerTime(exp).to_string());
        write!(
            f,
            "issuer {}, subject {}, audience {}, expires {expires}",
            text("iss"),
            text("sub"),
            text("aud")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shown_without_the_token() {
        let payload = URL_SAFE_NO_PAD
            .encode(r#"{"iss":"https://issuer/","sub":"system:serviceaccount:n:a","aud":["x","y"],"exp":784111777}"#);
        assert_eq!(
            Claims::of(&format!("h.{payload}.s")).to_string(),
            "issuer https://issuer/, subject system:serviceaccount:n:a, audience x, y, expires 1994-11-06 08:49:37 UTC"
        );
        assert_eq!(Claims::of("opaque").to_string(), "not readable as a JWT");
    }
}
