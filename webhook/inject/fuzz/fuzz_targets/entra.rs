//! Any response to a request for an access token.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use sidecar::answers;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    for through_binding in [false, true] {
        let Some(outcome) = fuzz::response::read(bytes, |response| answers::entra(response, through_binding)) else {
            return Corpus::Reject;
        };
        match outcome {
            Ok(lifetime) => assert!(lifetime > Duration::ZERO),
            Err((_, words)) => assert!(words.len() < 8192, "{} bytes of a server's words", words.len()),
        }
    }
    Corpus::Keep
});
