//! A shard: its current table, as readers see it.
//!
//! While a shard grows, keys that have not been moved yet are found in the table's predecessor,
//! which no longer changes. A reader loads the predecessor **before** it probes the table: had
//! it found none there, every key would have been in the table already. Had it probed first, a
//! key moved in between would be missed.

use super::KeyHash;
use super::table::{Probe, Slot, Table};
use crate::io::{Guard, Location, Retirable};

/// The current table of a shard; vacant while it has no keys.
pub(super) struct Shard {
    table: Retirable<Table>,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard { table: Retirable::vacant() }
    }

    #[inline]
    pub(super) fn table<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g Table> {
        self.table.load(guard)
    }

    /// The slot of `hash` whose location `is_match` accepts, deleted or not.
    #[inline]
    pub(super) fn find<'g>(
        &'g self,
        hash: KeyHash,
        guard: &'g Guard<'_>,
        mut is_match: impl FnMut(Location) -> bool,
    ) -> Option<Slot> {
        let table = self.table(guard)?;
        let previous = table.previous.load(guard);
        #[cfg(test)]
        between::loading_and_looking();
        if let Probe::Found(_, slot) = table.probe(hash, &mut is_match) {
            return Some(slot);
        }
        match previous?.probe(hash, is_match) {
            Probe::Found(_, slot) => Some(slot),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash, guard: &Guard<'_>) {
        if let Some(table) = self.table(guard) {
            table.prefetch(hash);
        }
    }

    /// Makes `replacement` the table, with the present one as its predecessor, whose keys are
    /// to be moved. Only the index's writer calls this, and not while a move is under way.
    pub(super) fn replace_growing(&self, replacement: Box<Table>) {
        // The old table is not retired: the new one owns it now.
        self.table.supersede(replacement, |table| &mut table.previous);
    }

    /// Takes the table out for good.
    pub(super) fn retire(&self) {
        self.table.retire();
    }
}

/// Lets a test do something between a reader's loading of the tables and its looking at them.
#[cfg(test)]
pub(crate) mod between {
    use std::cell::RefCell;

    type Work = Box<dyn FnOnce()>;

    thread_local! {
        static WORK: RefCell<Option<Work>> = const { RefCell::new(None) };
    }

    /// This thread's next reader does `work` there.
    pub(crate) fn next(work: impl FnOnce() + 'static) {
        WORK.set(Some(Box::new(work)));
    }

    pub(in crate::index) fn loading_and_looking() {
        if let Some(work) = WORK.take() {
            work();
        }
    }
}
