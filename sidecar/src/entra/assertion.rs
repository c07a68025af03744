//! The projected service-account token: read anew for every exchange, shown to nobody.

use crate::secret::Secret;
use crate::times;
use azure_protocol::ServerTime;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::fmt;
use std::io::Read;
use std::path::Path;

/// Longest token that is read, in bytes; real ones have about 1,200.
const LIMIT: u64 = 16 * 1024;
/// Audience of a token that AKS identity binding expects, and Entra does not know.
pub(super) const BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// The token as it is in the file now.
#[derive(Debug)]
pub(super) struct Assertion(Secret);

impl Assertion {
    /// Reads the file. The kubelet swaps a directory above it, so that an open descriptor would show the old one forever.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text));
        let text = Secret::new(text);
        read.map_err(|error| format!("service-account token {shown}: {error}"))?;
        let token = text.expose().trim();
        if token.is_empty() {
            return Err(format!("service-account token {shown} is empty"));
        }
        if token.len() as u64 > LIMIT || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("service-account token {shown} is no token"));
        }
        Ok(Self(Secret::new(token.to_owned())))
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// What the token claims, unverified: for sentences only.
    pub(super) fn claims(&self) -> Claims {
        let payload = self.0.expose().split('.').nth(1).unwrap_or_default();
        let claims = URL_SAFE_NO_PAD
            .decode(payload.trim_end_matches('='))
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        Claims(claims.unwrap_or_default())
    }
}

/// Claims of a token whose signature nobody checked.
#[derive(Debug)]
pub(super) struct Claims(Value);

impl Claims {
    pub(super) fn for_identity_binding(&self) -> bool {
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
            .map_or_else(|| "unknown".to_owned(), |exp| times::readable(ServerTime(exp)));
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

    fn read(content: &[u8]) -> Result<Assertion, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("assertion");
        std::fs::write(&path, content).expect("written");
        Assertion::read(&path)
    }

    #[test]
    fn white_space_around_the_token_is_not_sent() {
        assert_eq!(read(b" a.b.c\n").expect("a token").secret().expose(), "a.b.c");
    }

    #[test]
    fn what_is_no_token_is_said_without_showing_it() {
        for content in [&b""[..], b" \n", b"two words", b"\xff\xfe", &[b'x'; 20_000]] {
            let problem = read(content).expect_err("no token");
            assert!(problem.contains("/assertion") && problem.len() < 200, "{problem}");
        }
        assert!(
            Assertion::read(Path::new("/does/not/exist"))
                .expect_err("no file")
                .contains("/does/not/exist")
        );
    }

    #[test]
    fn claims_are_shown_without_the_token() {
        let payload = URL_SAFE_NO_PAD
            .encode(r#"{"iss":"https://issuer/","sub":"system:serviceaccount:n:a","aud":["x","y"],"exp":784111777}"#);
        let token = read(format!("h.{payload}.s").as_bytes()).expect("a token");
        assert_eq!(
            token.claims().to_string(),
            "issuer https://issuer/, subject system:serviceaccount:n:a, audience x, y, expires 1994-11-06 08:49:37 UTC"
        );
        assert_eq!(
            read(b"opaque").expect("a token").claims().to_string(),
            "not readable as a JWT"
        );
    }
}
