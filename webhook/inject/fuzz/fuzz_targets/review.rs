//! Any bytes as the body of an admission review: read, decided and answered.

#![no_main]

use inject::review::{Incoming, Object, Verdict};
use inject::{Decision, Request};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(review) = Incoming::parse(bytes) else {
        return Corpus::Reject;
    };
    let asked = &review.request;
    let resource = asked.resource.as_ref();
    let request = Request {
        namespace: asked.namespace.as_deref().unwrap_or_default(),
        operation: &asked.operation,
        group: resource.map_or("", |resource| resource.group.as_str()),
        resource: resource.map_or("", |resource| resource.resource.as_str()),
        subresource: asked.sub_resource.as_deref().unwrap_or_default(),
    };
    let decision = match &asked.object {
        Object::Read(object) => fuzz::decide(object, &request),
        Object::TooLarge(values) => inject::decide_too_large(*values, &request),
    };
    let verdict = match &decision {
        Decision::Inject(injection) => Verdict::Patch {
            patch: &injection.patch,
            warnings: &injection.warnings,
        },
        Decision::Skip { warnings, .. } => Verdict::Allow { warnings },
        Decision::Deny(denial) => Verdict::Deny {
            code: 403,
            sentence: &denial.sentence,
        },
    };
    let answer: Value =
        serde_json::from_str(&review.answer(verdict, "decision", "reason")).expect("the answer is JSON");
    assert_eq!(answer["response"]["uid"], asked.uid.as_str());
    assert_eq!(answer["response"]["allowed"], !matches!(decision, Decision::Deny(_)));
    Corpus::Keep
});
