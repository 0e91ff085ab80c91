//! Putting records into the index in bulk.

use crate::error::Result;
use crate::index::{IndexWriter, KeyHash};
use crate::io::{Location, SegmentId};
use crate::record::{Operation, Run};

/// Records gathered before they go into the index: enough for their cache misses to overlap.
const BATCH: usize = 32;

/// Replays the records of one mapped file, in their order.
pub(super) struct Replay<'a, 'm> {
    index: &'a mut IndexWriter,
    segment: SegmentId,
    /// Whether records may replace others, which must then be looked at.
    overwrites: bool,
    batch: Vec<Pending<'m>>,
}

struct Pending<'m> {
    operation: Operation,
    hash: KeyHash,
    key: &'m [u8],
    location: Location,
}

impl<'a, 'm> Replay<'a, 'm> {
    /// For the entries of a log, which may replace each other and what the index has.
    pub(super) fn of_log(index: &'a mut IndexWriter, segment: SegmentId) -> Replay<'a, 'm> {
        Replay { index, segment, overwrites: true, batch: Vec::with_capacity(BATCH) }
    }

    /// For the entries of a snapshot, whose keys should all be different.
    pub(super) fn of_snapshot(index: &'a mut IndexWriter, segment: SegmentId) -> Replay<'a, 'm> {
        Replay { overwrites: false, ..Replay::of_log(index, segment) }
    }

    /// Takes a set or a delete whose run begins at `run_offset` of the file.
    pub(super) fn push(
        &mut self,
        operation: Operation,
        run: Run<'m>,
        run_offset: usize,
    ) -> Result<()> {
        let hash = self.index.index().hash(run.key);
        self.index.prefetch_line(hash);
        let location = Location::new(self.segment, run_offset);
        self.batch.push(Pending { operation, hash, key: run.key, location });
        if self.batch.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.overwrites {
            // The lines are near by now; next are the records that these replace.
            for pending in &self.batch {
                self.index.prefetch_record(pending.hash);
            }
        }
        for Pending { operation, hash, key, location } in self.batch.drain(..) {
            self.index.reserve(hash)?;
            match operation {
                Operation::Set => self.index.set(hash, key, location),
                Operation::Delete => self.index.delete(hash, key, location),
                Operation::Mark | Operation::Batch | Operation::Continues => false,
            };
        }
        Ok(())
    }

    /// Puts in what is still gathered.
    pub(super) fn finish(mut self) -> Result<()> {
        self.flush()
    }
}
