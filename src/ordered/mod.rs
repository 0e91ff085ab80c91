//! Records in ascending order of key: what scans and snapshots need and the hash table has not.
//!
//! [`Run`] is the order of one instant; it never changes, and the next one shares most of it.
//! [`OrderedRun`] adds the pins that keep its records mapped: that is what readers hold.
//! [`Standing`] is the store's own, which follows the writes whenever somebody asks for it. If
//! nobody does, there is none.

mod build;
mod entry;
mod run;
mod sort;
mod standing;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use standing::{Instant, Keep, Standing};
pub(crate) use walk::Walk;

use std::ops::{Bound, Range};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::{Location, PinnedBytes, SegmentId, SegmentPins};
use crate::range::KeyRange;
use run::{Place, Run};

/// The records of one instant in ascending order of key. They stay readable for as long as this
/// lives. Cloning it costs two reference counts.
#[derive(Clone)]
pub(crate) struct OrderedRun {
    run: Arc<Run>,
    pins: Arc<SegmentPins>,
}

impl OrderedRun {
    /// The records of an index that nobody changes meanwhile. `pins` are those of its segments.
    ///
    /// # Errors
    /// `OutOfMemory`; `Corrupt` when a record cannot be read any more.
    pub(crate) fn of(index: &IndexWriter, pins: Arc<SegmentPins>) -> Result<OrderedRun> {
        let run = build::build(index.index().collect()?, &pins)?;
        check_count(run.len(), index.index().len())?;
        Ok(OrderedRun { run: Arc::new(run), pins })
    }

    pub(crate) fn len(&self) -> usize {
        self.run.len()
    }

    /// Bytes of memory that the order takes, without the records.
    pub(crate) fn memory(&self) -> usize {
        self.run.memory()
    }

    pub(crate) fn pins(&self) -> &SegmentPins {
        &self.pins
    }

    /// The location of `key`, if it is there.
    ///
    /// # Errors
    /// `Corrupt` when a record that had to be looked at cannot be read any more.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Location>> {
        let (place, found) = self.run.find(key, &self.pins)?;
        Ok(if found { self.at(place) } else { None })
    }

    /// How many keys are less than `key`; with `inclusive`, or equal to it.
    ///
    /// # Errors
    /// As [`find`](OrderedRun::find).
    pub(crate) fn count_before(&self, key: &[u8], inclusive: bool) -> Result<usize> {
        let (rank, found) = self.run.rank(key, &self.pins)?;
        Ok(rank + usize::from(inclusive && found))
    }

    /// The ranks of the keys that lie in `range`.
    ///
    /// # Errors
    /// As [`find`](OrderedRun::find).
    pub(crate) fn ranks(&self, range: &KeyRange) -> Result<Range<usize>> {
        let start = match range.start() {
            Bound::Included(key) => self.count_before(key, false)?,
            Bound::Excluded(key) => self.count_before(key, true)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end() {
            Bound::Included(key) => self.count_before(key, true)?,
            Bound::Excluded(key) => self.count_before(key, false)?,
            Bound::Unbounded => self.len(),
        };
        // A range may end before it starts.
        Ok(start..end.max(start))
    }

    /// All locations in ascending order of key, with records further on brought near.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        let mut walk = Walk::new(self, 0..self.len());
        std::iter::from_fn(move || walk.next(self))
    }

    /// The same without looking at any record.
    pub(crate) fn locations(&self) -> impl Iterator<Item = Location> + '_ {
        self.run.entries().map(|entry| entry.location())
    }

    fn at(&self, place: Place) -> Option<Location> {
        self.run.chunk(place.chunk)?.get(place.at).map(|entry| entry.location())
    }

    /// The value of the record at `location`, which is one of these, pinned on its own.
    pub(crate) fn pin(&self, location: Location) -> Result<PinnedBytes> {
        let value = self.pins.record(location)?.value;
        self.pins.pin(location, value).ok_or_else(|| self.pins.garbled(location))
    }

    /// The same records, of which those in segments that `is_moved` names are now where `moved`
    /// says; `pins` include those places. `moved` is asked in ascending order of key.
    ///
    /// # Errors
    /// `OutOfMemory`, and those of `moved`.
    pub(crate) fn relocate(
        &self,
        pins: Arc<SegmentPins>,
        is_moved: impl Fn(SegmentId) -> bool,
        mut moved: impl FnMut(Location) -> Result<Location>,
    ) -> Result<OrderedRun> {
        let run = self.run.map(|entry| {
            let location = entry.location();
            let stays = !is_moved(location.segment_id());
            Ok(if stays { entry } else { entry.with_location(moved(location)?, false) })
        })?;
        Ok(OrderedRun { run: Arc::new(run), pins })
    }
}

/// That `found` records are in order must mean all: growing the index leaves out what it cannot
/// read.
fn check_count(found: usize, count: usize) -> Result<()> {
    if found == count {
        return Ok(());
    }
    let message = format!(
        "{} of {count} records cannot be read any more; close the store, which keeps the log, \
         check memory and disk, and open it again",
        count.saturating_sub(found)
    );
    Err(Error::new(ErrorKind::Corrupt, message))
}

#[cold]
fn out_of_memory(records: usize) -> Error {
    let message = format!("no memory to order {records} records");
    Error::new(ErrorKind::OutOfMemory, message)
}
