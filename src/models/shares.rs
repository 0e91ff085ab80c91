//! The shares of a snapshot that two threads copy take their places in their order, whichever thread
//! comes first, all of them is told, and nobody waits for ever: also when a share fails or panics, or
//! whoever is told ends it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use loom::thread;

use super::{World, explore};

use crate::error::{Error, ErrorKind};
use crate::snapshot::{Amount, MOST, Report, Shares};
use crate::sync::UnsafeCell;

/// How a share ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Done,
    /// Before its first piece, and so perhaps before any share before it has its turn.
    FailsAtOnce,
    Fails,
    Panics,
}

/// What the copy of some shares comes to.
struct Copy {
    shares: Shares,
    ends: &'static [End],
    /// Used by whoever has the turn: loom reports anybody else.
    turn: UnsafeCell<()>,
    /// Which have taken their places, each twice, since each has two pieces.
    places: Mutex<Vec<usize>>,
}

impl Copy {
    fn new(ends: &'static [End]) -> Arc<Copy> {
        let shares = Shares::new(ends.len());
        Arc::new(Copy { shares, ends, turn: UnsafeCell::new(()), places: Mutex::default() })
    }

    /// What one thread does.
    fn work(&self, report: Option<Report<'_>>) -> std::result::Result<(), usize> {
        let carry_out = |share: usize, mut report: Option<Report<'_>>| {
            for piece in 0..2 {
                // More than may be done before it is told.
                let more = Amount { records: 3 * MOST, bytes: 1 };
                match self.ends[share] {
                    End::FailsAtOnce => return Err(failure()),
                    End::Fails if piece == 1 => return Err(failure()),
                    // As a panic, but that nothing is printed, each of some hundred times.
                    End::Panics if piece == 1 => resume_unwind(Box::new(())),
                    _ => {}
                }
                let report = report.as_mut().map(|report| &mut **report as _);
                if !self.shares.add(share, more) || !self.shares.wait(share, report)? {
                    return Ok(false);
                }
                self.turn.with_mut(|_| ());
                self.places.lock().unwrap().push(share);
            }
            self.shares.pass_on();
            Ok(true)
        };
        self.shares.work(report, carry_out).map_err(|(share, _)| share)
    }

    fn places(&self) -> Vec<usize> {
        mem::take(&mut *self.places.lock().unwrap())
    }
}

fn failure() -> Error {
    Error::new(ErrorKind::Io, "as the model wants it")
}

/// What each thread returns, `None` if it panics; the helper's comes second.
type Both = [Option<std::result::Result<(), usize>>; 2];

fn both(copy: &Arc<Copy>, report: Report<'_>) -> Both {
    let caught = |work: &mut dyn FnMut() -> std::result::Result<(), usize>| {
        catch_unwind(AssertUnwindSafe(work)).ok()
    };
    let theirs = copy.clone();
    let helper = thread::spawn(move || caught(&mut || theirs.work(None)));
    let ours = caught(&mut || copy.work(Some(&mut *report)));
    [ours, helper.join().unwrap()]
}

#[test]
fn shares_take_their_places_in_order_and_all_is_told() {
    explore("shares: in order", World::Fences, 3, || {
        let copy = Copy::new(&[End::Done, End::Done, End::Done]);
        let mut told = 0;
        let done = both(&copy, &mut |more: Amount| {
            told += more.records;
            Ok(())
        });
        assert!(done == [Some(Ok(())), Some(Ok(()))]);
        assert_eq!(copy.places(), [0, 0, 1, 1, 2, 2]);
        assert_eq!(told, 6 * 3 * MOST);
    });
}

#[test]
fn the_first_share_that_fails_is_found_and_nobody_waits_for_ever() {
    const ENDS: [&[End]; 4] = [
        &[End::Fails, End::Fails],
        &[End::Fails, End::FailsAtOnce],
        &[End::Done, End::Fails, End::Fails],
        &[End::Done, End::Done, End::Fails],
    ];
    for ends in ENDS {
        let first = ends.iter().take_while(|end| **end == End::Done).count();
        explore("shares: one fails", World::Fences, 3, move || {
            let copy = Copy::new(ends);
            let done = both(&copy, &mut |_| Ok(()));
            let failed = done.iter().filter_map(|done| done.and_then(|done| done.err())).min();
            assert_eq!(failed, Some(first));
            let whole = copy.places().into_iter().filter(|&share| share < first);
            assert!(whole.eq((0..first).flat_map(|share| [share, share])));
        });
    }
}

#[test]
fn a_share_that_panics_ends_the_copy() {
    explore("shares: one panics", World::Fences, 2, || {
        let copy = Copy::new(&[End::Done, End::Panics, End::Done]);
        let done = both(&copy, &mut |_| Ok(()));
        assert_eq!(done.iter().filter(|done| done.is_none()).count(), 1);
        assert!(!copy.places().contains(&2));
    });
}

#[test]
fn who_is_told_can_end_the_copy() {
    explore("shares: given up", World::Fences, 3, || {
        let copy = Copy::new(&[End::Done, End::Done, End::Done]);
        let mut told = 0;
        let [ours, theirs] = both(&copy, &mut |_| {
            told += 1;
            if told > 1 { Err(failure()) } else { Ok(()) }
        });
        // One report is of all, when the helper has not begun before this thread is through.
        assert!(matches!(ours, Some(Err(_))) || told == 1);
        assert!(matches!(theirs, Some(Ok(()))));
    });
}
