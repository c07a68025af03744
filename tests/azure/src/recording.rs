//! What the emulators remember of every request, and waiting for something to become true.

use crate::clock::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How a request authenticated itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "scheme")]
pub enum Authorization {
    /// No `Authorization` header.
    None,
    /// `Bearer`.
    Bearer,
    /// `Basic`, with what stood in the user part.
    Basic {
        /// `VstsAgent` from the agent, `user` from Microsoft's start script, empty from KEDA.
        user: String,
    },
    /// Anything else.
    Other,
}

/// The credential of a request; never written anywhere.
pub(crate) struct Credential {
    pub(crate) scheme: Authorization,
    pub(crate) secret: Option<String>,
}

impl Credential {
    /// Reads an `Authorization` header.
    pub(crate) fn read(header: Option<&str>) -> Self {
        let Some((scheme, value)) = header.and_then(|header| header.split_once(' ')) else {
            let scheme = header.map_or(Authorization::None, |_| Authorization::Other);
            return Self { scheme, secret: None };
        };
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self {
                scheme: Authorization::Bearer,
                secret: Some(value.to_owned()),
            };
        }
        let pair = BASE64_STANDARD
            .decode(value)
            .ok()
            .and_then(|pair| String::from_utf8(pair).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, secret)) if scheme.eq_ignore_ascii_case("basic") => Self {
                scheme: Authorization::Basic { user: user.to_owned() },
                secret: Some(secret.to_owned()),
            },
            _ => Self {
                scheme: Authorization::Other,
                secret: None,
            },
        }
    }
}

/// One request as it was answered. No token, assertion or body is kept.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// When it came, by the emulator's clock.
    pub time: Timestamp,
    /// Method.
    pub method: String,
    /// Host without port.
    pub host: String,
    /// Path as it was sent.
    pub path: String,
    /// Query as it was sent, decoded.
    pub query: Vec<(String, String)>,
    /// The route's name, such as `DELETE agents/{id}`; `unknown` where there is none.
    pub route: &'static str,
    /// Status of the answer; 0 where the connection was reset or left hanging.
    pub status: u16,
    /// How it authenticated itself.
    pub authorization: Authorization,
    /// Who it was: a display name, where that is known.
    pub identity: Option<String>,
    /// First eight hexadecimal digits of the SHA-256 of the credential: tells tokens apart without showing them.
    pub token: Option<String>,
    /// Age of the token in seconds (since `iat`).
    pub token_age: Option<i64>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The fault that struck, if one did.
    pub fault: Option<crate::faults::Fault>,
}

/// Eight hexadecimal digits that tell secrets apart.
pub(crate) fn fingerprint(secret: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Remembers requests and wakes those who wait. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    records: Arc<Mutex<Vec<Record>>>,
    changed: watch::Sender<u64>,
}

impl Recording {
    pub(crate) fn new() -> Self {
        Self {
            records: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn add(&self, record: Record) {
        tracing::debug!(
            method = record.method,
            path = record.path,
            status = record.status,
            identity = record.identity,
            fault = ?record.fault,
            "request"
        );
        self.records.lock().expect("recording does not panic").push(record);
        self.touch();
    }

    /// Something changed that somebody may wait for.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    pub(crate) fn all(&self) -> Vec<Record> {
        self.records.lock().expect("recording does not panic").clone()
    }

    pub(crate) fn clear(&self) {
        self.records.lock().expect("recording does not panic").clear();
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// How often each route was asked.
pub fn counts(records: &[Record]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.route).or_default() += 1;
    }
    counts
}

/// What was waited for did not become true in time.
#[derive(Debug, Clone)]
pub struct TimedOut {
    what: String,
    within: Duration,
    state: String,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not within {:?}: {}\n{}", self.within, self.what, self.state)
    }
}

impl std::error::Error for TimedOut {}

/// Waits until a condition holds: looks at once, at each change, and now and then, since time alone changes things, too.
pub(crate) async fn wait_until<S>(
    what: &str,
    within: Duration,
    recording: &Recording,
    observe: impl Fn() -> S,
    holds: impl Fn(&S) -> bool,
    describe: impl Fn(&S) -> String,
) -> Result<S, TimedOut> {
    let deadline = Instant::now() + within;
    let mut changes = recording.subscribe();
    loop {
        changes.mark_unchanged();
        let state = observe();
        if holds(&state) {
            return Ok(state);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TimedOut {
                what: what.to_owned(),
                within,
                state: describe(&state),
            });
        }
        // Either a change or the end of the pause: both mean to look again.
        let _ = tokio::time::timeout(left.min(Duration::from_millis(50)), changes.changed()).await;
    }
}

/// The last requests, a line each, for failure messages.
pub fn summary(records: &[Record]) -> String {
    let lines: Vec<String> = records
        .iter()
        .rev()
        .take(20)
        .rev()
        .map(|record| {
            format!(
                "  {} {} {} -> {} {}",
                record.time.iso(),
                record.method,
                record.path,
                record.status,
                record.identity.as_deref().unwrap_or("-")
            )
        })
        .collect();
    format!("last requests ({} in all):\n{}", records.len(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authorization_header_is_taken_apart() {
        let read = |header: &str| {
            let credential = Credential::read(Some(header));
            (credential.scheme, credential.secret)
        };
        assert_eq!(read("bearer abc"), (Authorization::Bearer, Some("abc".to_owned())));
        assert_eq!(
            read(&format!("Basic {}", BASE64_STANDARD.encode("VstsAgent:a:b"))),
            (
                Authorization::Basic {
                    user: "VstsAgent".to_owned()
                },
                Some("a:b".to_owned())
            )
        );
        assert_eq!(read("Negotiate abc"), (Authorization::Other, None));
    }
}
