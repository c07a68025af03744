//! Durations as people type them: one reading for every command.

use std::time::Duration;

/// Units, the longest first, with their seconds.
const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// Nobody means more than this, and it can be added to any clock.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// Reads `90s`, `5m`, `1h` or `1h30m`: each unit once, the longer ones first. A number alone is seconds.
///
/// # Errors
/// Anything else, and more than a year.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(cli::duration::parse("1h30m"), Ok(Duration::from_secs(5400)));
/// assert_eq!(cli::duration::parse("45"), Ok(Duration::from_secs(45)));
/// assert!(cli::duration::parse("soon").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    read(text.trim())
        .map(Duration::from_secs)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{text:?} is no duration; expected for example 90s, 5m or 1h30m"))
}

fn read(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    for (unit, length) in UNITS {
        let Some((number, behind)) = rest.split_once(unit) else {
            continue;
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(length)?)?;
        rest = behind;
    }
    rest.is_empty().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn what_is_typed_is_read_in_one_way() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("1h30m", Some(5400)),
            ("1h5s", Some(3605)),
            ("2h3m4s", Some(7384)),
            (" 5m ", Some(300)),
            ("8784h", Some(31_622_400)),
            ("", None),
            ("m", None),
            ("5x", None),
            ("+5", None),
            ("+5m", None),
            ("-1", None),
            ("-1s", None),
            ("1.5h", None),
            ("5 m", None),
            // An hour and thirty what?
            ("1h30", None),
            ("30m1h", None),
            ("1m1m", None),
            ("5ms", None),
            ("1d", None),
            ("8785h", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }
}
