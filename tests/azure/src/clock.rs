//! The emulators' clock: the machine's, shifted by what a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that can be shifted. Clones are the same clock; a [`Self::child`] follows its parent and can be shifted alone.
#[derive(Clone, Debug)]
pub struct Clock {
    offsets: Vec<Arc<AtomicI64>>,
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Timestamp(pub i64);

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that agrees with the machine's.
    pub fn new() -> Self {
        Self {
            offsets: vec![Arc::default()],
        }
    }

    /// A clock that follows this one and can be shifted in addition.
    pub fn child(&self) -> Self {
        let mut offsets = self.offsets.clone();
        offsets.push(Arc::default());
        Self { offsets }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.shift_millis(by.as_millis() as i64);
    }

    /// Moves the clock back.
    pub fn turn_back(&self, by: Duration) {
        self.shift_millis(-(by.as_millis() as i64));
    }

    /// Moves the clock by this many milliseconds, forward or back.
    pub fn shift_millis(&self, by: i64) {
        self.own().fetch_add(by, Ordering::SeqCst);
    }

    /// Sets how far this clock is ahead of the one it follows, in milliseconds.
    pub fn set_skew_millis(&self, skew: i64) {
        self.own().store(skew, Ordering::SeqCst);
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        let machine = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the machine's clock is past 1970");
        let offset: i64 = self.offsets.iter().map(|offset| offset.load(Ordering::SeqCst)).sum();
        Timestamp(machine.as_millis() as i64 + offset)
    }

    fn own(&self) -> &AtomicI64 {
        self.offsets.last().expect("a clock has an offset of its own")
    }
}

impl Timestamp {
    /// Whole seconds since 1970, as in JWT claims.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This long after.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0 + by.as_millis() as i64)
    }

    /// Reads a time of RFC 3339, as Kubernetes, containerd and our programs write it. Less than a millisecond is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let rest = text.get(19..)?;
        let (fraction, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
        let millis = format!("{:0<3.3}", fraction.trim_start_matches('.'))
            .parse::<i64>()
            .ok()?;
        let ahead = match zone.split_at(1) {
            ("Z", "") => 0,
            (sign, offset) => {
                let (hours, minutes) = offset.split_once(':')?;
                let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
                if sign == "-" { -minutes } else { minutes }
            }
        };
        // Howard Hinnant's `days_from_civil`.
        let (shifted_year, shifted_month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
        let day_of_era =
            year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * shifted_month + 2) / 5 + day - 1;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Self(
            ((days * 24 + hour) * 60 + minute - ahead) * 60_000 + second * 1000 + millis,
        ))
    }

    /// As in Azure DevOps' JSON: `2026-11-23T13:18:40.123Z`.
    pub fn iso(self) -> String {
        let civil = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            civil.year,
            civil.month,
            civil.day,
            civil.hour,
            civil.minute,
            civil.second,
            self.0.rem_euclid(1000)
        )
    }

    /// As in Entra's error JSON: `2026-11-23 13:18:40Z`.
    pub fn entra(self) -> String {
        let civil = self.civil();
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        )
    }

    /// As in a `Date` header (RFC 9110, IMF-fixdate): `Mon, 23 Nov 2026 13:18:40 GMT`.
    pub fn http_date(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let civil = self.civil();
        format!(
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            DAYS[self.seconds().div_euclid(86_400).rem_euclid(7) as usize],
            civil.day,
            MONTHS[civil.month as usize - 1],
            civil.year,
            civil.hour,
            civil.minute,
            civil.second
        )
    }

    /// Howard Hinnant's `civil_from_days`.
    fn civil(self) -> Civil {
        let seconds = self.seconds();
        let (days, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_services_write_them() {
        let time = Timestamp(1_795_439_920_123);
        assert_eq!(time.iso(), "2026-11-23T13:18:40.123Z");
        assert_eq!(time.entra(), "2026-11-23 13:18:40Z");
        assert_eq!(time.http_date(), "Mon, 23 Nov 2026 13:18:40 GMT");
        assert_eq!(Timestamp(951_782_400_000).iso(), "2000-02-29T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_as_kubernetes_and_containerd_write_them() {
        let time = Timestamp(1_795_439_920_123);
        for text in [
            "2026-11-23T13:18:40.123Z",
            "2026-11-23T13:18:40.123456789Z",
            "2026-11-23T21:18:40.123000001+08:00",
            "2026-11-23T07:48:40.123-05:30",
        ] {
            assert_eq!(Timestamp::parse(text), Some(time), "{text}");
        }
        assert_eq!(
            Timestamp::parse("2000-02-29T00:00:00Z"),
            Some(Timestamp(951_782_400_000))
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse("2026-11-23T13:18:40"), None);
    }

    #[test]
    fn a_child_follows_its_parent_and_is_shifted_alone() {
        let parent = Clock::new();
        let child = parent.child();
        parent.advance(Duration::from_secs(3600));
        child.turn_back(Duration::from_secs(600));
        let ahead = parent.now().seconds() - child.now().seconds();
        assert!((599..=601).contains(&ahead), "{ahead}");
        assert!(child.now() > Clock::new().now());
    }
}
