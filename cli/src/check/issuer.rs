//! The cluster's issuer, as Entra has to see it: an https URL, a document that names it, keys with which the cluster signs, RS256.

use super::CheckReason;
use super::looked::{Looked, not_given};
use crate::problem::{Finding, shared};
use contract::EntraReason;
use serde_json::Value;

/// What was seen of the issuer.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The issuer's URL and the key and algorithm that the cluster signs with, from a token or from the API server.
    pub(crate) claimed: Option<Claimed>,
    /// What is published at the URL; `None`: nobody asked.
    pub(crate) published: Option<Published>,
}

/// What the cluster says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) url: String,
    /// `kid` of a token; `None`: there was no token to look at.
    pub(crate) key: Option<String>,
    /// `alg` of a token.
    pub(crate) algorithm: Option<String>,
}

/// What anybody can read.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// `URL/.well-known/openid-configuration`: the document, or why there is none.
    pub(crate) document: Result<Value, String>,
    /// What its `jwks_uri` leads to.
    pub(crate) keys: Result<Value, String>,
}

impl Claimed {
    /// Reads header and claims of a token, unverified: it came from the API server.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        use base64::Engine as _;
        let part = |index: usize| -> Option<Value> {
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(token.split('.').nth(index)?)
                .ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let (header, claims) = (part(0)?, part(1)?);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            url: text(&claims["iss"])?,
            key: text(&header["kid"]),
            algorithm: text(&header["alg"]),
        })
    }
}

const SUBJECT: &str = "issuer";
const RS256: &str = "RS256";

/// What that means.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let Some(claimed) = &facts.claimed else {
        return vec![not_given(
            SUBJECT,
            "Not looked at: neither a token of a ServiceAccount nor the API server's own discovery document could be had.",
            "Run this as somebody who may create tokens of a ServiceAccount (verb create on serviceaccounts/token).",
        )];
    };
    if let Some(finding) = unusable(&claimed.url) {
        return vec![finding];
    }
    let Some(published) = &facts.published else {
        return Vec::new();
    };
    vec![document(claimed, published).unwrap_or_else(|finding| finding)]
}

/// The URL, where nobody outside the cluster can read it.
fn unusable(url: &str) -> Option<Finding> {
    let host = url
        .strip_prefix("https://")
        .map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    let why = match host {
        None => "is no https URL",
        Some(host)
            if host.starts_with("kubernetes.default") || host.ends_with(".svc") || host.ends_with(".cluster.local") =>
        {
            "is a name that is known in the cluster only"
        }
        Some(_) => return None,
    };
    Some(Finding::bad(
        SUBJECT,
        format!("The cluster's issuer {url} {why}, so Entra cannot read its keys."),
        CheckReason::IssuerPrivate.fix("Managed clusters: enable their OIDC issuer. Your own: publish both documents at a public address and start the API server with --service-account-issuer and --service-account-jwks-uri of it."),
    ))
}

