//! The answer to a review, on the wire.

use super::{Incoming, KIND};
use crate::Decision;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::DenyReason;
use serde::Serialize;

/// The answer to a review as JSON.
pub(super) fn write(incoming: &Incoming, decision: &Decision) -> Vec<u8> {
    let message;
    let status = match decision {
        Decision::Inject(_) | Decision::Skip { .. } => None,
        Decision::Deny(denial) => {
            message = denial.to_string();
            Some(Status::new(denial.reason, &message))
        }
    };
    let answer = Answer {
        api_version: incoming.version,
        kind: KIND,
        response: Response {
            uid: incoming.uid(),
            allowed: status.is_none(),
            status,
            warnings: decision.warnings(),
            audit_annotations: AuditAnnotations {
                decision: decision.outcome(),
                reason: decision.reason(),
            },
        },
    };
    let mut answer = serde_json::to_vec(&answer).expect("strings, numbers and lists always serialize");
    if let Decision::Inject(injection) = decision {
        add_patch(&mut answer, &injection.patch);
    }
    answer
}

/// The answer to a review.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    audit_annotations: AuditAnnotations<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    code: u16,
}

/// The API server puts the webhook's name before these keys in its audit log.
#[derive(Serialize)]
struct AuditAnnotations<'a> {
    decision: &'a str,
    reason: &'a str,
}

impl<'a> Status<'a> {
    /// kubectl shows a 422 as "the request is invalid"; everything else is a matter of what is allowed here.
    fn new(reason: DenyReason, message: &'a str) -> Self {
        let (reason, code) = if reason == DenyReason::MalformedPod {
            ("Invalid", 422)
        } else {
            ("Forbidden", 403)
        };
        Self {
            status: "Failure",
            message,
            reason,
            code,
        }
    }
}

/// Adds the patch to the end of the response, which is the end of the answer. A patch is nearly all of an answer and has no
/// character that JSON escapes, so it is written as it is and not scanned.
fn add_patch(answer: &mut Vec<u8>, patch: &[u8]) {
    let (before, after) = (br#","patchType":"JSONPatch","patch":""#, br#""}}"#);
    let length = base64::encoded_len(patch.len(), true).expect("a patch is shorter than half of the memory");
    answer.truncate(answer.len() - "}}".len());
    answer.reserve_exact(before.len() + length + after.len());
    answer.extend_from_slice(before);
    let start = answer.len();
    answer.resize(start + length, 0);
    STANDARD
        .encode_slice(patch, &mut answer[start..])
        .expect("the space is as long as what is written");
    answer.extend_from_slice(after);
}
