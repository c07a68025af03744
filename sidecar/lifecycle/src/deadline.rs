//! The end of the grace period, and what may still be done shortly before it.
//!
//! ```text
//! The grace period is long enough:
//!
//!  T0               SIGTERM                    T0 + grace − 6 s   − 4 s      T0 + grace
//!  │ (the hook)       │                               │             │             │
//!  └─ find, disable ──┴─ remove; poll every 12 s ─────┴─ last try ──┴─ exit       └─ SIGKILL
//!
//! The grace period has run out when SIGTERM comes:
//!
//!  SIGTERM           + 0.9 s              + 1.5 s      + 1.8 s    + 2 s
//!  │                    │                    │            │          │
//!  ├─ a response that is in flight counts ───┤            │          └─ SIGKILL
//!  └─ else the first request goes out at once┴─ timeout   └─ exit
//! ```

use crate::Time;
use std::time::Duration;

/// How long after SIGTERM the process exits at the latest where the grace period has run out; the kubelet sends SIGKILL after 2 s.
const AFTER_SIGTERM: Duration = Duration::from_millis(1800);
/// How long before the end of the grace period the process exits: the kubelet began to count before its hook reached
/// us (up to 3.5 s were measured on a busy machine), and counts in whole seconds.
const MARGIN: Duration = Duration::from_secs(4);
/// When to try once more before the deadline, where a server asked for a longer pause than is left.
const LAST_TRY: Duration = Duration::from_secs(2);
/// How long the first response after SIGTERM may take.
const FIRST_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long a response usually may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// A request that has less time than this is not sent.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a request that is in flight when SIGTERM comes is still waited for.
pub(crate) const IN_FLIGHT: Duration = Duration::from_millis(900);

/// The pod's termination grace period, as far as the sidecar can count on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grace {
    /// T0: when the pod began to terminate.
    since: Time,
    end: Time,
}

impl Grace {
    pub(crate) fn new(since: Time, period: Duration) -> Self {
        Self {
            since,
            end: since.plus(period.saturating_sub(MARGIN)),
        }
    }

    /// The pause before the next check of a busy agent: as long as the pod has been terminating, since the grace period may be
    /// shorter than the pod's spec says (`kubectl delete --grace-period`, node shutdown), and at most a third of what is left of
    /// it. If it is over without SIGTERM, the pod keeps running, and nothing is urgent.
    pub(crate) fn pause(self, now: Time, least: Duration, longest: Duration) -> Duration {
        if self.end.plus(MARGIN) <= now {
            return longest;
        }
        let left = self.end.since(now);
        now.since(self.since).min(left / 3).clamp(least, longest)
    }
}

/// By when the process has to have exited, from SIGTERM on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    terminated: Time,
    end: Time,
    last_try_made: bool,
}

impl Deadline {
    /// SIGTERM came now.
    pub(crate) fn new(grace: Grace, now: Time) -> Self {
        let mut deadline = Self {
            terminated: now,
            end: now.plus(AFTER_SIGTERM).max(grace.end),
            last_try_made: false,
        };
        // The request that goes out at SIGTERM is the last try where two seconds are all that is left.
        deadline.tried(now);
        deadline
    }

    pub(crate) fn at(&self) -> Time {
        self.end
    }

    pub(crate) fn has_passed(&self, now: Time) -> bool {
        self.end <= now
    }

    /// Whether this was before SIGTERM.
    pub(crate) fn is_from_before(&self, time: Time) -> bool {
        time < self.terminated
    }

    /// A request goes out.
    pub(crate) fn tried(&mut self, now: Time) {
        self.last_try_made |= now.plus(LAST_TRY) >= self.end;
    }

    /// When to send a request that is due at this time: a pause that would outlast the pod is cut to one last try.
    pub(crate) fn cut(&self, due: Time, now: Time) -> Time {
        if self.last_try_made {
            due
        } else {
            due.min(Time(self.end.0.saturating_sub(LAST_TRY))).max(now)
        }
    }

    /// How long the response to a request of this time may take; `None`: it is too late for one.
    pub(crate) fn timeout(&self, sent: Time) -> Option<Duration> {
        let usual = if sent.since(self.terminated) < LAST_TRY {
            FIRST_TIMEOUT
        } else {
            TIMEOUT
        };
        Some(usual.min(self.end.since(sent))).filter(|timeout| *timeout >= MIN_TIMEOUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time(Duration::from_millis(millis))
    }

    fn grace(seconds: u64) -> Grace {
        Grace::new(at(100_000), Duration::from_secs(seconds))
    }

    #[test]
    fn the_process_exits_before_the_kubelet_kills_it() {
        for (seconds, sigterm, exit) in [
            (600, 101_000, 696_000),
            (600, 700_000, 701_800),
            (600, 695_000, 696_800),
            (0, 100_000, 101_800),
        ] {
            let deadline = Deadline::new(grace(seconds), at(sigterm));
            assert_eq!(deadline.at(), at(exit), "grace {seconds} s, SIGTERM at {sigterm} ms");
        }
    }

    #[test]
    fn a_long_pause_is_cut_to_one_last_try() {
        let mut deadline = Deadline::new(grace(600), at(101_000));
        assert_eq!(deadline.cut(at(900_000), at(102_000)), at(694_000));
        assert_eq!(deadline.cut(at(300_000), at(102_000)), at(300_000));
        deadline.tried(at(694_000));
        assert_eq!(deadline.cut(at(900_000), at(694_500)), at(900_000), "it was the last");
        let late = Deadline::new(grace(600), at(700_000));
        assert_eq!(
            late.cut(at(900_000), at(700_100)),
            at(900_000),
            "SIGTERM's own request is the last try"
        );
    }

    #[test]
    fn no_response_is_waited_for_beyond_the_deadline() {
        let deadline = Deadline::new(grace(600), at(700_000));
        let millis = |sent| deadline.timeout(at(sent)).map(|timeout| timeout.as_millis());
        assert_eq!(
            [700_000, 700_500, 701_700, 701_750].map(millis),
            [Some(1500), Some(1300), Some(100), None]
        );
        let long = Deadline::new(grace(600), at(101_000));
        assert_eq!(long.timeout(at(103_000)), Some(TIMEOUT));
    }
}
