//! Shares of the records, which several threads copy: where in the file each has its place follows
//! from the lengths of all before it, so they take their places in their order.
//!
//! A thread takes the next share, encodes it, waits for its *turn*, which comes when all shares before
//! it have their places, takes its own, passes the turn on, and only then writes. So what is written
//! where does not depend on how fast anybody is, and nobody waits for another's writing. A share that is
//! longer than a buffer is written piece by piece by whoever has its turn.
//!
//! One of the threads tells somebody how far they are; the other does not take its turn while too much
//! has not been told, however long the first one does not get to it.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::copy::{Amount, MOST, SHARE};
use crate::error::Result;
use crate::sync::{Condvar, Mutex};

/// The shares of one copy.
pub(super) struct Shares {
    count: usize,
    next: AtomicUsize,
    turn: Mutex<Turn>,
    changed: Condvar,
}

struct Turn {
    /// The share whose turn it is.
    share: usize,
    /// The first share that has failed, if one has; those before it are to be completed all the same,
    /// so that the first failure is found whoever comes to it.
    failed: usize,
    /// What has been encoded and not been told of.
    done: Amount,
}

impl Turn {
    /// Whether whoever tells of it is to come first; nobody may if something has failed.
    fn is_ahead(&self) -> bool {
        let Amount { records, bytes } = self.done;
        self.failed == usize::MAX && (records > 2 * MOST || bytes > 2 * SHARE)
    }
}

impl Shares {
    /// There are `count` shares.
    pub(super) fn new(count: usize) -> Shares {
        let turn = Turn { share: 0, failed: usize::MAX, done: Amount::default() };
        let (next, turn) = (AtomicUsize::new(0), Mutex::new(turn));
        Shares { count, next, turn, changed: Condvar::default() }
    }

    /// The next share that nobody has taken.
    pub(super) fn take(&self) -> Option<usize> {
        // Relaxed: shares differ in nothing but their numbers.
        let share = self.next.fetch_add(1, Ordering::Relaxed);
        (share < self.count).then_some(share)
    }

    /// Waits for the turn of `share`, which is that behind the last one when all have their places.
    /// Returns false when a share before it has failed, so that it is not needed.
    ///
    /// # Errors
    /// Those of `report`, if there is one: it is called whenever more has been done, with nothing
    /// locked. Whoever has one must go on waiting until the end, since others wait for it.
    pub(super) fn wait(
        &self,
        share: usize,
        mut report: Option<&mut dyn FnMut(Amount) -> Result<()>>,
    ) -> Result<bool> {
        let mut turn = self.turn.lock();
        loop {
            if let Some(report) = &mut report
                && turn.done.records > 0
            {
                let done = mem::take(&mut turn.done);
                drop(turn);
                self.changed.notify_all();
                report(done)?;
                turn = self.turn.lock();
            }
            if turn.failed < share {
                return Ok(false);
            }
            if turn.share == share && (report.is_some() || !turn.is_ahead()) {
                return Ok(true);
            }
            (turn, _) = self.changed.wait_until(turn, None);
        }
    }

    /// Takes note that so much of `share` has been encoded. Returns whether it is still needed.
    pub(super) fn add(&self, share: usize, more: Amount) -> bool {
        let mut turn = self.turn.lock();
        turn.done.records += more.records;
        turn.done.bytes += more.bytes;
        self.changed.notify_all();
        turn.failed > share
    }

    /// Whoever has the turn has taken all of the share's place.
    pub(super) fn pass_on(&self) {
        self.turn.lock().share += 1;
        self.changed.notify_all();
    }

    /// Those behind `share` are not needed, unless what is returned is told that it is finished: also
    /// when the thread panics, and nobody waits for ever.
    pub(super) fn begin(&self, share: usize) -> Unfinished<'_> {
        Unfinished { shares: self, share }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// A share that is being copied.
pub(super) struct Unfinished<'a> {
    shares: &'a Shares,
    share: usize,
}

impl Unfinished<'_> {
    pub(super) fn finished(self) {
        mem::forget(self);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let mut turn = self.shares.turn.lock();
        turn.failed = turn.failed.min(self.share);
        self.shares.changed.notify_all();
    }
}
