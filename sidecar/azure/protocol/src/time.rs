//! Points in time by the server's clock, and the two date formats that servers send.

use contract::days_from_civil;

/// A point in time by the server's clock: seconds since 1970-01-01T00:00:00Z, as in `Date` headers and `createdOn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(pub i64);

impl ServerTime {
    /// Reads a `Date` header in the form that servers have to send (RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`).
    pub fn http_date(text: &str) -> Option<Self> {
        let rest = text.trim().split_once(", ")?.1;
        let mut parts = rest.split(' ');
        let mut next = || parts.next();
        let (day, month, year, clock, zone) = (next()?, next()?, next()?, next()?, next()?);
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        if zone != "GMT" {
            return None;
        }
        seconds(number(year)?, i64::try_from(month).ok()?, number(day)?, clock).map(Self)
    }

    /// Reads a point in time as Azure DevOps writes it (RFC 3339 in UTC: `2026-08-21T10:15:30.123Z`, any number of digits).
    pub fn rfc3339(text: &str) -> Option<Self> {
        let (date, clock) = text.strip_suffix('Z').unwrap_or(text).split_once('T')?;
        let mut date = date.split('-');
        let mut next = || date.next().and_then(number);
        let (year, month, day) = (next()?, next()?, next()?);
        let clock = clock.strip_suffix("+00:00").unwrap_or(clock);
        let clock = match clock.split_once('.') {
            Some((clock, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => clock,
            Some(_) => return None,
            None => clock,
        };
        seconds(year, month, day, clock).map(Self)
    }
}

/// For a person: `2026-08-21 10:15:30 UTC`.
impl std::fmt::Display for ServerTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = year_of_era + era * 400 + carry;
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

fn seconds(year: i64, month: i64, day: i64, clock: &str) -> Option<i64> {
    let mut clock = clock.split(':').map(number);
    let mut next = || clock.next().flatten();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let plausible = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !plausible || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn number(digits: &str) -> Option<i64> {
    let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:60 GMT", Some(1_709_251_200)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Xxx 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sunday", None),
            ("", None),
        ] {
            assert_eq!(ServerTime::http_date(text).map(|time| time.0), expected, "{text}");
        }
    }

    #[test]
    fn a_creation_date_is_read_with_any_fraction() {
        for (text, expected) in [
            ("1994-11-06T08:49:37Z", Some(784_111_777)),
            ("1994-11-06T08:49:37.1234567Z", Some(784_111_777)),
            ("1994-11-06T08:49:37.5+00:00", Some(784_111_777)),
            ("0001-01-01T00:00:00", Some(-62_135_596_800)),
            ("1994-11-06T08:49:37.x1Z", None),
            ("1994-11-06T08:49:37+02:00", None),
            ("1994-11-06", None),
            ("-994-11-06T08:49:37Z", None),
        ] {
            assert_eq!(ServerTime::rfc3339(text).map(|time| time.0), expected, "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_readably() {
        for text in ["1994-11-06T08:49:37Z", "2024-02-29T00:00:00Z", "2000-12-31T23:59:59Z"] {
            let time = ServerTime::rfc3339(text).expect(text);
            assert_eq!(time.to_string(), text.replace('T', " ").replace('Z', " UTC"));
        }
    }
}
