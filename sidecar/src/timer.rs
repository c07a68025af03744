//! A timer on `CLOCK_BOOTTIME`, which also counts while the node is suspended (tokio's clock does not).

use crate::descriptor;
use lifecycle::Time;
use rustix::fs::Timespec;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// One deadline at a time.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Must be called within the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        descriptor::readable(timer).map(Self)
    }

    /// Waits until the deadline has passed; forever without one.
    pub(crate) async fn until(&self, deadline: Option<Time>) -> io::Result<()> {
        let Some(deadline) = deadline else {
            return std::future::pending().await;
        };
        // Zero would disarm the timer.
        let at = deadline.0.max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: at.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &value)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?)) {
                Ok(read) => return read.map(|_| ()),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_fires_once_and_a_past_one_at_once() {
        let timer = Timer::new().expect("a timer");
        let deadline = now().plus(Duration::from_millis(30));
        timer.until(Some(deadline)).await.expect("waited");
        assert!(now() >= deadline);
        timer.until(Some(Time(Duration::ZERO))).await.expect("not waited");
        let later = now().plus(Duration::from_millis(30));
        timer.until(Some(later)).await.expect("waited");
        assert!(now() >= later, "an earlier expiry does not count for a later deadline");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_a_deadline_the_timer_never_fires() {
        let timer = Timer::new().expect("a timer");
        let waited = tokio::time::timeout(Duration::from_millis(30), timer.until(None)).await;
        assert!(waited.is_err());
    }
}
