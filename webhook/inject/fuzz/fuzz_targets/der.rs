//! Any bytes as a certificate in DER: the end of its validity.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use webhook::validity::not_after;

/// The years 0 to 9999 and what an odd month, day or hour of two digits adds: more than four digits of a year do not fit.
const EARLIEST: i64 = -63_000_000_000;
const LATEST: i64 = 254_000_000_000;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(end) = not_after(bytes) else {
        return Corpus::Keep;
    };
    assert!((EARLIEST..LATEST).contains(&end), "{end}");
    // What follows a certificate is not part of it.
    assert_eq!(not_after(&[bytes, b"\x30\x00"].concat()), Some(end));
    Corpus::Keep
});
