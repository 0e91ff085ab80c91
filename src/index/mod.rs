//! Key to location: a hash table that readers probe without locks while one writer changes it.
//!
//! 256 shards, chosen by the top bits of the hash, each an open-addressing [`table`] that grows
//! alone and a few lines at a time. A table is an array of cache lines of eight 64-bit slots, so
//! that a probe is one miss for the line and one for the record, whose key decides.
//!
//! The index owns no record bytes: it reads keys in the mapped files through [`Segments`].

mod collect;
mod feed;
mod growth;
mod relocate;
mod shard;
mod table;
mod writer;

pub(crate) use feed::Change;
pub(crate) use relocate::{Move, Sweep};
#[cfg(test)]
pub(crate) use shard::between;
pub(crate) use writer::IndexWriter;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::io::{Guard, Location, Segments};
use crate::record::Run;
use crate::sync::atomic::{AtomicU64, AtomicUsize};
use shard::Shard;
use table::{Probe, Slot, Table};

/// One in a model: shards share nothing.
const SHARDS: usize = if cfg!(loom) { 1 } else { 256 };

/// The hash of a key under one index's seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    /// Bits that the line is found by: the lowest.
    const LINE_BITS: u32 = 32;

    /// What the shard is chosen by, and what the line is.
    #[inline]
    fn place(self) -> (u8, u32) {
        ((self.0 >> 56) as u8, self.0 as u32)
    }

    /// A hash of this [`place`](KeyHash::place), whose tag is of no use.
    #[inline]
    fn at(shard: u8, line: u32) -> KeyHash {
        KeyHash(u64::from(shard) << 56 | u64::from(line))
    }

    #[inline]
    fn shard(self) -> usize {
        usize::from(self.place().0) % SHARDS
    }

    /// Fifteen bits that neither the shard nor the line is chosen by.
    #[inline]
    pub(crate) fn tag(self) -> u64 {
        (self.0 >> 41) & 0x7FFF
    }

    /// The line to begin at among `lines`: multiply-shift instead of a mask, so that tables can
    /// have any size.
    #[inline]
    pub(crate) fn line(self, lines: usize) -> usize {
        ((u64::from(self.place().1) * lines as u64) >> KeyHash::LINE_BITS) as usize
    }
}

/// The readers' side of the index.
pub(crate) struct Index {
    shards: [Shard; SHARDS],
    /// Live keys; stored by the writer only.
    len: AtomicUsize,
    /// Bytes of all tables; stored by the writer only.
    memory: AtomicUsize,
    /// Changes since somebody wanted to know of them; stored by the writer only, before each.
    changes: AtomicU64,
    /// Random, so that nobody can choose keys that collide.
    seed: u64,
    shared_seed: SharedSeed,
    segments: Arc<Segments>,
}

impl Index {
    fn new(segments: Arc<Segments>) -> Index {
        // The standard library's hasher is keyed by the operating system's random numbers. A model
        // must do the same each time.
        let random = || if cfg!(loom) { 1 } else { RandomState::new().build_hasher().finish() };
        Index {
            shards: std::array::from_fn(|_| Shard::new()),
            len: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            seed: random(),
            shared_seed: SharedSeed::from_u64(random()),
            segments,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write(key);
        KeyHash(hasher.finish())
    }

    /// Number of live keys.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Acquire pairs with the writer's Release: who sees the count also finds the keys.
        self.len.load(Ordering::Acquire)
    }

