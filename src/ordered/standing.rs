//! The ordered view that a store keeps, and how it follows the writes.
//!
//! It is made when somebody first asks for it: the feed of changes is turned on, then all
//! locations are collected from the index while the writers go on, read and put in order; then the
//! changes since are applied, which make it exact as of the instant at which they were taken. From
//! then on whoever asks has the changes since the last time applied. The writer is needed only to
//! take them, which is a swap of pointers.

use std::sync::Arc;

use super::build::{build, follow};
use super::run::Run;
use super::{OrderedRun, check_count};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Change, Index, IndexWriter};
use crate::io::{Location, SegmentId, SegmentPins, Segments};

/// How many changes are worth keeping until the next who asks: beyond that, memory is. Reading
/// the whole index again costs about a tenth of a microsecond a record.
fn worthwhile(records: usize) -> usize {
    records / 2 + (64 << 10)
}

/// How many of the changes after an instant are to be kept for the next.
#[derive(Clone, Copy)]
pub(crate) enum Keep {
    /// Every one: the next instant follows soon.
    All,
    /// As many as it is worth.
    Worthwhile,
    /// Nobody is going to ask for them.
    None,
}

/// What is taken from the index at one instant.
pub(crate) struct Instant {
    /// Since the last instant; `None` when they were not recorded.
    changes: Option<Vec<Vec<Change>>>,
    /// Number of records.
    len: usize,
    /// What `Index::changes` was.
    number: u64,
    pins: Arc<SegmentPins>,
}

impl Instant {
    /// This very instant: the caller holds the writer, and nothing is half published.
    pub(crate) fn take(index: &mut IndexWriter, segments: &Segments, keep: Keep) -> Instant {
        let len = index.index().len();
        let limit = match keep {
            Keep::All => usize::MAX,
            Keep::Worthwhile => worthwhile(len),
            Keep::None => 0,
        };
        Instant {
            changes: index.take_changes(limit),
            len,
            number: index.index().changes(),
            pins: segments.pins(),
        }
    }

    /// Whether every change since the last instant was recorded.
    pub(crate) fn has_changes(&self) -> bool {
        self.changes.is_some()
    }
}

/// The ordered view of a store, as of the last time that somebody asked for it.
#[derive(Default)]
pub(crate) struct Standing(Option<Known>);

struct Known {
    view: OrderedRun,
    number: u64,
}

impl Standing {
    /// The records in order, as of an instant between the beginning and the end of this call.
    /// `instant` takes one, and is called once or twice, the last time for the instant that the
    /// result is of.
    ///
    /// # Errors
    /// Those of `instant`; `OutOfMemory`; `Corrupt` when a record cannot be read any more. The
    /// next call begins anew.
    pub(crate) fn catch_up(
        &mut self,
        index: &Index,
        instant: impl FnMut(Keep) -> Result<Instant>,
    ) -> Result<OrderedRun> {
        match self.current(index) {
            Some(view) => Ok(view),
            None => self.catch_up_anew(index, instant),
        }
    }

    /// The same of an instant that is taken in any case. The last one that `instant` takes, of which
    /// the result is, is that for which it is asked to keep what is worthwhile and which
    /// [has](Instant::has_changes) the changes before it; unless what follows fails.
    ///
    /// # Errors
    /// Those of [`catch_up`](Standing::catch_up).
    pub(crate) fn catch_up_anew(
        &mut self,
        index: &Index,
        mut instant: impl FnMut(Keep) -> Result<Instant>,
    ) -> Result<OrderedRun> {
        let known = self.0.take();
        let updated = Known::update(known, index, &mut instant).inspect_err(|_| {
            // Not needed any more: the next call begins anew.
            let _forgotten = instant(Keep::None).is_ok();
        })?;
        Ok(self.0.insert(updated).view.clone())
    }

    /// The view, if nothing was changed since it was last brought up to date.
    fn current(&self, index: &Index) -> Option<OrderedRun> {
        self.0
            .as_ref()
            .filter(|known| known.number == index.changes())
            .map(|known| known.view.clone())
    }

    /// As [`OrderedRun::relocate`], for the view that is kept. To be called with this locked since
    /// before the segments were retired: nobody may make views of them meanwhile.
    ///
    /// # Errors
    /// As there; the next call of [`catch_up`](Standing::catch_up) begins anew.
    pub(crate) fn relocate(
        &mut self,
        pins: Arc<SegmentPins>,
        is_moved: impl Fn(SegmentId) -> bool,
        moved: impl FnMut(Location) -> Result<Location>,
    ) -> Result<()> {
        if let Some(known) = self.0.take() {
            let view = known.view.relocate(pins, is_moved, moved)?;
            self.0 = Some(Known { view, number: known.number });
        }
        Ok(())
    }

    /// Whether somebody has asked for the order, so that it is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |known| known.view.memory())
    }
}

impl Known {
    fn update(
        known: Option<Known>,
        index: &Index,
        instant: &mut impl FnMut(Keep) -> Result<Instant>,
    ) -> Result<Known> {
        if let Some(known) = known {
            let now = instant(Keep::Worthwhile)?;
            if let Some(changes) = &now.changes {
                let run = follow(known.view.run, changes, &now.pins)?;
                return Known::new(run, now);
            }
        }
        // From here on every change is recorded; what is collected has all those before.
        drop(instant(Keep::All)?);
        let locations = index.collect()?;
        let now = instant(Keep::Worthwhile)?;
        let changes = now.changes.as_ref().ok_or_else(forgotten)?;
        let run = follow(Arc::new(build(locations, &now.pins)?), changes, &now.pins)?;
        Known::new(run, now)
    }

    fn new(run: Arc<Run>, now: Instant) -> Result<Known> {
        check_count(run.len(), now.len)?;
        Ok(Known { view: OrderedRun { run, pins: now.pins }, number: now.number })
    }
}

/// Whoever keeps all changes forgets them only when memory ends.
#[cold]
fn forgotten() -> Error {
    let message = "no memory to record the writes that came while the records were put in order";
    Error::new(ErrorKind::OutOfMemory, message)
}
