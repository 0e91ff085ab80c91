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
use std::sync::atomic::Ordering;

use super::KeyHash;
use crate::io::{Location, Retirable, prefetch};
use crate::sync::Lifetime;
use crate::sync::atomic::AtomicU64;

/// Fewer in a model, for which they only make more of the same.
pub(super) const SLOTS_PER_LINE: usize = if cfg!(loom) { 2 } else { 8 };

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

    /// That of the same key when its record is at another `location`.
    #[inline]
    pub(super) fn relocated(self, location: Location) -> Slot {
        Slot(self.tag() << Slot::TAG_SHIFT | location.bits())
    }

    /// What a cell that is not vacant holds.
    #[inline]
    pub(super) fn of(bits: u64) -> Slot {
        Slot(bits)
    }

    /// That of a key which is found here no more: its tag goes on saying that the search does not
    /// end here.
    pub(super) fn buried(self) -> Slot {
        let tag = self.tag() << Slot::TAG_SHIFT;
        Slot(tag | Slot::DELETED | Location::NOWHERE.bits())
    }

    #[inline]
    fn tag(self) -> u64 {
        self.0 >> Slot::TAG_SHIFT
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

const _: () = assert!(size_of::<Line>() == 64 || cfg!(loom));

impl Line {
    /// The slots that are taken, in the order they were.
    pub(super) fn taken(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0
            .iter()
            // Acquire as in `probe`.
            .map(|cell| cell.load(Ordering::Acquire))
            .take_while(|&bits| bits != 0)
            .map(Slot)
    }

    /// The same, with the cells they are in.
    pub(super) fn taken_cells(&self) -> impl Iterator<Item = (&AtomicU64, Slot)> + '_ {
        // Acquire as in `probe`.
        let cells = self.0.iter().map(|cell| (cell, cell.load(Ordering::Acquire)));
        cells.take_while(|&(_, bits)| bits != 0).map(|(cell, bits)| (cell, Slot(bits)))
    }
}

/// A fixed number of lines, and while the shard grows the table it grew out of.
pub(super) struct Table {
    lines: NonNull<Line>,
    line_count: usize,
    /// The table this one replaces, as it was then, until all of it has been moved; then vacant.
    pub(super) previous: Retirable<Table>,
    lifetime: Lifetime,
}

// SAFETY: a table owns its lines; all shared access goes through atomics.
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
        #[cfg(loom)]
        Table::make_vacant(lines, line_count);
        let (previous, lifetime) = (Retirable::vacant(), Lifetime::new());
        Some(Box::new(Table { lines, line_count, previous, lifetime }))
    }

    /// A model's atomics are more than their bytes.
    #[cfg(loom)]
    fn make_vacant(lines: NonNull<Line>, line_count: usize) {
        for at in 0..line_count {
            let line = Line(std::array::from_fn(|_| AtomicU64::new(0)));
            // SAFETY: `new` has just allocated that many lines.
            unsafe { lines.add(at).write(line) };
        }
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
        self.lifetime.used();
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
                if slot.tag() == hash.tag() && is_match(slot.location()) {
                    return Probe::Found(cell, slot);
                }
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
        }
        Probe::Full
    }

    /// Looks, from the line of `hash` on, for the slot with this location; no other has the same.
    ///
    /// Unlike for a reader, which line it is in is known nearly always, and which slot never: all
    /// eight are compared without a branch that could be mispredicted.
    #[inline]
    pub(super) fn find_location(
        &self,
        hash: KeyHash,
        location: Location,
    ) -> Option<(&AtomicU64, Slot)> {
        self.lifetime.used();
        let lines = self.lines();
        let mut at = hash.line(lines.len());
        for _ in 0..lines.len() {
            let cells = &lines[at].0;
            // Relaxed: nothing is read through what is found, and whoever stored it had the writer,
            // whose lock orders that before this.
            let bits: [u64; SLOTS_PER_LINE] =
                std::array::from_fn(|cell| cells[cell].load(Ordering::Relaxed));
            let is_here = |bits: u64| Location::from_bits(bits) == location;
            let found = (0..SLOTS_PER_LINE)
                .rev()
                .fold(SLOTS_PER_LINE, |found, cell| if is_here(bits[cell]) { cell } else { found });
            if found < SLOTS_PER_LINE {
                return Some((&cells[found], Slot(bits[found])));
            }
            if bits[SLOTS_PER_LINE - 1] == 0 {
                return None;
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
        }
        None
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
        self.lifetime.ended();
        if cfg!(loom) {
            // As `sync::free`: a use after this is to be reported, not to crash.
            return;
        }
        if let Ok(layout) = Layout::array::<Line>(self.line_count) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.lines.as_ptr().cast(), layout) };
        }
    }
}