    /// Bytes of memory that the tables take, also those that are being grown out of.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed) + SHARDS * size_of::<Shard>()
    }

    /// A number that is another one as soon as a change begins to be visible, for those who have
    /// asked for changes.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        // Acquire pairs with the writer's Release; who has seen a change also sees its number.
        self.changes.load(Ordering::Acquire)
    }

    /// The value of `key`, unless it is absent or deleted.
    #[inline]
    pub(crate) fn find<'g>(
        &'g self,
        hash: KeyHash,
        key: &[u8],
        guard: &'g Guard<'_>,
    ) -> Option<&'g [u8]> {
        let mut found = None;
        let slot = self.shards[hash.shard()].find(hash, guard, |location| {
            let Some(source) = self.segments.at(location, guard) else {
                // This is the answer, also if it is that there is none: what else this search comes to
                // may be a predecessor's slot of a key that was deleted since.
                found = self.find_moved(hash, key, guard);
                return true;
            };
            found = Run::decode_if_key(&source, key).map(|run| run.value);
            found.is_some()
        })?;
        if slot.is_deleted() { self.find_unless_deleted(hash, key, slot, guard) } else { found }
    }

    /// For a reader that has come to `slot`, which is a deleted one: of the key, if the location
    /// could be looked at; if not, of any.
    #[cold]
    fn find_unless_deleted<'g>(
        &'g self,
        hash: KeyHash,
        key: &[u8],
        slot: Slot,
        guard: &'g Guard<'_>,
    ) -> Option<&'g [u8]> {
        match self.segments.at(slot.location(), guard) {
            Some(_) => None,
            None => self.find_moved(hash, key, guard),
        }
    }

    /// Looks for `key` afresh: the reader was overtaken by a checkpoint, which has moved what a
    /// slot stood for since the slot was read, or has buried it.
    ///
    /// **Why this finds a key that was there all the time.** A segment is retired after every slot
    /// that pointed there has been given another location, so a slot that is read again points
    /// somewhere else. A slot is buried if its key was deleted, or if it is in the predecessor of a
    /// table that has the key; then the key was in the table before the slot was buried. So once no
    /// more buried slots are met than the last time, in the same table, all that they could hide
    /// was there to be found.
    ///
    /// **Why it does not find a key that was deleted before.** The table has a slot for the key, and
    /// what a predecessor has of it no longer counts. If the table's slot cannot be read, because it
    /// is buried, then the predecessor had been swept or taken out before that; but it may have been
    /// loaded still earlier. So it is loaded again until the table has no new buried slot.
    #[cold]
    #[inline(never)]
    fn find_moved<'g>(
        &'g self,
        hash: KeyHash,
        key: &[u8],
        guard: &'g Guard<'_>,
    ) -> Option<&'g [u8]> {
        let shard = &self.shards[hash.shard()];
        let mut last = (std::ptr::null(), 0, 0);
        loop {
            let table = shard.table(guard)?;
            // Before the table is probed, as in `Shard::find`.
            let previous = table.previous.load(guard);
            let in_table = self.look(table, hash, key, guard);
            if let Some(slot) = in_table.slot {
                return slot;
            }
            let in_previous = previous.map(|table| self.look(table, hash, key, guard));
            let in_previous = in_previous.unwrap_or_default();
            let buried = in_table.buried + in_previous.buried;
            let met = (std::ptr::from_ref(table), in_table.buried, in_previous.buried);
            if !in_table.moved && !in_previous.moved && (buried == 0 || met == last) {
                return in_previous.slot.flatten();
            }
            last = met;
        }
    }

    /// Looks for `key` in one table.
    fn look<'g>(
        &'g self,
        table: &Table,
        hash: KeyHash,
        key: &[u8],
        guard: &'g Guard<'_>,
    ) -> Looked<'g> {
        let mut looked = Looked::default();
        let mut value = None;
        let probe = table.probe(hash, |location| {
            match self.segments.at(location, guard) {
                Some(source) => value = Run::decode_if_key(&source, key).map(|run| run.value),
                None if location.is_somewhere() => looked.moved = true,
                None => looked.buried += 1,
            }
            value.is_some()
        });
        if let Probe::Found(_, slot) = probe {
            looked.slot = Some(value.filter(|_| !slot.is_deleted()));
        }
        looked
    }

    /// Starts loading the line where `hash` would be.
    #[inline]
    pub(crate) fn prefetch_line(&self, hash: KeyHash, guard: &Guard<'_>) {
        self.shards[hash.shard()].prefetch(hash, guard);
    }

    /// Starts loading the record that `hash` most likely belongs to; its line should be near.
    #[inline]
    pub(crate) fn prefetch_record(&self, hash: KeyHash, guard: &Guard<'_>) {
        if let Some(slot) = self.shards[hash.shard()].find(hash, guard, |_| true) {
            self.segments.prefetch(slot.location(), guard);
        }
    }
}

/// What [`Index::look`] has come to in a table.
#[derive(Default)]
struct Looked<'g> {
    /// The slot of the key: its value, or `None` when the key is deleted.
    slot: Option<Option<&'g [u8]>>,
    /// A slot pointed into a segment that has been retired since.
    moved: bool,
    /// How many slots were buried.
    buried: usize,
}

/// Whether the record at `location` has `key`.
fn key_is(segments: &Segments, location: Location, key: &[u8], guard: &Guard<'_>) -> bool {
    let source = segments.at(location, guard);
    source.is_some_and(|source| Run::decode_if_key(&source, key).is_some())
}

const _: () = assert!(size_of::<Slot>() == 8 && Location::BITS == 48);
