//! Any text as the files of the serving certificate, and as the CA bundle.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rustls::crypto::ring::default_provider;
use webhook::config::check_bundle;
use webhook::tls::Pair;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // Both files in one, as some tools write them: the certificates are found in it, and the first key.
    let pair = Pair::read(Path::new("/tls"), bytes, bytes, &default_provider());
    if pair.is_ok() {
        assert!(text.contains("BEGIN CERTIFICATE") && text.contains("PRIVATE KEY"));
    }
    if check_bundle(&text).is_ok() {
        assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY"));
    }
});
