//! The admission review on the wire: what the API server posts and what it expects back.
//!
//! The object stays as it came, as a JSON value: a typed pod would drop what our types do not know. Only its managed fields
//! are left out, which take long to read and decide nothing, and an object of too many values is counted but not stored.
//! Shapes: `admission.k8s.io/v1` and `v1beta1`, which agree in everything that is read here.

mod answer;
mod object;

pub use object::MOST_VALUES;
use object::Object;

use crate::{Context, Decision, Inspection, Request, decision};
use serde::Deserialize;
use serde_json::Value;

/// A UID has 36 characters; it is copied into the answer, so it has a bound.
const LONGEST_UID: usize = 256;
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
const KIND: &str = "AdmissionReview";

/// Why the bytes cannot be answered as a review.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not UTF-8.
    #[error("not an AdmissionReview: {0}")]
    Text(#[source] std::str::Utf8Error),
    /// Not JSON, or not of the shape.
    #[error("not an AdmissionReview: {0}")]
    Json(#[source] serde_json::Error),
    /// Another kind or version.
    #[error("expected kind AdmissionReview of admission.k8s.io/v1 or v1beta1, not {kind:?} of {version:?}")]
    Kind {
        /// What it says it is.
        kind: String,
        /// And of which version.
        version: String,
    },
    /// There is nothing to answer.
    #[error("the review has no request")]
    NoRequest,
    /// The response must echo `request.uid`, and the request has none.
    #[error("the request has no uid, or one that is longer than 256 bytes")]
    Uid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<AdmissionRequest>,
}

/// The request of a review. What may be absent or null is optional.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionRequest {
    /// Repeated in the answer.
    #[serde(default)]
    uid: String,
    /// What is created, after conversion to what the webhook asked for.
    #[serde(default)]
    resource: Option<Resource>,
    /// For instance `binding`; absent for the object itself.
    sub_resource: Option<String>,
    /// Absent where the API server makes the name of `generateName`.
    name: Option<String>,
    /// Absent for objects without namespace.
    namespace: Option<String>,
    #[serde(default)]
    operation: String,
    /// Null for `DELETE`.
    #[serde(default)]
    object: Object,
}

/// Group and plural name of a resource.
#[derive(Debug, Default, Deserialize)]
struct Resource {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resource: String,
}

/// A review that can be answered.
#[derive(Debug)]
pub struct Incoming {
    /// The version that it is answered in.
    version: &'static str,
    request: AdmissionRequest,
}

/// How many JSON values a text has at most: every value but the first follows `,`, `[` or `{`. That is all that is known of a
/// text before it is parsed, and takes a fraction of the time.
pub fn most_values(text: &[u8]) -> usize {
    // Eight bytes at a time: the programs are built for size, so the compiler does not do it.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const LOW_BITS: u64 = 0x7f * ONES;
    // 1 in each byte that is equal, 0 in the others: the sum has the high bit of every byte that has another bit, and carries
    // nothing into the next one.
    let equal = |word: u64, byte: u8| {
        let difference = word ^ (u64::from(byte) * ONES);
        !(((difference & LOW_BITS) + LOW_BITS) | difference | LOW_BITS) >> 7
    };
    // `[` is `{` without one bit.
    let found = |word: u64| equal(word, b',') + equal(word | (u64::from(b'[' ^ b'{') * ONES), b'{');
    let (words, rest) = text.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let count = |words: &[[u8; 8]]| {
        let sums: u64 = words.iter().map(|word| found(u64::from_ne_bytes(*word))).sum();
        sums.to_ne_bytes().map(usize::from).iter().sum::<usize>()
    };
    // Of so many words no sum is larger than a byte.
    1 + count(&[last]) + words.chunks(usize::from(u8::MAX)).map(count).sum::<usize>()
}

