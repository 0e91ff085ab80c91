//! The one writer of the index.
//!
//! There is exactly one [`IndexWriter`] for an [`Index`], and its methods take `&mut self`: that
//! is what "only the writer calls this" rests on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::feed::{Change, Feed};
use super::growth::{are_few, line_count, line_count_presized, max_taken};
use super::table::{Line, Probe, SLOTS_PER_LINE, Slot, Table, publish};
use super::{Index, KeyHash, SHARDS, key_is};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Epoch, Guard, Location, Segments};
use crate::record::Run;

/// Lines of the predecessor that each write to a growing shard moves: enough to be done after a
/// small part of the writes that the new table has room for, few enough to take under a
/// microsecond.
const LINES_PER_MOVE: usize = if cfg!(loom) { 1 } else { 4 };

/// What the writer knows of a shard.
#[derive(Clone, Copy, Default)]
pub(super) struct ShardState {
    /// Keys that are found and not deleted, in the table and its predecessor.
    live: usize,
    /// Taken slots of the table.
    taken: usize,
    /// Taken slots at which the table must be replaced.
    max_taken: usize,
    /// Lines of the predecessor that have been moved; no predecessor when `moving` is false.
    moved_lines: usize,
    /// Slots of the predecessor that may still have to be moved.
    unmoved: usize,
    pub(super) moving: bool,
    /// How many tables it has had.
    pub(super) tables: u64,
}

pub(crate) struct IndexWriter {
    pub(super) index: Arc<Index>,
    pub(super) shards: Box<[ShardState]>,
    len: usize,
    memory: usize,
    feed: Feed,
    changes: u64,
}

