//! Sorting entries by the keys of their records.
//!
//! A key is compared eight bytes at a time: entries are sorted by the first eight bytes of their
//! keys as a number, without looking at a record; then each run of equal ones by the next eight
//! bytes, and so on. So a record is read once for each eight bytes that its key shares with
//! another, not once for each comparison.

use std::ops::Range;

use super::entry::{Entry, HEAD};
use super::out_of_memory;
use crate::buckets::sort_by_number;
use crate::error::Result;
use crate::index::Change;
use crate::io::{Location, SegmentPins};

/// How many records ahead are brought near.
const PREFETCH_DISTANCE: usize = 16;

/// The records that entries name.
pub(super) trait Records {
    fn location(&self, which: u64) -> Location;
    fn pins(&self) -> &SegmentPins;

    /// The key of a record that was read before. One garbled since is sorted somewhere, and
    /// noticed when it is read.
    fn key(&self, which: u64) -> &[u8] {
        self.pins().key(self.location(which)).unwrap_or_default()
    }

    fn prefetch(&self, which: u64) {
        self.pins().prefetch(self.location(which));
    }
}

/// Entries that name records by their location.
pub(super) struct ByLocation<'a>(pub(super) &'a SegmentPins);

impl Records for ByLocation<'_> {
    fn location(&self, which: u64) -> Location {
        Location::from_bits(which)
    }

    fn pins(&self) -> &SegmentPins {
        self.0
    }
}

/// Entries that name records by the number of the change: of several changes of a key, the one
/// with the greatest is in force.
pub(super) struct ByNumber<'a> {
    pub(super) changes: &'a [Change],
    pub(super) pins: &'a SegmentPins,
}

impl Records for ByNumber<'_> {
    fn location(&self, which: u64) -> Location {
        // Numbers are those of `changes`.
        self.changes.get(which as usize).map_or(Location::from_bits(0), |change| change.location())
    }

    fn pins(&self) -> &SegmentPins {
        self.pins
    }
}

/// Puts entries in ascending order of key. Of those with the same key, only the greatest remains;
/// returns how many do, at the beginning.
pub(super) fn sort(entries: &mut [Entry], records: &impl Records) -> Result<usize> {
    sort_level(entries);
    let mut deeper = Vec::new();
    for same in entries.chunk_by_mut(|a, b| a.order() == b.order()) {
        if same.len() > 1 && same[0].has_more() {
            read_heads(&mut deeper, same, records)?;
            sort_deeper(&mut deeper, records);
            for (entry, sorted) in same.iter_mut().zip(&deeper) {
                *entry = entry.placed_like(*sorted);
            }
        }
    }
    let mut kept = 0;
    for at in 0..entries.len() {
        if !entries[at].is_superseded() {
            entries[kept] = entries[at];
            kept += 1;
        }
    }
    Ok(kept)
}

/// Sorts by heads, and marks those that share their whole key with the next.
fn sort_level(entries: &mut [Entry]) {
    sort_by_number(entries, |entry| entry.order().0, |entry| *entry);
    for at in 1..entries.len() {
        if entries[at - 1].order() == entries[at].order() && !entries[at].has_more() {
            entries[at - 1].supersede();
        }
    }
}

/// Fills `deeper` with entries for what follows the first head.
fn read_heads(deeper: &mut Vec<Entry>, same: &[Entry], records: &impl Records) -> Result<()> {
    deeper.clear();
    deeper.try_reserve(same.len()).map_err(|_| out_of_memory(same.len()))?;
    for (position, entry) in same.iter().enumerate() {
        if let Some(ahead) = same.get(position + PREFETCH_DISTANCE) {
            records.prefetch(ahead.which());
        }
        deeper.push(Entry::new(records.key(entry.which()), HEAD, entry.which()));
    }
    Ok(())
}

/// Sorts entries that agree in the first head and were read at the second.
fn sort_deeper(entries: &mut [Entry], records: &impl Records) {
    // Ranges of entries that agree in the first `depth` bytes. A stack of our own: keys may
    // share gigabytes.
    let mut unsorted: Vec<(Range<usize>, usize)> = vec![(0..entries.len(), HEAD)];
    while let Some((range, depth)) = unsorted.pop() {
        let part = &mut entries[range.clone()];
        sort_level(part);
        let mut start = range.start;
        for same in part.chunk_by_mut(|a, b| a.order() == b.order()) {
            let end = start + same.len();
            if same.len() > 1 && same[0].has_more() {
                for position in 0..same.len() {
                    if let Some(ahead) = same.get(position + PREFETCH_DISTANCE) {
                        records.prefetch(ahead.which());
                    }
                    let which = same[position].which();
                    same[position] = Entry::new(records.key(which), depth + HEAD, which);
                }
                unsorted.push((start..end, depth + HEAD));
            }
            start = end;
        }
    }
}
