//! Records in ascending order of key: what scans and snapshots need and the hash table has not.

mod sort;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::{Location, PinnedBytes, SegmentPins};
use crate::range::KeyRange;
use crate::record::Run;

/// How many records ahead of the one asked for are brought near.
const PREFETCH_DISTANCE: usize = 8;

/// The locations of one instant's records and the pins that keep them mapped, in no order yet.
pub(crate) struct Collected {
    locations: Vec<Location>,
    pins: SegmentPins,
}

impl Collected {
    /// Every live record of `index` at this instant. `pins` are those of the same instant.
    pub(crate) fn new(index: &mut IndexWriter, pins: SegmentPins) -> Result<Collected> {
        let mut locations = Vec::new();
        let count = index.index().len();
        locations.try_reserve_exact(count).map_err(|_| {
            let message = format!("no memory to order {count} records");
            Error::new(ErrorKind::OutOfMemory, message)
        })?;
        index.for_each(|location| locations.push(location));
        if locations.len() != count {
            // Growing the index leaves out what it cannot read.
            let message = format!(
                "{} of {count} records cannot be read any more; close the store, which keeps the \
                 log, check memory and disk, and open it again",
                count.saturating_sub(locations.len())
            );
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        Ok(Collected { locations, pins })
    }

    /// Puts the records whose keys lie in `range` in order.
    pub(crate) fn sort(self, range: &KeyRange) -> Result<OrderedRun> {
        let Collected { locations, pins } = self;
        let locations = sort::sort_by_key(locations, &pins, range)?;
        Ok(OrderedRun { locations, pins: Arc::new(pins) })
    }
}

/// Records in ascending order of key. They stay readable for as long as this lives.
pub(crate) struct OrderedRun {
    locations: Vec<Location>,
    pins: Arc<SegmentPins>,
}

impl OrderedRun {
    pub(crate) fn len(&self) -> usize {
        self.locations.len()
    }

    /// The record at `position`, which is below [`len`](OrderedRun::len), with its location.
    ///
    /// # Errors
    /// `Corrupt` when its length fields have been garbled since it was read.
    #[inline]
    pub(crate) fn get(&self, position: usize) -> Result<(Location, Run<'_>)> {
        let location = self.locations[position];
        Ok((location, self.pins.record(location)?))
    }

    pub(crate) fn pins(&self) -> &SegmentPins {
        &self.pins
    }

    /// Starts loading a record that will be asked for some steps after `position`.
    #[inline]
    pub(crate) fn prefetch_after(&self, position: usize) {
        if let Some(&location) = self.locations.get(position + PREFETCH_DISTANCE) {
            self.pins.prefetch(location);
        }
    }

    /// As [`prefetch_after`](OrderedRun::prefetch_after), for going down.
    #[inline]
    pub(crate) fn prefetch_before(&self, position: usize) {
        if let Some(&location) =
            position.checked_sub(PREFETCH_DISTANCE).and_then(|at| self.locations.get(at))
        {
            self.pins.prefetch(location);
        }
    }

    /// Key and value at `position`, each pinned on its own.
    pub(crate) fn pin(&self, position: usize) -> Result<(PinnedBytes, PinnedBytes)> {
        let (location, run) = self.get(position)?;
        let pin = |bytes| self.pins.pin(location, bytes);
        match (pin(run.key), pin(run.value)) {
            (Some(key), Some(value)) => Ok((key, value)),
            _ => Err(self.pins.garbled(location)),
        }
    }
}
