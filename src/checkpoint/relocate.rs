//! Having everybody read in the new snapshot.

use super::Checkpoint;
use super::copy::Copied;
use super::seal::AtSeal;
use crate::error::{Error, Result};
use crate::index::Sweep;
use crate::io::{Epoch, Location, Mapping, SegmentId, SegmentSet};
use crate::record::{ByteSource, Run, SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN};

/// Slots moved while a writer waits: a few microseconds.
const SLOTS: usize = 256;

/// Lines looked at while a writer waits.
const LINES: usize = 256;

/// The places of a snapshot's records, in their order.
struct Places<'m> {
    mapping: &'m Mapping,
    segment: SegmentId,
    at: usize,
}

impl<'m> Places<'m> {
    fn new(copied: &'m Copied) -> Places<'m> {
        let Copied { mapping, segment, .. } = copied;
        Places { mapping, segment: *segment, at: SNAPSHOT_HEADER_LEN }
    }

    /// The next record's key, and where it is.
    fn next(&mut self) -> Result<(&'m [u8], Location)> {
        /// The bytes of a mapping from an offset on.
        struct From<'m>(&'m Mapping, usize);
        impl<'m> ByteSource<'m> for From<'m> {
            fn bytes(&self, start: usize, len: usize) -> Option<&'m [u8]> {
                self.0.bytes(self.1.checked_add(start)?, len)
            }
        }
        let Some(run) = Run::decode(&From(self.mapping, self.at)) else {
            let what = "the snapshot that was just written cannot be read; the logs are kept";
            return Err(Error::corrupt(self.mapping.path(), self.at as u64, what));
        };
        let location = Location::new(self.segment, self.at);
        self.at += SNAPSHOT_ENTRY_OVERHEAD + run.key.len() + run.value.len();
        Ok((run.key, location))
    }
}

impl Checkpoint<'_> {
    /// Points the index and the ordered view at the new snapshot, and retires the segments that
    /// have what it has.
    pub(super) fn relocate(&self, sealed: &AtSeal, copied: &Copied) -> Result<()> {
        self.relocate_slots(copied);
        self.sweep(&sealed.retired)?;
        self.retire(sealed, copied);
        Ok(())
    }

    fn relocate_slots(&self, copied: &Copied) {
        for moves in copied.moves.chunks(SLOTS) {
            let guard = Epoch.enter();
            moves.iter().for_each(|moved| self.index.prefetch_line(moved.hash(), &guard));
            drop(guard);
            self.committer.lock().index.relocate(moves, copied.segment);
        }
    }

    fn sweep(&self, retired: &SegmentSet) -> Result<()> {
        let mut at = Sweep::default();
        while !self.committer.lock().index.sweep(&mut at, retired, LINES)? {}
        Ok(())
    }

    /// With the view locked, since nobody may put locations in order that are about to be retired.
    fn retire(&self, sealed: &AtSeal, copied: &Copied) {
        let mut standing = self.standing.lock();
        let mut places = Places::new(copied);
        let mut locations = sealed.ordered.locations();
        let moved = |wanted: Location| loop {
            let (_, to) = places.next()?;
            match locations.next() {
                Some(from) if from == wanted => return Ok(to),
                Some(_) => {}
                None => return Err(sealed.ordered.pins().garbled(wanted)),
            }
        };
        let is_moved = |id| sealed.retired.contains(id);
        // First, so that the pins that follow keep none of them.
        self.segments.retire(sealed.retired);
        // If that fails, the next who wants the order has it made anew.
        let _relocated = standing.relocate(self.segments.pins(), is_moved, moved).is_ok();
        let mut files = self.checkpoints.files().lock();
        files.snapshots = SegmentSet::default();
        files.snapshots.insert(copied.segment);
    }
}
