//! Any bytes as the body of an admission review: read, decided and answered.

#![no_main]

use inject::Decision;
use inject::review::Incoming;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(review) = Incoming::parse(bytes) else {
        return Corpus::Reject;
    };
    let decision = fuzz::decide_review(&review);
    let answer: Value = serde_json::from_slice(&review.answer(&decision)).expect("the answer is JSON");
    assert_eq!(answer["response"]["uid"], review.uid());
    assert_eq!(answer["response"]["allowed"], !matches!(decision, Decision::Deny(_)));
    if let Decision::Inject(_) = decision {
        let object = &serde_json::from_slice::<Value>(bytes).expect("it was read")["request"]["object"];
        fuzz::check(object, &review.subject(), &decision);
    }
    Corpus::Keep
});
