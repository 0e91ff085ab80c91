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
use std::sync::atomic::Ordering;

use super::copy::{Amount, MOST, SHARE};
use crate::error::{Error, Result};
use crate::sync::atomic::AtomicUsize;
use crate::sync::{Condvar, Mutex};

/// Is told what was done since the last time, with nothing locked.
pub(crate) type Report<'a> = &'a mut dyn FnMut(Amount) -> Result<()>;

/// The shares of one copy.
pub(crate) struct Shares {
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
    pub(crate) fn new(count: usize) -> Shares {
        let turn = Turn { share: 0, failed: usize::MAX, done: Amount::default() };
        let (next, turn) = (AtomicUsize::new(0), Mutex::new(turn));
        Shares { count, next, turn, changed: Condvar::default() }
    }

    /// Has `carry_out` do shares until none is left or one has failed: it returns false when one before
    /// its share has, so that it is not needed. An error comes with the share that it is of. Whoever has
    /// a `report` goes on until all have their places.
    pub(crate) fn work(
        &self,
        mut report: Option<Report<'_>>,
        mut carry_out: impl FnMut(usize, Option<Report<'_>>) -> Result<bool>,
    ) -> std::result::Result<(), (usize, Error)> {
        while let Some(share) = self.take() {
            let unfinished = self.begin(share);
            let report = report.as_mut().map(|report| &mut **report as _);
            let is_needed = carry_out(share, report).map_err(|error| (share, error))?;
            unfinished.finished();
            if !is_needed {
                return Ok(());
            }
        }
        if report.is_some() {
            // Others may be at the last shares.
            let unfinished = self.begin(self.count);
            self.wait(self.count, report).map_err(|error| (self.count, error))?;
            unfinished.finished();
        }
        Ok(())
    }

    /// The next share that nobody has taken.
    fn take(&self) -> Option<usize> {
        // Relaxed: shares differ in nothing but their numbers.
        let share = self.next.fetch_add(1, Ordering::Relaxed);
        (share < self.count).then_some(share)
    }

    /// Waits for the turn of `share`, which is that behind the last one when all have their places.
    /// Returns false when a share before it has failed, so that it is not needed.
    ///
    /// # Errors
    /// Those of `report`, if there is one: it is called whenever more has been done. Whoever has one must
    /// go on waiting until the end, since others wait for it.
    pub(crate) fn wait(&self, share: usize, mut report: Option<Report<'_>>) -> Result<bool> {
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
                // More may have been done meanwhile, and whoever did it wait for this.
                continue;
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
    pub(crate) fn add(&self, share: usize, more: Amount) -> bool {
        let mut turn = self.turn.lock();
        turn.done.records += more.records;
        turn.done.bytes += more.bytes;
        self.changed.notify_all();
        turn.failed > share
    }

    /// Whoever has the turn has taken all of the share's place.
    pub(crate) fn pass_on(&self) {
        self.turn.lock().share += 1;
        self.changed.notify_all();
    }

    /// Those behind `share` are not needed, unless what is returned is told that it is finished: also
    /// when the thread panics, and nobody waits for ever.
    fn begin(&self, share: usize) -> Unfinished<'_> {
        Unfinished { shares: self, share }
    }
}

/// A share that is being copied.
struct Unfinished<'a> {
    shares: &'a Shares,
    share: usize,
}

impl Unfinished<'_> {
    fn finished(self) {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_done_amid_a_report_is_told_as_well() {
        const PIECES: usize = 5;
        let shares = Arc::new(Shares::new(1));
        let (theirs, (said, hear)) = (shares.clone(), mpsc::channel());
        let helper = thread::spawn(move || {
            theirs.work(None, |share, _| {
                for piece in 0..PIECES {
                    // More than may be done before it is told.
                    theirs.add(share, Amount { records: 3 * MOST, bytes: 1 });
                    said.send(piece).unwrap();
                    theirs.wait(share, None)?;
                }
                theirs.pass_on();
                Ok(true)
            })
        });
        // The share is the helper's.
        assert_eq!(hear.recv(), Ok(0));
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let mut told = 0;
            let done = shares.work(
                Some(&mut |more: Amount| {
                    told += more.records;
                    // The next piece is done before this returns.
                    let _last = hear.recv().is_err();
                    Ok(())
                }),
                |_, _| unreachable!("no share is left"),
            );
            ended.send((done.is_ok(), told)).unwrap();
        });
        let waited = end.recv_timeout(Duration::from_secs(60));
        assert_eq!(waited.expect("nobody waits for ever"), (true, PIECES * 3 * MOST));
        assert!(helper.join().unwrap().is_ok());
    }
}
