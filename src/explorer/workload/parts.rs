//! What workloads are put together from.

use std::sync::Arc;

use super::{Action, Change, in_directory};
use crate::io::simulated::{Image, Node, Random, SECTOR};
use crate::options::Durability;
use crate::record::{Continues, Mark, Operation, Run, encode_log_entry, log_entry_len};

pub(super) fn set(key: &str, value: &str) -> Change {
    Change::Set(key.into(), value.into())
}

/// A value of `len` bytes, different for each `seed`.
pub(super) fn big(key: &str, len: usize, seed: u64) -> Change {
    let mut random = Random::new(seed);
    Change::Set(key.into(), (0..len).map(|_| random.next() as u8).collect())
}

pub(super) fn delete(key: &str) -> Change {
    Change::Delete(key.into())
}

/// Changes of different threads.
pub(super) fn group(changes: Vec<Change>) -> Action {
    Action::Group(changes.into_iter().map(|change| vec![change]).collect())
}

pub(super) fn synced(change: Change) -> Action {
    Action::Write(change, Durability::Sync)
}

pub(super) fn unsynced(change: Change) -> Action {
    Action::Write(change, Durability::Os)
}

/// `count` entries that are as long as a sector each.
pub(super) fn sector_sized(count: u64, seed: u64) -> impl Iterator<Item = Action> {
    (0..count).map(move |number| unsynced(sector_sized_set(number, seed)))
}

/// The same at the beginning of a log, each in a sector of its own, so that one can be lost
/// without its neighbours.
pub(super) fn sector_aligned(count: u64, seed: u64) -> impl Iterator<Item = Action> {
    let first = SECTOR - log_entry_len(0, Mark::LEN) - log_entry_len(5, 0);
    [unsynced(big("first", first, seed))].into_iter().chain(sector_sized(count, seed))
}

/// A set whose entry is as long as a sector.
pub(in crate::explorer) fn sector_sized_set(number: u64, seed: u64) -> Change {
    big(&format!("k{}", number % 10), SECTOR - log_entry_len(2, 0), seed + number)
}

/// What the Go store writes: a log without marks.
pub(super) fn log_without_marks(changes: &[Change]) -> Image {
    let mut log = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        let (operation, key, value) = match change {
            Change::Set(key, value) => (Operation::Set, key, value.as_slice()),
            Change::Delete(key) => (Operation::Delete, key, [].as_slice()),
        };
        let run = Run { key, value };
        let mut entry = vec![0; log_entry_len(key.len(), value.len())];
        encode_log_entry(&mut entry, operation, 1_000 + number as i64, run);
        log.extend(entry);
    }
    with_log(log)
}

/// A sealed log that continues one that is missing, and an empty log.
pub(super) fn behind_a_hole() -> Image {
    let mark = Mark { generation: 30, base: 0 }.encode();
    let continues = Continues { generation: 20, end: 60, synced: 0 }.encode();
    let entries: [(_, &[u8], &[u8]); 3] = [
        (Operation::Mark, b"", &mark),
        (Operation::Continues, b"", &continues),
        (Operation::Set, b"lost", b"behind the hole"),
    ];
    let mut sealed = Vec::new();
    for (operation, key, value) in entries {
        let mut entry = vec![0; log_entry_len(key.len(), value.len())];
        encode_log_entry(&mut entry, operation, 1_000, Run { key, value });
        sealed.extend(entry);
    }
    let files = [("wal-30.log", sealed), ("wal.log", Vec::new())];
    let nodes = files.map(|(name, bytes)| (name.to_owned(), Node::File(Arc::new(bytes.into()))));
    in_directory(Image(nodes.into()))
}

pub(super) fn with_log(log: Vec<u8>) -> Image {
    let files = [("wal.log".to_owned(), Node::File(Arc::new(log.into())))];
    in_directory(Image(files.into()))
}
