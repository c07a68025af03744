//! Any response to a request for an access token.

#![no_main]

use std::time::Duration;

use azure_protocol::{Refusal, TokenServer};
use libfuzzer_sys::{Corpus, fuzz_target};

/// How long the token lives, or why there is none.
async fn outcome(server: TokenServer<'_>, response: reqwest::Response) -> Result<Duration, Refusal> {
    azure::receive_token(server, response)
        .await
        .map(|token| token.lifetime)
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    for server in [TokenServer::Authority("login.example"), TokenServer::Proxy] {
        let Some(outcome) = fuzz::response::read(bytes, |response| outcome(server, response)) else {
            return Corpus::Reject;
        };
        match outcome {
            Ok(lifetime) => assert!(lifetime > Duration::ZERO),
            Err(refusal) => assert!(refusal.text.len() < 8192, "{} bytes of a server's words", refusal.text.len()),
        }
    }
    Corpus::Keep
});
