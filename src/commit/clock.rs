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
        #[cfg(test)]
        if let Some(now) = simulated::now() {
            return now;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whether there may soon be no later timestamp, so that of two things it cannot be told any more
    /// which came first. The system's clock gets there in 2262, a directory that says so now.
    pub(crate) fn is_spent(&self) -> bool {
        /// As many writes may come before it matters.
        const LEFT: i64 = 1 << 40;
        self.last > i64::MAX - LEFT
    }

    /// The next timestamp: `now`, or just after the last one if the system's clock went back.
    pub(crate) fn tick(&mut self, now: i64) -> i64 {
        self.last = now.max(self.last.saturating_add(1));
        self.last
    }
}

/// A clock that a test sets, so that the same test writes the same bytes each time.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Option<i64>> = const { Cell::new(None) };
    }

    /// The system's clock says `now` to this thread, and a microsecond more each time it is
    /// asked.
    pub(crate) fn set(now: i64) {
        NOW.set(Some(now));
    }

    pub(super) fn now() -> Option<i64> {
        let now = NOW.get()?;
        NOW.set(Some(now + 1_000));
        Some(now)
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
        assert!(Clock::resume(i64::MAX).is_spent() && !Clock::resume(Clock::now()).is_spent());
    }
}
