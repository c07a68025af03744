//! How many requests may be sent: Azure DevOps slows down or refuses an identity that sends too many (rate limits, 200 TSTU in
//! five minutes), and the agents' own sidecars may share the identity's budget.

use std::collections::VecDeque;
use std::time::Duration;

/// Requests of the last five minutes, and until when none may be sent. Times are since any fixed moment.
#[derive(Debug, Clone)]
pub struct Budget {
    most: usize,
    sent: VecDeque<Duration>,
    paused_until: Duration,
}

impl Budget {
    /// The window over which requests are counted.
    pub const WINDOW: Duration = Duration::from_secs(300);

    /// At most this many requests in a window.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            sent: VecDeque::new(),
            paused_until: Duration::ZERO,
        }
    }

    /// Takes one request out of the budget.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        if now < self.paused_until {
            return Err(self.paused_until - now);
        }
        while self.sent.front().is_some_and(|sent| *sent + Self::WINDOW <= now) {
            self.sent.pop_front();
        }
        if self.sent.len() >= self.most {
            let oldest = self.sent.front().copied().unwrap_or(now);
            return Err((oldest + Self::WINDOW).saturating_sub(now));
        }
        self.sent.push_back(now);
        Ok(())
    }

    /// The service asked for a pause.
    pub fn pause(&mut self, now: Duration, pause: Duration) {
        self.paused_until = self.paused_until.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_no_more_than_its_budget_and_a_pause_is_kept() {
        let mut budget = Budget::new(3);
        let second = Duration::from_secs;
        for at in 0..3 {
            assert_eq!(budget.take(second(at)), Ok(()));
        }
        assert_eq!(budget.take(second(10)), Err(second(290)));
        assert_eq!(budget.take(second(300)), Ok(()), "the first is five minutes old");
        assert_eq!(budget.take(second(300)), Err(second(1)));
        budget.pause(second(301), second(60));
        budget.pause(second(301), second(10));
        assert_eq!(budget.take(second(302)), Err(second(59)), "the longer pause counts");
        assert_eq!(budget.take(second(361)), Ok(()));
    }
}
