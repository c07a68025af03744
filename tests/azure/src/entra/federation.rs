//! Checks a federated assertion as Entra does: a matching credential first, then the issuer's published keys, then time.

use super::directory::{Entry, Visible};
use super::errors::{Refusal, refuse};
use crate::clock::Timestamp;
use crate::jwt::{PublicKey, Token};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// Entra takes no assertion that lives longer.
const LONGEST_LIFETIME: i64 = 25 * 3600;

/// The issuers' keys, fetched over HTTPS from their discovery documents and kept for a while.
pub(super) struct Issuers {
    client: Mutex<reqwest::Client>,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    keys: HashMap<String, PublicKey>,
    /// `None`: set by hand, never fetched.
    until: Option<Timestamp>,
}

/// How long keys are kept.
const KEEP: Duration = Duration::from_secs(3600);

impl Issuers {
    /// Trusts the servers that these PEM bundles vouch for.
    pub(super) fn new(bundles: &[&str]) -> std::io::Result<Self> {
        Ok(Self {
            client: Mutex::new(client(bundles)?),
            kept: Mutex::default(),
        })
    }

    pub(super) fn trust(&self, bundles: &[&str]) -> std::io::Result<()> {
        *self.client.lock().expect("issuers do not panic") = client(bundles)?;
        Ok(())
    }

    /// Uses this key set for an issuer and never asks the issuer.
    pub(super) fn pin(&self, issuer: &str, key_set: &Value) {
        self.keep(issuer, read_keys(key_set), None);
    }

    fn keep(&self, issuer: &str, keys: HashMap<String, PublicKey>, until: Option<Timestamp>) {
        let kept = Kept { keys, until };
        self.kept
            .lock()
            .expect("issuers do not panic")
            .insert(issuer.to_owned(), kept);
    }

    /// The key of this name: kept, or fetched where the kept keys are old or do not hold it.
    pub(super) async fn key(&self, issuer: &str, id: &str, now: Timestamp) -> Result<Option<PublicKey>, Refusal> {
        {
            let kept = self.kept.lock().expect("issuers do not panic");
            match kept.get(issuer) {
                Some(Kept { keys, until: None }) => return Ok(keys.get(id).cloned()),
                Some(Kept {
                    keys,
                    until: Some(until),
                }) if now < *until && keys.contains_key(id) => {
                    return Ok(keys.get(id).cloned());
                }
                Some(_) | None => {}
            }
        }
        let keys = self.fetch(issuer).await?;
        let key = keys.get(id).cloned();
        self.keep(issuer, keys, Some(now.plus(KEEP)));
        Ok(key)
    }

    async fn fetch(&self, issuer: &str) -> Result<HashMap<String, PublicKey>, Refusal> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.get(&address).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return refuse(90061, format!("The document at {address} names another issuer."));
        }
        match document.get("jwks_uri").and_then(Value::as_str) {
            Some(address) => Ok(read_keys(&self.get(address).await?)),
            None => refuse(90061, format!("The document at {address} has no jwks_uri.")),
        }
    }

    async fn get(&self, address: &str) -> Result<Value, Refusal> {
        if !address.starts_with("https://") {
            return refuse(50166, format!("{address} is no https address."));
        }
        let client = self.client.lock().expect("issuers do not panic").clone();
        let answer = match client.get(address).send().await {
            Ok(answer) => answer,
            Err(error) => return refuse(50166, format!("{address} cannot be reached: {error}.")),
        };
        let status = answer.status();
        if !status.is_success() {
            return refuse(50166, format!("{address} answered {status}."));
        }
        match answer.json().await {
            Ok(document) => Ok(document),
            Err(error) => refuse(90061, format!("{address} did not answer with JSON: {error}.")),
        }
    }
}

fn client(bundles: &[&str]) -> std::io::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(crate::tls::client_config(bundles)?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(std::io::Error::other)
}

fn read_keys(key_set: &Value) -> HashMap<String, PublicKey> {
    let keys = key_set.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(|key| Some((key.get("kid")?.as_str()?.to_owned(), PublicKey::from_jwk(key)?)))
        .collect()
}

/// Whether the identity trusts who signed this assertion for whom. What differs decides the code.
pub(super) fn trusts(entry: &Entry, assertion: &Token, now: Timestamp) -> Result<(), Refusal> {
    let known: Vec<_> = entry
        .credentials
        .iter()
        .filter(|visible| visible.from <= now)
        .map(|Visible { credential, .. }| credential)
        .collect();
    let (issuer, subject) = (
        assertion.text("iss").unwrap_or_default(),
        assertion.text("sub").unwrap_or_default(),
    );
    if known.is_empty() {
        return refuse(
            70021,
            format!(
                "Assertion Issuer: '{issuer}'. Assertion Subject: '{subject}'. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
            ),
        );
    }
    let of_issuer: Vec<_> = known
        .into_iter()
        .filter(|credential| credential.issuer == issuer)
        .collect();
    if of_issuer.is_empty() {
        return refuse(700_211, issuer);
    }
    let differs_in_case_only = of_issuer
        .iter()
        .any(|credential| credential.subject.eq_ignore_ascii_case(subject));
    let of_subject: Vec<_> = of_issuer
        .into_iter()
        .filter(|credential| credential.subject == subject)
        .collect();
    if of_subject.is_empty() {
        let code = if differs_in_case_only { 7_002_138 } else { 700_213 };
        return refuse(code, subject);
    }
    let for_audience = of_subject
        .iter()
        .any(|credential| credential.audiences.iter().any(|audience| assertion.is_for(audience)));
    if !for_audience {
        let presented = assertion.claims.get("aud").map(Value::to_string).unwrap_or_default();
        return refuse(700_212, presented.trim_matches(['[', ']', '"']));
    }
    Ok(())
}

/// Whether the assertion is valid now, within the leeway, and does not live too long.
pub(super) fn is_timely(assertion: &Token, now: Timestamp, leeway: Duration) -> Result<(), Refusal> {
    let (Some(from), Some(until)) = (
        assertion.number("nbf").or_else(|| assertion.number("iat")),
        assertion.number("exp"),
    ) else {
        return refuse(50027, "");
    };
    if until - from > LONGEST_LIFETIME {
        return refuse(
            70023,
            format!(
                "Lifetime: {} seconds, maximum: {LONGEST_LIFETIME} seconds.",
                until - from
            ),
        );
    }
    let (seconds, leeway) = (now.seconds(), leeway.as_secs() as i64);
    if seconds > until + leeway || seconds + leeway < from {
        let time = |seconds: i64| Timestamp(seconds * 1000).iso();
        return refuse(
            700_024,
            format!(
                "Current time: {}, assertion valid from {}, expiry time of assertion {}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
                now.iso(),
                time(from),
                time(until)
            ),
        );
    }
    Ok(())
}
