//! Key to location: a hash table that readers probe without locks while one writer changes it.
//!
//! 256 shards, chosen by the top bits of the hash, each an open-addressing [`table`] that grows
//! alone and a few lines at a time. A table is an array of cache lines of eight 64-bit slots, so
//! that a probe is one miss for the line and one for the record, whose key decides.
//!
//! The index owns no record bytes: it reads keys in the mapped files through [`Segments`].

mod growth;
mod shard;
mod table;
mod writer;

pub(crate) use writer::IndexWriter;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::io::{Guard, Location, Segments};
use crate::record::Run;
use shard::Shard;
use table::Slot;

const SHARDS: usize = 256;

/// The hash of a key under one index's seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    #[inline]
    fn shard(self) -> usize {
        (self.0 >> 56) as usize
    }

    /// Fifteen bits that neither the shard nor the line is chosen by.
    #[inline]
    fn tag(self) -> u64 {
        (self.0 >> 41) & 0x7FFF
    }

    /// The line to begin at among `lines`: multiply-shift instead of a mask, so that tables can
    /// have any size.
    #[inline]
    fn line(self, lines: usize) -> usize {
        (((self.0 & 0xFFFF_FFFF) * lines as u64) >> 32) as usize
    }
}

/// The readers' side of the index.
pub(crate) struct Index {
    shards: [Shard; SHARDS],
    /// Live keys; stored by the writer only.
    len: AtomicUsize,
    /// Bytes of all tables; stored by the writer only.
    memory: AtomicUsize,
    /// Random, so that nobody can choose keys that collide.
    seed: u64,
    shared_seed: SharedSeed,
    segments: Arc<Segments>,
}

impl Index {
    fn new(segments: Arc<Segments>) -> Index {
        // The standard library's hasher is keyed by the operating system's random numbers.
        let random = || RandomState::new().build_hasher().finish();
        Index {
            shards: std::array::from_fn(|_| Shard::new()),
            len: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
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
            let Some(source) = self.segments.at(location, guard) else { return false };
            found = Run::decode_if_key(&source, key).map(|run| run.value);
            found.is_some()
        })?;
        if slot.is_deleted() { None } else { found }
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

/// Whether the record at `location` has `key`.
fn key_is(segments: &Segments, location: Location, key: &[u8], guard: &Guard<'_>) -> bool {
    let source = segments.at(location, guard);
    source.is_some_and(|source| Run::decode_if_key(&source, key).is_some())
}

const _: () = assert!(size_of::<Slot>() == 8 && Location::BITS == 48);
