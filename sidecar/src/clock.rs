//! The clock: time since the boot of the node.

use lifecycle::Time;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time since the boot of the node: also counts while it is suspended, and never goes back.
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
    fn the_clock_advances() {
        let first = now();
        assert!(first.0 > Duration::ZERO && now() >= first);
    }
}
