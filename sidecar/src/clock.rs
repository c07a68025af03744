//! The machine's clock.

use lifecycle::Time;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Now, since the boot of the machine: goes on while the machine sleeps, and is never set back.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    Time(Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_advances() {
        let first = now();
        assert!(first.0 > Duration::ZERO && now() >= first);
    }
}
