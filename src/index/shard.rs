//! A shard: its current table, as readers see it.
//!
//! While a shard grows, keys that have not been moved yet are found in the table's predecessor,
//! which no longer changes. A reader loads the predecessor **before** it probes the table: had
//! it found none there, every key would have been in the table already. Had it probed first, a
//! key moved in between would be missed.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::KeyHash;
use super::table::{Probe, Slot, Table};
use crate::io::{Epoch, Guard, Location};

/// The current table of a shard; null while it has no keys.
pub(super) struct Shard {
    table: AtomicPtr<Table>,
}

impl Shard {
    pub(super) fn new() -> Shard {
        Shard { table: AtomicPtr::new(ptr::null_mut()) }
    }

    #[inline]
    pub(super) fn table<'g>(&'g self, guard: &'g Guard<'_>) -> Option<&'g Table> {
        guard.load(&self.table)
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
        let previous = guard.load(&table.previous);
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
        // Relaxed: the writer itself stored it.
        let old = self.table.load(Ordering::Relaxed);
        // Relaxed: published by the Release below.
        replacement.previous.store(old, Ordering::Relaxed);
        // Release pairs with the Acquire in `Guard::load`: readers see the predecessor and the
        // zeroed lines. The old table is not retired: the new one owns it now.
        self.table.store(Box::into_raw(replacement), Ordering::Release);
    }

    /// Takes the table out for good.
    pub(super) fn retire(&self) {
        Epoch.retire(&self.table);
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let table = *self.table.get_mut();
        if !table.is_null() {
            // SAFETY: made by `Box::into_raw` in `replace_growing`; `&mut self` says that no
            // reader is left.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}
