//! Timestamps that never go backwards within a directory.

use std::time::{SystemTime, UNIX_EPOCH};

/// Gives out increasing Unix times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    last: i64,
}

impl Clock {
    /// A clock that goes on after `last`, the latest timestamp found in the directory.
    pub(crate) fn resume(last: i64) -> Clock {
        Clock { last }
    }

    /// What the system's clock says, for any number of [`tick`](Clock::tick)s that belong together.
    pub(crate) fn now() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The next timestamp: `now`, or just after the last one if the system's clock went back.
    pub(crate) fn tick(&mut self, now: i64) -> i64 {
        self.last = now.max(self.last.saturating_add(1));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_does_not_take_timestamps_back() {
        let mut clock = Clock::resume(100);
        assert_eq!(clock.tick(50), 101);
        assert_eq!(clock.tick(50), 102);
        assert_eq!(clock.tick(200), 200);
        assert_eq!(Clock::resume(i64::MAX).tick(0), i64::MAX);
    }
}