impl Incoming {
    /// Reads a review.
    ///
    /// # Errors
    /// What is wrong with it, for the body of a 400.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        // All of it at once: `from_slice` would check every string separately.
        let text = std::str::from_utf8(body).map_err(Error::Text)?;
        let review: Review = serde_json::from_str(text).map_err(Error::Json)?;
        let version = VERSIONS.into_iter().find(|version| *version == review.api_version);
        let (Some(version), KIND) = (version, review.kind.as_str()) else {
            let shorten = |text: String| text.chars().take(64).collect();
            return Err(Error::Kind {
                kind: shorten(review.kind),
                version: shorten(review.api_version),
            });
        };
        let request = review.request.ok_or(Error::NoRequest)?;
        if request.uid.is_empty() || request.uid.len() > LONGEST_UID {
            return Err(Error::Uid);
        }
        Ok(Self { version, request })
    }

    /// The UID of the request.
    pub fn uid(&self) -> &str {
        &self.request.uid
    }

    /// Name of the object, or what the API server makes it from; empty where there is neither.
    pub fn name(&self) -> &str {
        let generated = || self.metadata()["generateName"].as_str();
        self.request.name.as_deref().or_else(generated).unwrap_or_default()
    }

    /// Kind and name of the object's first owner, for instance `ReplicaSet` and `agent-7d9f`.
    pub fn owner(&self) -> Option<(&str, &str)> {
        let owner = self.metadata()["ownerReferences"].get(0)?;
        Some((owner["kind"].as_str()?, owner["name"].as_str()?))
    }

    fn metadata(&self) -> &Value {
        match &self.request.object {
            Object::Read(object) => &object["metadata"],
            Object::TooLarge(_) => &Value::Null,
        }
    }

    /// What is asked, without the object.
    pub fn subject(&self) -> Request<'_> {
        let request = &self.request;
        let resource = request.resource.as_ref();
        Request {
            namespace: request.namespace.as_deref().unwrap_or_default(),
            operation: &request.operation,
            group: resource.map_or("", |resource| &resource.group),
            resource: resource.map_or("", |resource| &resource.resource),
            subresource: request.sub_resource.as_deref().unwrap_or_default(),
        }
    }

    /// Inspects the object, and decides where that needs no ServiceAccount.
    pub fn inspect<'a>(&'a self, context: Context<'a>) -> Inspection<'a> {
        match &self.request.object {
            Object::Read(object) => decision::inspect(object, &self.subject(), context),
            Object::TooLarge(values) => Inspection::Decided(decision::decide_too_large(*values, &self.subject())),
        }
    }

    /// The answer, as JSON.
    pub fn answer(&self, decision: &Decision) -> Vec<u8> {
        answer::write(self, decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Denial, Injection};
    use contract::{DenyReason, SkipReason};
    use proptest::collection;
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};
    use serde_json::json;

    fn review(request: &Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
            .to_string()
            .into_bytes()
    }

    proptest! {
        /// Whatever bytes: those that matter are frequent, and so are their neighbors by one bit.
        #[test]
        fn values_are_counted_as_byte_by_byte(
            text in collection::vec(prop_oneof![Just(b','), Just(b'['), Just(b'{'), any::<u8>()], 0..60)
        ) {
            let found = text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
            prop_assert_eq!(most_values(&text), 1 + found);
        }
    }

    #[test]
    fn many_values_are_counted_too() {
        for length in [2039, 2040, 2041, 5000] {
            assert_eq!(most_values(&vec![b'{'; length]), 1 + length);
        }
    }

    #[test]
    fn null_counts_as_absent() {
        let incoming = Incoming::parse(&review(&json!({"uid": "u", "namespace": null}))).unwrap();
        assert_eq!(
            (incoming.subject().namespace, &incoming.request.object),
            ("", &Object::Read(Value::Null))
        );
    }

    #[test]
    fn a_beta_review_gets_a_beta_answer() {
        let body = br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u"}}"#;
        let answer = Incoming::parse(body)
            .unwrap()
            .answer(&Decision::skip(SkipReason::OptedOut));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
        assert_eq!(answer["response"]["uid"], "u");
        assert_eq!(answer["response"].get("patch"), None);
    }

    #[test]
    fn a_review_of_too_many_values_can_still_be_answered() {
        let long = vec![0; MOST_VALUES];
        // In Go's order of the fields, and with the uid behind the object.
        for body in [
            review(&json!({"object": {"spec": long}, "uid": "u"})),
            review(&json!({"uid": "u", "object": {"spec": long}})),
        ] {
            let incoming = Incoming::parse(&body).unwrap();
            assert_eq!(incoming.uid(), "u");
            assert_eq!(incoming.request.object, Object::TooLarge(MOST_VALUES + 2));
        }
    }

    #[test]
    fn a_patch_is_base64_with_its_type() {
        let incoming = Incoming::parse(&review(&json!({"uid": "u"}))).unwrap();
        let injection = Injection {
            patch: b"[]".to_vec(),
            warnings: vec!["w".to_owned()],
        };
        let answer: Value = serde_json::from_slice(&incoming.answer(&Decision::Inject(injection))).unwrap();
        assert_eq!(answer["response"]["patch"], "W10=");
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        assert_eq!(answer["response"]["warnings"], json!(["w"]));
    }

    #[test]
    fn a_denials_message_carries_its_reason() {
        let incoming = Incoming::parse(&review(&json!({"uid": "u"}))).unwrap();
        for (reason, code, status) in [
            (DenyReason::BadUrl, 403, "Forbidden"),
            (DenyReason::MalformedPod, 422, "Invalid"),
        ] {
            let decision = Decision::Deny(Denial::new(reason, "what is wrong"));
            let answer: Value = serde_json::from_slice(&incoming.answer(&decision)).unwrap();
            let message = format!("{reason}: what is wrong");
            assert_eq!(
                answer["response"]["status"],
                json!({"status": "Failure", "message": message, "reason": status, "code": code})
            );
            assert_eq!(answer["response"]["auditAnnotations"]["reason"], reason.as_str());
        }
    }

    #[test]
    fn malformed_reviews_are_errors() {
        for (body, error) in [
            (&b""[..], "not an AdmissionReview"),
            (b"\xff", "not an AdmissionReview"),
            (b"{}", "expected kind"),
            (b"[]", "not an AdmissionReview"),
            (
                br#"{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview"}"#,
                "v2",
            ),
            (
                br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":null}"#,
                "no request",
            ),
        ] {
            let message = Incoming::parse(body).unwrap_err().to_string();
            assert!(message.contains(error), "{message}");
        }
        let message = Incoming::parse(&review(&json!({"uid": "u".repeat(257)})))
            .unwrap_err()
            .to_string();
        assert!(message.contains("uid"), "{message}");
    }
}
