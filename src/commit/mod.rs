//! Ordering writes: log first, then the disk, then the readers.
//!
//! Everything that changes the store happens under the lock of the one [`Writer`], in this
//! order: reserve room in the index, append to the log, make it as durable as was asked for,
//! publish to the index in log order. So what a reader sees is as durable as the store promises,
//! readers agree on the order of writes, and log order is that order.
//!
//! A write under `Durability::Os` takes the lock, and that is all. Writes under
//! `Durability::Sync` share syncs: see [`group`]. A batch is published behind a closed [`gate`], so
//! that readers see all of it or nothing. While a transaction is open nobody else writes: see
//! [`token`].

mod batch;
pub(crate) mod clock;
mod gate;
mod group;
mod pending;
mod request;
#[cfg(test)]
mod tests;
mod token;
mod writer;

pub(crate) use batch::check_count;
pub(crate) use clock::Clock;
pub(crate) use gate::{Gate, Passage};
pub(crate) use group::Committer;
pub(crate) use request::{Answer, CompareAndSet, Increment, Operation, Operations, Request};
pub(crate) use writer::{Alarm, Writer, add};

use crate::index::KeyHash;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Set,
    Delete,
}

impl Change {
    /// What the log calls it.
    fn operation(self) -> crate::record::Operation {
        match self {
            Change::Set => crate::record::Operation::Set,
            Change::Delete => crate::record::Operation::Delete,
        }
    }
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
