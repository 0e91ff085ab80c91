//! One open-addressing table of one shard.
//!
//! A slot is 64 bits: 15 bits of tag, a deleted bit, 48 bits of location; zero is a vacant slot.
//! A key's slots begin at the line its hash names and go on through the following lines; the
//! first vacant slot ends the search. A slot, once taken, stays with its key until the table is
//! replaced: a deleted key keeps its slot, with the location of the delete.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::KeyHash;
use crate::io::{Location, prefetch};

pub(super) const SLOTS_PER_LINE: usize = 8;

/// The content of a slot that is not vacant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u64);

impl Slot {
    const DELETED: u64 = 1 << Location::BITS;
    const TAG_SHIFT: u32 = Location::BITS + 1;

    #[inline]
    pub(super) fn new(hash: KeyHash, location: Location, deleted: bool) -> Slot {
        let deleted = if deleted { Slot::DELETED } else { 0 };
        Slot(hash.tag() << Slot::TAG_SHIFT | deleted | location.bits())
    }

    #[inline]
    pub(super) fn location(self) -> Location {
        Location::from_bits(self.0)
    }

    #[inline]
    pub(super) fn is_deleted(self) -> bool {
        self.0 & Slot::DELETED != 0
    }
}

/// Eight slots that share a cache line. All zero bytes are a valid, vacant line.
#[repr(C, align(64))]
pub(super) struct Line([AtomicU64; SLOTS_PER_LINE]);

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    /// The slots that are taken, in the order they were.
    pub(super) fn taken(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0
            .iter()
            // Acquire as in `probe`; only the writer calls this, for which Relaxed would do.
            .map(|cell| cell.load(Ordering::Acquire))
            .take_while(|&bits| bits != 0)
            .map(Slot)
    }
}

/// A fixed number of lines, and while the shard grows the table it grew out of.
pub(super) struct Table {
    lines: NonNull<Line>,
    line_count: usize,
    /// The table this one replaces, as it was then, until all of it has been moved; then null.
    pub(super) previous: AtomicPtr<Table>,
}

// SAFETY: a table owns its lines and its predecessor; all shared access goes through atomics.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// What a probe came upon.
pub(super) enum Probe<'t> {
    /// The slot that matched, and the cell it is in.
    Found(&'t AtomicU64, Slot),
    /// The vacant cell where the key would go.
    Vacant(&'t AtomicU64),
    /// Neither: every slot is taken.
    Full,
}

impl Table {
    /// A vacant table, or `None` when memory cannot be had.
    pub(super) fn new(line_count: usize) -> Option<Box<Table>> {
        let line_count = line_count.max(1);
        let layout = Layout::array::<Line>(line_count).ok()?;
        // SAFETY: the layout is not empty.
        let lines = NonNull::new(unsafe { alloc_zeroed(layout) })?.cast();
        Some(Box::new(Table { lines, line_count, previous: AtomicPtr::new(ptr::null_mut()) }))
    }

    #[inline]
    pub(super) fn lines(&self) -> &[Line] {
        // SAFETY: `new` allocated that many lines, zeroed, which is valid; they live with `self`.
        unsafe { slice::from_raw_parts(self.lines.as_ptr(), self.line_count) }
    }

    pub(super) fn slot_count(&self) -> usize {
        self.line_count * SLOTS_PER_LINE
    }

    /// Bytes of memory of a table with that many lines.
    pub(super) fn memory(line_count: usize) -> usize {
        size_of::<Table>() + line_count * size_of::<Line>()
    }

    /// Looks for the slot with the tag of `hash` and a location that `is_match` accepts.
    #[inline]
    pub(super) fn probe(
        &self,
        hash: KeyHash,
        mut is_match: impl FnMut(Location) -> bool,
    ) -> Probe<'_> {
        let lines = self.lines();
        let mut at = hash.line(lines.len());
        for _ in 0..lines.len() {
            for cell in &lines[at].0 {
                // Acquire pairs with the Release in `publish`: the record's bytes were stored
                // before its location was.
                let bits = cell.load(Ordering::Acquire);
                if bits == 0 {
                    return Probe::Vacant(cell);
                }
                let slot = Slot(bits);
                if bits >> Slot::TAG_SHIFT == hash.tag() && is_match(slot.location()) {
                    return Probe::Found(cell, slot);
                }
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
        }
        Probe::Full
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        prefetch(ptr::from_ref(&self.lines()[hash.line(self.line_count)]).cast());
    }
}

/// Stores `slot` for readers to find. Only the index's writer calls this.
#[inline]
pub(super) fn publish(cell: &AtomicU64, slot: Slot) {
    // Release pairs with the Acquire in `probe`.
    cell.store(slot.0, Ordering::Release);
}

impl Drop for Table {
    fn drop(&mut self) {
        let previous = *self.previous.get_mut();
        if !previous.is_null() {
            // SAFETY: a non-null predecessor came from `Box::into_raw` (`Shard::replace_growing`)
            // and nobody else frees it: finishing a move nulls the pointer first.
            drop(unsafe { Box::from_raw(previous) });
        }
        if let Ok(layout) = Layout::array::<Line>(self.line_count) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.lines.as_ptr().cast(), layout) };
        }
    }
}
