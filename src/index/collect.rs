//! Every location, while the writer goes on.

use std::ptr;
use std::sync::atomic::Ordering;

use super::shard::Shard;
use super::table::{Line, Probe, Slot, Table};
use super::{Index, key_is};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Epoch, Guard, Location};
use crate::record::Run;
use crate::sync::atomic::AtomicU64;

impl Index {
    /// The location of every live record, in no order, without holding anybody up.
    ///
    /// Of a key that is written meanwhile there may be the old location, the new one, both or
    /// none; so whoever needs one instant has the changes recorded from before this call, and
    /// puts them on top. A location may be there twice.
    pub(crate) fn collect(&self) -> Result<Vec<Location>> {
        let mut locations = Vec::new();
        reserve(&mut locations, self.len())?;
        for shard in &self.shards {
            self.collect_shard(shard, &mut locations)?;
        }
        Ok(locations)
    }

    fn collect_shard(&self, shard: &Shard, locations: &mut Vec<Location>) -> Result<()> {
        // What the guard protects stays, also if the shard grows out of this table meanwhile.
        let guard = Epoch.enter();
        let Some(table) = shard.table(&guard) else { return Ok(()) };
        // The predecessor before the table: what is moved in between is seen in both.
        if let Some(previous) = table.previous.load(&guard) {
            #[cfg(test)]
            super::shard::between::loading_and_looking();
            for (cell, slot) in previous.lines().iter().flat_map(Line::taken_cells) {
                if slot.is_deleted() || self.has_key_of(table, slot.location(), &guard) {
                    continue;
                }
                // The key is not in the table, or was deleted there and its slot buried by a
                // checkpoint, which cannot be told. But before that the predecessor was swept, or
                // taken out because all of it had been moved.
                if !table.previous.load(&guard).is_some_and(|now| ptr::eq(now, previous)) {
                    break;
                }
                if is_live(cell) {
                    push(locations, slot.location())?;
                }
            }
        }
        live(table).try_for_each(|slot| push(locations, slot.location()))
    }

    /// Whether `table` has a slot, deleted or not, for the key of the record at `location`.
    fn has_key_of(&self, table: &Table, location: Location, guard: &Guard<'_>) -> bool {
        let source = self.segments.at(location, guard);
        // One that cannot be read is for whoever reads it to report.
        let Some(key) = source.and_then(|source| Run::decode_key(&source)) else { return false };
        let is_key = |other| key_is(&self.segments, other, key, guard);
        matches!(table.probe(self.hash(key), is_key), Probe::Found(..))
    }
}

/// Whether a slot that was live still is.
fn is_live(cell: &AtomicU64) -> bool {
    // Acquire as in `probe`.
    !Slot::of(cell.load(Ordering::Acquire)).is_deleted()
}

fn live(table: &Table) -> impl Iterator<Item = Slot> + '_ {
    table.lines().iter().flat_map(Line::taken).filter(|slot| !slot.is_deleted())
}

fn push(locations: &mut Vec<Location>, location: Location) -> Result<()> {
    if locations.len() == locations.capacity() {
        reserve(locations, locations.len() / 4 + 64)?;
    }
    locations.push(location);
    Ok(())
}

fn reserve(locations: &mut Vec<Location>, more: usize) -> Result<()> {
    locations.try_reserve_exact(more).map_err(|_| {
        let message = format!("no memory to order {} records", locations.len() + more);
        Error::new(ErrorKind::OutOfMemory, message)
    })
}