impl IndexWriter {
    /// An empty index; its readers' side is [`IndexWriter::index`].
    pub(crate) fn new(segments: Arc<Segments>) -> IndexWriter {
        IndexWriter {
            index: Arc::new(Index::new(segments)),
            shards: vec![ShardState::default(); SHARDS].into(),
            len: 0,
            memory: 0,
            feed: Feed::default(),
            changes: 0,
        }
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Makes room for about `keys` more keys at once: cheaper than growing step by step, unless they
    /// are few.
    pub(crate) fn presize(&mut self, keys: usize) -> Result<()> {
        let keys = keys.div_ceil(SHARDS);
        if are_few(keys) {
            return Ok(());
        }
        for shard in 0..SHARDS {
            let state = self.shards[shard];
            let wanted = state.live + keys;
            if wanted > state.max_taken {
                self.finish_move(shard);
                self.install_table(shard, line_count_presized(shard, wanted))?;
                self.finish_move(shard);
            }
        }
        Ok(())
    }

    /// Replaces tables that are far larger than their keys need, after [`presize`] for more keys
    /// than came.
    ///
    /// [`presize`]: IndexWriter::presize
    pub(crate) fn shrink(&mut self) -> Result<()> {
        for shard in 0..SHARDS {
            self.finish_move(shard);
            let state = self.shards[shard];
            if are_few(state.max_taken) {
                continue;
            }
            let lines = line_count_presized(shard, state.live);
            if state.max_taken > 2 * max_taken(lines * SLOTS_PER_LINE) {
                self.install_table(shard, lines)?;
                self.finish_move(shard);
            }
        }
        Ok(())
    }

    /// Makes room for one more key with `hash`, so that the next change of it cannot fail.
    #[inline]
    pub(crate) fn reserve(&mut self, hash: KeyHash) -> Result<()> {
        self.reserve_in_shard(hash.shard(), 1)
    }

    /// Makes room for a key with each of `hashes`.
    pub(crate) fn reserve_all(&mut self, hashes: impl Iterator<Item = KeyHash>) -> Result<()> {
        let mut wanted = [0_u32; SHARDS];
        for hash in hashes {
            wanted[hash.shard()] += 1;
        }
        for (shard, &keys) in wanted.iter().enumerate().filter(|(_, keys)| **keys > 0) {
            self.reserve_in_shard(shard, keys as usize)?;
        }
        Ok(())
    }

    #[inline]
    fn reserve_in_shard(&mut self, shard: usize, keys: usize) -> Result<()> {
        let state = &self.shards[shard];
        if state.taken + state.unmoved + keys <= state.max_taken {
            return Ok(());
        }
        self.grow(shard, keys)
    }

    #[cold]
    fn grow(&mut self, shard: usize, keys: usize) -> Result<()> {
        self.finish_move(shard);
        let state = self.shards[shard];
        if state.taken + keys <= state.max_taken {
            return Ok(());
        }
        self.install_table(shard, line_count(shard, state.live + keys))
    }

    /// Gives `shard` a vacant table of `lines` lines, into which its keys are to be moved.
    fn install_table(&mut self, shard: usize, lines: usize) -> Result<()> {
        let table = Table::new(lines).ok_or_else(|| {
            let message = format!("no memory for {} bytes of index", Table::memory(lines));
            Error::new(ErrorKind::OutOfMemory, message)
        })?;
        let max_taken = max_taken(table.slot_count());
        self.index.shards[shard].replace_growing(table);
        let state = &mut self.shards[shard];
        let had_table = state.max_taken > 0;
        *state = ShardState {
            live: state.live,
            taken: 0,
            max_taken,
            moved_lines: 0,
            unmoved: if had_table { state.live } else { 0 },
            moving: had_table,
            tables: state.tables + 1,
        };
        self.account(Table::memory(lines) as isize);
        Ok(())
    }

    fn account(&mut self, bytes: isize) {
        self.memory = self.memory.saturating_add_signed(bytes);
        // Relaxed: a figure for statistics.
        self.index.memory.store(self.memory, Ordering::Relaxed);
    }

    /// Points `key` at its record at `location`. Returns whether the key was there before.
    /// Room has been reserved.
    pub(crate) fn set(&mut self, hash: KeyHash, key: &[u8], location: Location) -> bool {
        let existed = self.set_uncounted(hash, key, location);
        if !existed {
            self.store_len();
        }
        existed
    }

    /// As [`set`](IndexWriter::set), for a change of several: [`Index::len`] goes on to tell what it
    /// was until [`store_len`](IndexWriter::store_len).
    #[inline]
    pub(crate) fn set_uncounted(&mut self, hash: KeyHash, key: &[u8], location: Location) -> bool {
        let existed = self.store(hash, key, location, false);
        if !existed {
            self.shards[hash.shard()].live += 1;
            self.len += 1;
        }
        existed
    }

    /// Marks `key` deleted by the entry at `location`. Returns whether the key was there before.
    /// Room has been reserved.
    pub(crate) fn delete(&mut self, hash: KeyHash, key: &[u8], location: Location) -> bool {
        let existed = self.delete_uncounted(hash, key, location);
        if existed {
            self.store_len();
        }
        existed
    }

    /// As [`delete`](IndexWriter::delete), for a change of several.
    pub(crate) fn delete_uncounted(
        &mut self,
        hash: KeyHash,
        key: &[u8],
        location: Location,
    ) -> bool {
        if !self.contains(hash, key) {
            return false;
        }
        self.store(hash, key, location, true);
        self.shards[hash.shard()].live -= 1;
        self.len -= 1;
        true
    }

    /// Tells readers how many keys there are.
    pub(crate) fn store_len(&mut self) {
        // Release pairs with the Acquire in `Index::len`.
        self.index.len.store(self.len, Ordering::Release);
    }

    /// What `look` makes of the value of `key`, if it has one.
    pub(crate) fn with_value<R>(
        &self,
        hash: KeyHash,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        let guard = Epoch.enter();
        look(self.index.find(hash, key, &guard))
    }

    /// What `look` makes of the record at `location`, which was appended and perhaps not published.
    pub(crate) fn with_record<R>(
        &self,
        location: Location,
        look: impl FnOnce(Option<Run<'_>>) -> R,
    ) -> R {
        let guard = Epoch.enter();
        look(self.index.segments.at(location, &guard).and_then(|source| Run::decode(&source)))
    }

    /// Hands over the changes since the last call, in blocks, in the order they were published,
    /// and keeps about `limit` of those that come; `None` when there was no such call or when
    /// more have come than were to be kept.
    pub(crate) fn take_changes(&mut self, limit: usize) -> Option<Vec<Vec<Change>>> {
        self.feed.take(limit)
    }

    /// Bytes of memory that the changes take which nobody has taken yet.
    pub(crate) fn changes_memory(&self) -> usize {
        self.feed.memory()
    }

    /// Tells those who have asked for changes of one that is about to be published.
    #[inline]
    fn note(&mut self, location: Location, deleted: bool) {
        if self.feed.is_on() {
            self.changes += 1;
            // Release pairs with the Acquire in `Index::changes`. Before the change itself: who
            // finds the number as it was has not seen the change either.
            self.index.changes.store(self.changes, Ordering::Release);
            self.feed.note(Change::new(location, deleted));
        }
    }

    /// Starts loading what a change of a key with `hash` will look at first.
    #[inline]
    pub(crate) fn prefetch_line(&self, hash: KeyHash) {
        self.index.prefetch_line(hash, &Epoch.enter());
    }

    /// Starts loading the record that such a change will most likely compare its key with.
    #[inline]
    pub(crate) fn prefetch_record(&self, hash: KeyHash) {
        self.index.prefetch_record(hash, &Epoch.enter());
    }

    pub(crate) fn contains(&self, hash: KeyHash, key: &[u8]) -> bool {
        let guard = Epoch.enter();
        self.index.find(hash, key, &guard).is_some()
    }

    /// Stores the slot of `key`. Returns whether the key was live.
    fn store(&mut self, hash: KeyHash, key: &[u8], location: Location, deleted: bool) -> bool {
        let shard = hash.shard();
        if self.shards[shard].moving {
            self.move_lines(shard, LINES_PER_MOVE);
        }
        self.note(location, deleted);
        let IndexWriter { index, shards, .. } = self;
        let guard = Epoch.enter();
        let Some(table) = index.shards[shard].table(&guard) else {
            debug_assert!(false, "no room was reserved");
            return false;
        };
        let is_key = |location| key_is(&index.segments, location, key, &guard);
        let slot = Slot::new(hash, location, deleted);
        match table.probe(hash, is_key) {
            Probe::Found(cell, old) => {
                publish(cell, slot);
                !old.is_deleted()
            }
            Probe::Vacant(cell) => {
                let previous = table.previous.load(&guard).map(|old| old.probe(hash, is_key));
                publish(cell, slot);
                shards[shard].taken += 1;
                matches!(previous, Some(Probe::Found(_, old)) if !old.is_deleted())
            }
            Probe::Full => {
                debug_assert!(false, "no room was reserved");
                false
            }
        }
    }

    fn finish_move(&mut self, shard: usize) {
        if self.shards[shard].moving {
            self.move_lines(shard, usize::MAX);
        }
    }

    /// Moves the keys of the next `count` lines of a growing shard's predecessor into its table.
    /// Deleted keys are left behind; keys that were written since are in the table already.
    fn move_lines(&mut self, shard: usize, count: usize) {
        let index = Arc::clone(&self.index);
        let guard = Epoch.enter();
        let Some(table) = index.shards[shard].table(&guard) else { return };
        let Some(previous) = table.previous.load(&guard) else { return };
        let state = &mut self.shards[shard];
        let from = state.moved_lines;
        let to = from.saturating_add(count).min(previous.lines().len());
        let lines = &previous.lines()[from..to];
        let live = |line| Line::taken(line).filter(|slot| !slot.is_deleted());
        for group in lines.chunks(LINES_PER_MOVE) {
            for slot in group.iter().flat_map(live) {
                index.segments.prefetch(slot.location(), &guard);
            }
            for slot in group.iter().flat_map(live) {
                state.taken += usize::from(move_slot(&index, table, slot.location(), &guard));
                state.unmoved = state.unmoved.saturating_sub(1);
            }
        }
        state.moved_lines = to;
        if to == previous.lines().len() {
            state.moving = false;
            state.unmoved = 0;
            let memory = Table::memory(previous.lines().len());
            self.account(-(memory as isize));
            table.previous.retire();
        }
    }

    /// Calls `visit` with the location of every live key, in no order.
    #[cfg(test)]
    pub(crate) fn for_each(&mut self, mut visit: impl FnMut(Location)) {
        for shard in 0..SHARDS {
            self.finish_move(shard);
            let guard = Epoch.enter();
            let Some(table) = self.index.shards[shard].table(&guard) else { continue };
            for slot in table.lines().iter().flat_map(Line::taken) {
                if !slot.is_deleted() {
                    visit(slot.location());
                }
            }
        }
    }

    /// Empties the index; its memory is freed when the last reader has left.
    pub(crate) fn clear(&mut self) {
        for (shard, state) in self.index.shards.iter().zip(&mut self.shards) {
            shard.retire();
            *state = ShardState::default();
        }
        self.account(-(self.memory as isize));
        self.len = 0;
        self.store_len();
        self.feed = Feed::default();
    }
}

/// Puts the record at `location` into `table`, unless its key is there already. Returns whether
/// it took a slot.
fn move_slot(index: &Index, table: &Table, location: Location, guard: &Guard<'_>) -> bool {
    let source = index.segments.at(location, guard);
    let Some(key) = source.and_then(|source| Run::decode_key(&source)) else { return false };
    let hash = index.hash(key);
    match table.probe(hash, |other| key_is(&index.segments, other, key, guard)) {
        Probe::Vacant(cell) => {
            publish(cell, Slot::new(hash, location, false));
            true
        }
        Probe::Found(..) => false,
        Probe::Full => {
            debug_assert!(false, "the table has room for every unmoved key");
            false
        }
    }
}

#[cfg(test)]
mod tests;
