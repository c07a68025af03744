//! What Entra's refusals mean: the one table from codes to kinds of errors.
//!
//! Codes choose the pace of retries and the wording, never "give up": Microsoft says that they may change, and a new
//! federated credential takes minutes to be refusal everywhere.

use super::{EntraErrorKind, TokenServer};
use crate::ServerTime;
use crate::http::{Keep, Response, excerpt};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// AADSTS codes (Microsoft Entra authentication and authorization error codes).
const CODES: &[(EntraErrorKind, &[u64])] = &[
    (EntraErrorKind::LoopDetected, &[50196]),
    (EntraErrorKind::Throttled, &[90055]),
    (
        EntraErrorKind::Unavailable,
        &[50033, 50087, 90006, 90012, 90024, 90033, 90090, 90091],
    ),
    (
        EntraErrorKind::CredentialMissing,
        &[70021, 700211, 700212, 700213, 7002137, 7002138],
    ),
    (EntraErrorKind::IssuerUnreachable, &[50166, 90061]),
    (EntraErrorKind::AssertionExpired, &[700024]),
    (EntraErrorKind::AssertionRejected, &[7000272, 700027, 700025]),
    (EntraErrorKind::AssertionTooLong, &[70023]),
    (EntraErrorKind::ApplicationUnknown, &[700016, 70001, 700011, 7000112]),
    (EntraErrorKind::TenantUnknown, &[90002, 900023, 900382, 900432, 90038]),
    (EntraErrorKind::ResourceUnknown, &[500011, 650052, 650057, 70011]),
    (EntraErrorKind::ConditionalAccess, &[53003, 530032]),
];

/// Most codes of one answer that are looked at. Entra names one, rarely two.
pub(super) const CODES_KEPT: usize = 8;

/// A response without a token, or the lack of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of error.
    pub kind: EntraErrorKind,
    /// What was seen, for a person.
    pub text: String,
    /// `Retry-After` of the response.
    pub retry_after: Option<Duration>,
    /// `Date` of the response.
    pub date: Option<ServerTime>,
}

impl Refusal {
    /// No response, or not to its end; `server` is the one that was asked.
    pub fn unreachable(server: TokenServer<'_>, problem: &str) -> Self {
        Self {
            kind: EntraErrorKind::Unreachable,
            text: format!("{server}: {problem}"),
            retry_after: None,
            date: None,
        }
    }

    /// Somebody else answered: a proxy, a portal.
    pub(super) fn garbled(server: TokenServer<'_>, answer: &Response) -> Self {
        Self::with(
            EntraErrorKind::UnexpectedResponse,
            answer,
            format!("{server}: an answer that is not Entra's, {}", answer.describe()),
        )
    }

    /// A response that is not a success.
    pub(super) fn answer(server: TokenServer<'_>, answer: &Response, listed: &[u64]) -> Self {
        let body = answer
            .json::<Body>()
            .filter(|body| body.error.is_some() || !listed.is_empty());
        if server == TokenServer::Proxy && answer.status == StatusCode::FORBIDDEN && body.is_none() {
            return Self::with(EntraErrorKind::BindingRefused, answer, binding_refused(server, answer));
        }
        let Some(body) = body else {
            return match kind_of_status(answer.status) {
                Some(kind) => Self::with(kind, answer, format!("{server}: {}", answer.describe())),
                None if answer.status.is_redirection() => Self::with(
                    EntraErrorKind::UnexpectedResponse,
                    answer,
                    format!("{server}: a redirect ({}), which is never followed", answer.status),
                ),
                None => Self::garbled(server, answer),
            };
        };
        let codes = body.codes(listed);
        let kind = codes.iter().find_map(|code| kind_of_code(*code));
        let kind = kind
            .or_else(|| kind_of_status(answer.status))
            .or_else(|| {
                (body.error.as_deref() == Some("temporarily_unavailable")).then_some(EntraErrorKind::Unavailable)
            })
            .unwrap_or(EntraErrorKind::Refused);
        Self::with(kind, answer, body.text(server, answer.status, &codes))
    }

    fn with(kind: EntraErrorKind, answer: &Response, text: String) -> Self {
        Self {
            kind,
            text,
            retry_after: answer.retry_after(),
            date: answer.date(),
        }
    }
}

fn binding_refused(server: TokenServer<'_>, answer: &Response) -> String {
    format!(
        "{server} refuses (403): the ServiceAccount needs a ClusterRole with verb use-managed-identity on resource {{client ID}} of \
         API group cid.wi.aks.azure.com, and a binding to it; it said {}",
        answer.describe()
    )
}

fn kind_of_code(code: u64) -> Option<EntraErrorKind> {
    CODES
        .iter()
        .find(|(_, codes)| codes.contains(&code))
        .map(|(kind, _)| *kind)
}

fn kind_of_status(status: StatusCode) -> Option<EntraErrorKind> {
    match status.as_u16() {
        429 => Some(EntraErrorKind::Throttled),
        408 | 500..=599 => Some(EntraErrorKind::Unavailable),
        _ => None,
    }
}

/// What is kept of a response that is not a success.
pub(super) const BODY: Keep = Keep::Object(&[
    ("error", Keep::Scalar),
    ("error_description", Keep::Scalar),
    ("error_codes", Keep::Each(&Keep::Scalar)),
    ("trace_id", Keep::Scalar),
    ("correlation_id", Keep::Scalar),
]);

