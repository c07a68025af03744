//! Seeds as people type them: one, a few, or a range.

use anyhow::{Context, Result, bail};

/// More at once are a slip of the keyboard.
const MOST: u64 = 1_000;

/// Reads `7`, `3,8,21`, `1-10`, or a list of these. A seed that is named twice runs twice.
///
/// # Errors
/// Anything else, a range that goes backwards, and more than a thousand.
///
/// ```
/// assert_eq!(cluster::seeds::parse("7").unwrap(), [7]);
/// assert_eq!(cluster::seeds::parse("1-3,9").unwrap(), [1, 2, 3, 9]);
/// assert!(cluster::seeds::parse("3-1").is_err());
/// ```
pub fn parse(text: &str) -> Result<Vec<u64>> {
    let number = |text: &str| -> Result<u64> {
        let text = text.trim();
        text.parse()
            .with_context(|| format!("{text:?} is no seed: 7, 3,8,21 or 1-10"))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            bail!("the range {part} goes backwards");
        }
        if last - first >= MOST {
            bail!("{part} are more than {MOST} seeds");
        }
        seeds.extend(first..=last);
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn seeds_are_numbers_lists_and_ranges() {
        for (text, seeds) in [
            ("7", &[7][..]),
            (" 3, 8,3 ", &[3, 8, 3]),
            ("1-3", &[1, 2, 3]),
            ("5-5,1-2", &[5, 1, 2]),
            ("18446744073709551614-18446744073709551615", &[u64::MAX - 1, u64::MAX]),
        ] {
            assert_eq!(parse(text).ok().as_deref(), Some(seeds), "{text:?}");
        }
        for text in [
            "",
            ",",
            "7,",
            "x",
            "-1",
            "1-",
            "3-1",
            "1-2-3",
            "0-1000",
            "0-18446744073709551615",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