fn document(claimed: &Claimed, published: &Published) -> Result<Finding, Finding> {
    let url = &claimed.url;
    let unreadable = |what: &str, why: &String| {
        Finding::bad(
            SUBJECT,
            format!("{what} of the cluster's issuer {url} cannot be read from here: {why}"),
            shared(
                EntraReason::IssuerUnreachable,
                format!(
                    "Entra reads it over the internet, without credentials: `curl {url}/.well-known/openid-configuration` from outside has to show it. If only this machine cannot reach it, see what Entra says below."
                ),
            ),
        )
    };
    let document = published
        .document
        .as_ref()
        .map_err(|why| unreadable("The discovery document", why))?;
    if document["issuer"] != url.as_str() {
        return Err(Finding::bad(
            SUBJECT,
            format!("The document at {url} names the issuer {}, but tokens of this cluster name {url}.", document["issuer"]),
            CheckReason::IssuerMismatch.fix("Publish the document of this cluster: `kubectl get --raw /.well-known/openid-configuration`. A slash at the end counts."),
        ));
    }
    let listed = document["id_token_signing_alg_values_supported"].as_array();
    let algorithms: Vec<_> = listed.into_iter().flatten().filter_map(Value::as_str).collect();
    let signs_with = claimed.algorithm.as_deref();
    if signs_with.is_some_and(|algorithm| algorithm != RS256) || !algorithms.contains(&RS256) {
        return Err(Finding::bad(
            SUBJECT,
            format!(
                "The cluster signs with {}, and Entra takes {RS256} only.",
                signs_with.map_or_else(|| algorithms.join(", "), str::to_owned)
            ),
            CheckReason::IssuerAlgorithm
                .fix("Sign with an RSA key: --service-account-signing-key-file of the API server."),
        ));
    }
    let keys = published.keys.as_ref().map_err(|why| unreadable("The key set", why))?;
    let keys = keys["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(key) = &claimed.key
        && !keys.iter().any(|one| one["kid"] == key.as_str())
    {
        return Err(Finding::bad(
            SUBJECT,
            format!(
                "The key set of {url} lacks the key {key}, with which the cluster signs now ({} keys are there).",
                keys.len()
            ),
            shared(
                EntraReason::AssertionRejected,
                "Publish the cluster's key set again, with the old keys for a day: `kubectl get --raw /openid/v1/jwks`.",
            ),
        ));
    }
    if keys.is_empty() {
        return Err(Finding::bad(
            SUBJECT,
            format!("The key set of {url} is empty."),
            CheckReason::IssuerMismatch.fix("Publish the cluster's key set: `kubectl get --raw /openid/v1/jwks`."),
        ));
    }
    Ok(Finding::good(
        SUBJECT,
        format!("{url} is readable, and its key set has the cluster's key (RS256)."),
    ))
}

/// The API server's own discovery document, where there is no token.
pub(crate) fn claimed_by_server(document: &Looked<Value>) -> Option<Claimed> {
    let url = document.found()?["issuer"].as_str()?.to_owned();
    Some(Claimed {
        url,
        key: None,
        algorithm: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Level;
    use serde_json::json;

    const URL: &str = "https://issuer.example/1";

    fn good() -> (Claimed, Published) {
        (
            Claimed {
                url: URL.into(),
                key: Some("k1".into()),
                algorithm: Some("RS256".into()),
            },
            Published {
                document: Ok(json!({"issuer": URL, "id_token_signing_alg_values_supported": ["RS256"]})),
                keys: Ok(json!({"keys": [{"kid": "k0"}, {"kid": "k1"}]})),
            },
        )
    }

    fn found(change: impl FnOnce(&mut Claimed, &mut Published)) -> Finding {
        let (mut claimed, mut published) = good();
        change(&mut claimed, &mut published);
        let facts = Facts {
            claimed: Some(claimed),
            published: Some(published),
        };
        findings(&facts).remove(0)
    }

    #[test]
    fn what_entra_could_not_use_is_named() {
        assert_eq!(found(|_, _| {}).level, Level::Good);
        for (change, word) in [
            (
                (|claimed, _| claimed.url = "https://kubernetes.default.svc".into())
                    as fn(&mut Claimed, &mut Published),
                "issuer-private",
            ),
            (
                |claimed, _| claimed.url = "kubernetes/serviceaccount".into(),
                "issuer-private",
            ),
            (
                |claimed, _| claimed.url = "https://issuer.example/1/".into(),
                "issuer-mismatch",
            ),
            (
                |_, published| published.document = Err("503".into()),
                "issuer-unreachable",
            ),
            (|_, published| published.keys = Err("404".into()), "issuer-unreachable"),
            (
                |claimed, _| claimed.algorithm = Some("ES256".into()),
                "issuer-algorithm",
            ),
            (
                |_, published| {
                    published.document = Ok(json!({"issuer": URL, "id_token_signing_alg_values_supported": ["ES256"]}))
                },
                "issuer-algorithm",
            ),
            (|claimed, _| claimed.key = Some("k2".into()), "assertion-rejected"),
            (
                |claimed, published| {
                    claimed.key = None;
                    published.keys = Ok(json!({"keys": []}));
                },
                "issuer-mismatch",
            ),
        ] {
            let finding = found(change);
            assert_eq!(
                (finding.level, finding.problem.expect("a problem").reason),
                (Level::Bad, word),
                "{}",
                finding.sentence
            );
        }
    }

    #[test]
    fn a_token_says_who_signs_and_how() {
        use base64::Engine as _;
        let encode = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.s",
            encode(json!({"alg": "RS256", "kid": "k1"})),
            encode(json!({"iss": URL}))
        );
        let (claimed, _) = good();
        assert_eq!(Claimed::of_token(&token), Some(claimed));
        assert_eq!(Claimed::of_token("opaque"), None);
    }
}