/// An element of `error_codes`: a number, or a string with one.
pub(super) fn code(json: &[u8]) -> Option<u64> {
    match serde_json::from_slice(json).ok()? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[derive(Deserialize, Default)]
struct Body {
    error: Option<String>,
    error_description: Option<String>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

impl Body {
    /// The codes of the list, then those in the text.
    fn codes(&self, listed: &[u64]) -> Vec<u64> {
        let written = self
            .error_description
            .as_deref()
            .unwrap_or_default()
            .split("AADSTS")
            .skip(1)
            .filter_map(|rest| {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                rest[..digits].parse().ok()
            });
        let mut codes: Vec<u64> = listed.iter().copied().chain(written).take(CODES_KEPT).collect();
        codes.dedup();
        codes
    }

    fn text(&self, server: TokenServer<'_>, status: StatusCode, codes: &[u64]) -> String {
        let description = self.error_description.as_deref().unwrap_or_default();
        // The ids at its end are given by the fields.
        let description = description.split("Trace ID:").next().unwrap_or_default();
        let mut text = format!(
            "{server}: {} {}, {}",
            status.as_u16(),
            excerpt(self.error.as_deref().unwrap_or("no error code")),
            excerpt(description)
        );
        let missing = codes
            .iter()
            .filter(|code| !description.contains(&format!("AADSTS{code}")));
        for code in missing {
            text.push_str(&format!(" (AADSTS{code})"));
        }
        for (name, id) in [("trace id", &self.trace_id), ("correlation id", &self.correlation_id)] {
            if let Some(id) = id {
                text.push_str(&format!("; {name} {}", excerpt(id)));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue};
    use serde_json::json;

    fn answer(status: u16, kind: &'static str, body: &str) -> Response {
        Response {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
            ..Response::of_json(StatusCode::OK, &BODY, body, &mut |_| true)
        }
    }

    fn refusal(status: u16, body: &Value) -> Refusal {
        let mut codes = Vec::new();
        Response::of_json(StatusCode::OK, &BODY, &body.to_string(), &mut |element| {
            codes.extend(code(element));
            true
        });
        Refusal::answer(
            TokenServer::Authority("entra"),
            &answer(status, "application/json; charset=utf-8", &body.to_string()),
            &codes,
        )
    }

    #[test]
    fn every_code_has_one_reason_from_the_list_or_from_the_text() {
        let mut all: Vec<u64> = CODES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a code stands twice");
        for (kind, codes) in CODES {
            for code in *codes {
                let listed = json!({"error": "invalid_request", "error_description": "words", "error_codes": [code]});
                let written = json!({"error": "invalid_client", "error_description": format!("AADSTS{code}: words")});
                assert_eq!(refusal(400, &listed).kind, *kind, "{code}");
                assert_eq!(refusal(401, &written).kind, *kind, "{code}");
                assert!(refusal(400, &listed).text.contains(&format!("AADSTS{code}")));
            }
        }
    }

    #[test]
    fn other_answers_have_the_reason_of_their_status() {
        let error = |code: u64| json!({"error": "invalid_request", "error_codes": [code]});
        assert_eq!(refusal(400, &error(900561)).kind, EntraErrorKind::Refused);
        assert_eq!(refusal(429, &error(900561)).kind, EntraErrorKind::Throttled);
        assert_eq!(refusal(503, &json!({"error": "x"})).kind, EntraErrorKind::Unavailable);
        assert_eq!(
            refusal(400, &json!({"error": "temporarily_unavailable"})).kind,
            EntraErrorKind::Unavailable
        );
        for (status, content_type, kind) in [
            (403, "text/html", EntraErrorKind::UnexpectedResponse),
            (302, "text/html", EntraErrorKind::UnexpectedResponse),
            (404, "application/json", EntraErrorKind::UnexpectedResponse),
            (502, "text/html", EntraErrorKind::Unavailable),
            (408, "text/plain", EntraErrorKind::Unavailable),
        ] {
            let refusal = Refusal::answer(
                TokenServer::Authority("entra"),
                &answer(status, content_type, "{}"),
                &[],
            );
            assert_eq!(refusal.kind, kind, "{status}");
        }
    }

    #[test]
    fn a_detected_loop_is_a_kind_of_its_own() {
        let looping = refusal(400, &json!({"error": "invalid_grant", "error_codes": [50196]}));
        assert_eq!(looping.kind, EntraErrorKind::LoopDetected);
    }

    #[test]
    fn ids_are_named_once() {
        let body = json!({
            "error": "invalid_request",
            "error_description": "AADSTS70021: No matching credential.\r\nTrace ID: t-1\r\nCorrelation ID: c-1",
            "error_codes": [70021], "trace_id": "t-1", "correlation_id": "c-1",
        });
        assert_eq!(
            refusal(400, &body).text,
            "entra: 400 invalid_request, AADSTS70021: No matching credential.; trace id t-1; correlation id c-1"
        );
    }

    #[test]
    fn a_403_of_the_token_proxy_names_the_cluster_role() {
        let refused = Refusal::answer(
            TokenServer::Proxy,
            &answer(403, "application/json", r#"{"kind":"Status","message":"no"}"#),
            &[],
        );
        assert_eq!(refused.kind, EntraErrorKind::BindingRefused);
        assert!(refused.text.contains("use-managed-identity"), "{}", refused.text);
    }
}
