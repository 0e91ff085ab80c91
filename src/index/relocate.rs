//! Pointing slots at where a checkpoint has put their records, and forgetting where nothing is any
//! more, so that the old files can be unmapped.
//!
//! The checkpoint holds the writer for a few hundred slots at a time. First it has every record of
//! the snapshot [relocated](IndexWriter::relocate): a slot that was changed meanwhile has another
//! location by now and is left alone. What then still points into the old files are the slots of
//! deleted keys, and, while a table grows, slots of its predecessor whose keys were written since.
//! The [sweep](IndexWriter::sweep) buries those: they keep their place, and point nowhere.
//!
//! **A predecessor is swept before its table.** Were a deleted key buried in the table first, an old
//! slot of the predecessor could not be told from one of a live key, and would bring it back.

use super::table::{Probe, Slot, Table, publish};
use super::{IndexWriter, KeyHash, SHARDS, key_is};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Epoch, Guard, Location, SegmentId, SegmentSet};
use crate::record::Run;

/// A record that is in another place too: where it was, and at which offset of the new segment it
/// is. As many of these as there are records are kept while a snapshot is written, so one has 16
/// bytes:
///
/// ```text
/// shard 8 bits | what the line is found by 32 | location 48 | offset 40
/// ```
#[derive(Clone, Copy)]
pub(crate) struct Move(u128);

impl Move {
    const LINE_SHIFT: u32 = Location::BITS + Location::OFFSET_BITS;
    const SHARD_SHIFT: u32 = Move::LINE_SHIFT + KeyHash::LINE_BITS;

    /// Of the record of a key with `hash`.
    #[inline]
    pub(crate) fn new(hash: KeyHash, from: Location, to: u64) -> Move {
        let (shard, line) = hash.place();
        let to = to & ((1 << Location::OFFSET_BITS) - 1);
        Move(
            u128::from(shard) << Move::SHARD_SHIFT
                | u128::from(line) << Move::LINE_SHIFT
                | u128::from(from.bits()) << Location::OFFSET_BITS
                | u128::from(to),
        )
    }

    /// The same if the new place lies `bytes` further on, which is in the segment.
    #[inline]
    pub(crate) fn shifted(self, bytes: u64) -> Move {
        Move(self.0 + u128::from(bytes))
    }

    /// Puts those of one shard together, so that all that is needed to follow them fits into a
    /// processor's own cache.
    pub(crate) fn group(moves: &mut [Move]) {
        moves.sort_unstable_by_key(|moved| (moved.0 >> Move::SHARD_SHIFT) as u8);
    }

    /// Of a hash what its shard and line are found by; the tag is not known.
    #[inline]
    pub(crate) fn hash(self) -> KeyHash {
        KeyHash::at((self.0 >> Move::SHARD_SHIFT) as u8, (self.0 >> Move::LINE_SHIFT) as u32)
    }

    #[inline]
    fn from(self) -> Location {
        Location::from_bits((self.0 >> Location::OFFSET_BITS) as u64)
    }

    #[inline]
    fn to(self, segment: SegmentId) -> Location {
        Location::new(segment, self.0 as usize & ((1 << Location::OFFSET_BITS) - 1))
    }
}

const _: () = assert!(Move::SHARD_SHIFT + 8 == u128::BITS);

/// How far a sweep has come.
#[derive(Default)]
pub(crate) struct Sweep {
    shard: usize,
    /// What `ShardState::tables` was when the shard was begun.
    tables: u64,
    in_table: bool,
    line: usize,
}

impl IndexWriter {
    /// Points every slot that points at where one of `moves` was at where it is in `segment`.
    /// Whoever reads one or the other finds the same record.
    pub(crate) fn relocate(&mut self, moves: &[Move], segment: SegmentId) {
        let guard = Epoch.enter();
        for moved in moves {
            let shard = &self.index.shards[moved.hash().shard()];
            let Some(table) = shard.table(&guard) else { continue };
            relocate_in(table, *moved, segment);
            // The predecessor may have the slot still, or have it as well.
            if let Some(previous) = table.previous.load(&guard) {
                relocate_in(previous, *moved, segment);
            }
        }
    }

    /// Looks at the next `lines` lines of all tables, and buries the slots that point into
    /// `retired`, where nothing is to be found any more. Returns whether all have been looked at:
    /// then none does.
    ///
    /// # Errors
    /// `Corrupt` when a key points there that is in no other place; it is left as it is.
    pub(crate) fn sweep(
        &mut self,
        at: &mut Sweep,
        retired: &SegmentSet,
        lines: usize,
    ) -> Result<bool> {
        let guard = Epoch.enter();
        let mut left = lines;
        while at.shard < SHARDS {
            let state = &self.shards[at.shard];
            if state.tables != at.tables {
                // It is another table by now, whose predecessor is perhaps not swept.
                *at = Sweep { shard: at.shard, tables: state.tables, ..Sweep::default() };
            }
            let shard = &self.index.shards[at.shard];
            if let Some(table) = shard.table(&guard) {
                // Once all of a predecessor has been moved, nothing comes from there any more.
                if let Some(previous) = table.previous.load(&guard).filter(|_| !at.in_table) {
                    self.sweep_lines(previous, table, at, retired, &mut left, &guard)?;
                    if left == 0 {
                        return Ok(false);
                    }
                }
                if !at.in_table {
                    (at.in_table, at.line) = (true, 0);
                }
                self.sweep_lines(table, table, at, retired, &mut left, &guard)?;
                if left == 0 {
                    return Ok(false);
                }
            }
            *at = Sweep { shard: at.shard + 1, ..Sweep::default() };
            at.tables = self.shards.get(at.shard).map_or(0, |state| state.tables);
        }
        Ok(true)
    }

    /// Sweeps `swept`, which is `table` or its predecessor, until its end or until none are `left`.
    fn sweep_lines(
        &self,
        swept: &Table,
        table: &Table,
        at: &mut Sweep,
        retired: &SegmentSet,
        left: &mut usize,
        guard: &Guard<'_>,
    ) -> Result<()> {
        while *left > 0 {
            let Some(line) = swept.lines().get(at.line) else { return Ok(()) };
            for (cell, slot) in line.taken_cells() {
                if retired.contains(slot.location().segment_id()) {
                    let superseded =
                        at.in_table || slot.is_deleted() || self.has(table, slot, guard);
                    if !superseded || at.in_table && !slot.is_deleted() {
                        return Err(left_over());
                    }
                    publish(cell, slot.buried());
                }
            }
            at.line += 1;
            *left -= 1;
        }
        Ok(())
    }

    /// Whether `table` has the key of `slot`, a slot of its predecessor.
    fn has(&self, table: &Table, slot: Slot, guard: &Guard<'_>) -> bool {
        let segments = &self.index.segments;
        let source = segments.at(slot.location(), guard);
        let Some(key) = source.and_then(|source| Run::decode_key(&source)) else { return false };
        let is_key = |other| key_is(segments, other, key, guard);
        matches!(table.probe(self.index.hash(key), is_key), Probe::Found(..))
    }
}

#[inline]
fn relocate_in(table: &Table, moved: Move, segment: SegmentId) {
    if let Some((cell, slot)) = table.find_location(moved.hash(), moved.from())
        && !slot.is_deleted()
    {
        publish(cell, slot.relocated(moved.to(segment)));
    }
}

#[cold]
fn left_over() -> Error {
    let message = "a record is in the index and not in the new snapshot; the logs are kept; close \
                   the store, check memory and disk, and open it again";
    Error::new(ErrorKind::Corrupt, message)
}
