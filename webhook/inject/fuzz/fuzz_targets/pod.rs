//! Any bytes as a pod that is being created.

#![no_main]

use inject::Request;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(pod) = serde_json::from_slice(bytes) else {
        return Corpus::Reject;
    };
    fuzz::decide(&pod, &Request::create_pod("agents"));
    Corpus::Keep
});
