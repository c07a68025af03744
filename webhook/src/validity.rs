//! The end of a certificate's validity, the only field of X.509 that is parsed here (RFC 5280, sections 4.1 and 4.1.2.5).
//!
//! rustls does not expose it, and a full parser would be a large dependency for one date.

use contract::days_from_civil;

/// Tag and content of the next DER element, and the rest of the input.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (
            digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)),
            rest,
        )
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the validity (`notAfter`) of a DER certificate in seconds since 1970; `None` where this is not a certificate.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm and issuer come before the validity.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    seconds(tag, time)
}

fn seconds(tag: u8, time: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, rest) = match tag {
        // Two digits: 50 and above are of the last century.
        UTC_TIME => (
            number(0, 2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?,
            2,
        ),
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let part = |index: usize| number(rest + 2 * index, rest + 2 * index + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(year: i32, month: u8, day: u8) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(not_after(&until(2026, 11, 23)), Some(1_795_392_000));
        assert_eq!(not_after(&until(2000, 2, 29)), Some(951_782_400));
        assert_eq!(not_after(&until(2050, 1, 1)), Some(2_524_608_000));
        assert_eq!(not_after(&until(4096, 1, 1)), Some(67_090_118_400));
    }

    #[test]
    fn anything_else_has_no_validity_and_does_not_panic() {
        let certificate = until(2030, 1, 1);
        for length in 0..certificate.len() {
            assert_eq!(not_after(&certificate[..length]), None, "{length} bytes");
        }
        for index in 0..certificate.len().min(200) {
            let mut changed = certificate.clone();
            changed[index] = 0xff;
            let _ = not_after(&changed);
        }
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
        assert_eq!(not_after(b"hello"), None);
    }
}
