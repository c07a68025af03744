//! How long to wait before the next try, and the jitter that keeps hundreds of sidecars apart.

use std::time::Duration;

/// The longest `Retry-After` that is obeyed.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The same with its jitter: no pause is longer.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(660);

/// A small deterministic generator (SplitMix64, Steele et al. 2014): not for secrets, only to spread requests.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `duration`, at most `percent` per cent shorter or longer.
    pub(crate) fn around(&mut self, duration: Duration, percent: u32) -> Duration {
        let low = duration * (100 - percent) / 100;
        self.between(low, duration * (100 + percent) / 100)
    }

    /// `duration`, at most `percent` per cent longer: for a pause that must not be cut short.
    pub(crate) fn above(&mut self, duration: Duration, percent: u32) -> Duration {
        self.between(duration, duration * (100 + percent) / 100)
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = u64::try_from((high - low).as_millis()).unwrap_or(u64::MAX);
        low + Duration::from_millis(self.next() % width.saturating_add(1))
    }
}

/// `first`, doubled for every failure after the first, at most `longest`; nothing without a failure.
pub(crate) fn doubling(first: Duration, longest: Duration, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings.min(31)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

/// The pace for failures that pass by themselves: 1 s, 2 s, 4 s and so on to one minute.
pub(crate) fn fast(failures: u32) -> Duration {
    doubling(Duration::from_secs(1), Duration::from_secs(60), failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_the_first_failure_to_the_limit() {
        let seconds: Vec<u64> = [0, 1, 2, 3, 6, 7, 8, 40, u32::MAX]
            .map(|failures| fast(failures).as_secs())
            .into();
        assert_eq!(seconds, [0, 1, 2, 4, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_differs_by_seed() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut jitter = Jitter::new(seed);
            let around = jitter.around(Duration::from_secs(100), 10);
            assert!((90..=110).contains(&around.as_secs()), "{around:?}");
            let above = jitter.above(Duration::from_secs(100), 10);
            assert!((100..=110).contains(&above.as_secs()), "{above:?}");
            seen.insert(around);
        }
        assert!(seen.len() > 150, "{} different values from 200 seeds", seen.len());
    }
}
