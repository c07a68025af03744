//! The answer to a review, on the wire.

use super::{Incoming, KIND};
use crate::Decision;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::DenyReason;
use serde::Serialize;

/// The answer to a review as JSON.
pub(super) fn write(incoming: &Incoming, decision: &Decision) -> String {
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
    let mut answer = serde_json::to_string(&answer).expect("strings, numbers and lists always serialize");
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
fn add_patch(answer: &mut String, patch: &[u8]) {
    let ends = "}}";
    answer.truncate(answer.len() - ends.len());
    answer.push_str(r#","patchType":"JSONPatch","patch":""#);
    STANDARD.encode_string(patch, answer);
    answer.push('"');
    answer.push_str(ends);
}
