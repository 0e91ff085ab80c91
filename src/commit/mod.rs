//! Ordering writes: log first, then the disk, then the readers.
//!
//! Everything that changes the store happens under the lock of the one [`Writer`], in this
//! order: reserve room in the index, append to the log, make it as durable as was asked for,
//! publish to the index in log order. So what a reader sees is as durable as the store promises,
//! readers agree on the order of writes, and log order is that order.
//!
//! A write under `Durability::Os` takes the lock, and that is all. Writes under
//! `Durability::Sync` share syncs: see [`group`].

mod clock;
mod group;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use clock::Clock;
pub(crate) use group::Committer;
pub(crate) use writer::Writer;

use std::ops::Range;

use crate::index::KeyHash;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Set,
    Delete,
}

/// One write, with the caller's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) change: Change,
    pub(crate) key: &'a [u8],
    /// Empty for a delete.
    pub(crate) value: &'a [u8],
    pub(crate) hash: KeyHash,
}

/// Writes that wait for somebody else to commit them, their bytes copied.
#[derive(Default)]
struct Staged {
    bytes: Vec<u8>,
    writes: Vec<StagedWrite>,
}

struct StagedWrite {
    change: Change,
    hash: KeyHash,
    key: Range<usize>,
    value: Range<usize>,
}

impl Staged {
    /// Adds a copy of `write`; false, and nothing added, when memory cannot be had.
    fn push(&mut self, write: Write<'_>) -> bool {
        let reserved = self.bytes.try_reserve(write.key.len() + write.value.len());
        if reserved.and_then(|()| self.writes.try_reserve(1)).is_err() {
            return false;
        }
        let key = self.copy(write.key);
        let value = self.copy(write.value);
        self.writes.push(StagedWrite { change: write.change, hash: write.hash, key, value });
        true
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn iter(&self) -> impl Iterator<Item = Write<'_>> + Clone {
        self.writes.iter().map(|staged| Write {
            change: staged.change,
            key: &self.bytes[staged.key.clone()],
            value: &self.bytes[staged.value.clone()],
            hash: staged.hash,
        })
    }
}
