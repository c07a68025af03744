//! A token bucket.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Limits requests or bytes per second, with a burst.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: u32,
    burst: Duration,
    /// When everything so far would have passed at an even rate.
    even: Mutex<Option<Instant>>,
}

impl RateLimit {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst: Duration::from_secs_f64(f64::from(burst) / f64::from(per_second)),
            even: Mutex::default(),
        }
    }

    /// Reserves an amount; returns when it may pass, if not at once.
    pub(super) fn reserve(&self, amount: usize, now: Instant) -> Option<Instant> {
        let mut even = super::lock(&self.even);
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let from = even.map_or(earliest, |even| even.max(earliest));
        // A piece is some kilobytes.
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        let after = from + Duration::from_secs_f64(f64::from(amount) / f64::from(self.per_second));
        *even = Some(after);
        (after > now).then_some(after)
    }

    /// Waits until one more may pass.
    pub(super) async fn acquire(&self) {
        if let Some(at) = self.reserve(1, Instant::now()) {
            tokio::time::sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_burst_passes_at_once_and_the_rest_at_an_even_rate() {
        let limit = RateLimit::new(10, 3);
        // Far enough from the start of the clock, so that `now - burst` exists.
        let now = Instant::now() + Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(limit.reserve(1, now), None);
        }
        let wait = |at: Option<Instant>| at.expect("a wait").duration_since(now).as_millis();
        assert!((99..=101).contains(&wait(limit.reserve(1, now))));
        assert!((199..=201).contains(&wait(limit.reserve(1, now))));
        let later = now + Duration::from_millis(350);
        assert_eq!(limit.reserve(1, later), None);
        let much_later = now + Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(
                limit.reserve(1, much_later),
                None,
                "a pause saves up one burst, not more"
            );
        }
        assert!(limit.reserve(1, much_later).is_some());
    }
}
