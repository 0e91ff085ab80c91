//! A second reader and writer of the format, after `docs/FORMAT.md` alone: what the library is
//! held against. Here are the files by themselves; what a directory of them comes to is in
//! `reading`.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::ops::Range;

pub const SET: u8 = 0x01;
pub const DELETE: u8 = 0x02;
pub const MARK: u8 = 0x10;
pub const BATCH: u8 = 0x11;
pub const CONTINUES: u8 = 0x12;

/// Bytes of a mark.
pub const MARK_LEN: usize = 41;

const LOG_MAGIC: &[u8] = b"KVLG";
const SNAPSHOT_MAGIC: &[u8] = b"KVSP";

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub operation: u8,
    pub timestamp: i64,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl LogEntry {
    pub fn mark(timestamp: i64, generation: u64, base: i64) -> LogEntry {
        let value = [generation.to_be_bytes(), base.to_be_bytes()].concat();
        LogEntry { operation: MARK, timestamp, key: Vec::new(), value }
    }

    /// The header of a batch of these entries.
    pub fn batch(timestamp: i64, entries: &[LogEntry]) -> LogEntry {
        let bytes: usize = entries.iter().map(|entry| entry.encode().len()).sum();
        let count = entries.len() as u32;
        let value = [&count.to_be_bytes()[..], &(bytes as u64).to_be_bytes()].concat();
        LogEntry { operation: BATCH, timestamp, key: Vec::new(), value }
    }

    /// Says that the log goes on behind the first `end` bytes of the sealed log of `generation`, of
    /// which `synced` were known to be on the disk.
    pub fn continues(timestamp: i64, generation: u64, end: u64, synced: u64) -> LogEntry {
        let value = [generation, end, synced].map(u64::to_be_bytes).concat();
        LogEntry { operation: CONTINUES, timestamp, key: Vec::new(), value }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = LOG_MAGIC.to_vec();
        out.push(self.operation);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        push_run(&mut out, &self.key, &self.value);
        push_checksum(&mut out);
        out
    }

    /// Count and bytes, when this is the header of a batch.
    pub fn batch_values(&self) -> Option<(u32, u64)> {
        let (count, bytes) = self.value.split_at_checked(4)?;
        let values = (
            u32::from_be_bytes(count.try_into().unwrap()),
            u64::from_be_bytes(bytes.try_into().ok()?),
        );
        (self.operation == BATCH && self.key.is_empty()).then_some(values)
    }

    /// Generation and base, when this is a mark.
    pub fn mark_values(&self) -> Option<(u64, i64)> {
        let value: &[u8; 16] = self.value.as_slice().try_into().ok()?;
        let (generation, base) = value.split_at(8);
        (self.operation == MARK && self.key.is_empty()).then(|| {
            let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
            (number(generation), number(base) as i64)
        })
    }

    /// Generation, end and synced bytes of the log before, when this is of its operation and well
    /// formed.
    pub fn continues_values(&self) -> Option<[u64; 3]> {
        let (fields, []) = self.value.as_chunks::<8>() else { return None };
        let &[generation, end, synced] = fields else { return None };
        let says = self.operation == CONTINUES && self.key.is_empty();
        says.then(|| [generation, end, synced].map(u64::from_be_bytes))
    }
}

fn push_run(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part);
    }
}

fn push_checksum(out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(out);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A snapshot with these entries whose header counts `count`.
pub fn encode_snapshot(timestamp: i64, count: u32, entries: &[Pair]) -> Vec<u8> {
    let mut out = SNAPSHOT_MAGIC.to_vec();
    out.extend_from_slice(&timestamp.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    push_checksum(&mut out);
    for (key, value) in entries {
        let mut entry = Vec::new();
        push_run(&mut entry, key, value);
        push_checksum(&mut entry);
        out.extend_from_slice(&entry);
    }
    out
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(field.try_into().unwrap()) as usize)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(i64::from_be_bytes(field.try_into().unwrap()))
}

/// Key and value of the run at `at`, whatever the checksum behind it says.
fn run_at(bytes: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let key = at + 4..at + 4 + u32_at(bytes, at)?;
    let value_at = key.end + 4;
    let value = value_at..value_at + u32_at(bytes, key.end)?;
    (value.end + 4 <= bytes.len()).then_some((key, value))
}

fn checksum_is_right(bytes: &[u8], entry: Range<usize>) -> bool {
    u32_at(bytes, entry.end) == Some(crc32fast::hash(&bytes[entry]) as usize)
}

/// Writes the right checksum into the header, and every entry that has room for one.
pub fn put_snapshot_checksums(snapshot: &mut [u8]) {
    if snapshot.len() >= 20 {
        put_checksum(snapshot, 0..16);
        put_checksums(snapshot, 20, 0);
    }
}

/// Writes the right checksum into every entry that has room for one.
pub fn put_log_checksums(log: &mut [u8]) {
    put_checksums(log, 0, 13);
}

/// From `at` on, for entries with `before` bytes in front of their run.
fn put_checksums(bytes: &mut [u8], mut at: usize, before: usize) {
    while let Some((_, value)) = run_at(bytes, at + before) {
        put_checksum(bytes, at..value.end);
        at = value.end + 4;
    }
}

fn put_checksum(bytes: &mut [u8], entry: Range<usize>) {
    let checksum = crc32fast::hash(&bytes[entry.clone()]);
    bytes[entry.end..entry.end + 4].copy_from_slice(&checksum.to_be_bytes());
}

/// The valid entries that a log begins with, and where each ends.
pub fn log_entries(log: &[u8]) -> Vec<(LogEntry, usize)> {
    let (mut entries, mut at) = (Vec::new(), 0);
    while log[at..].starts_with(LOG_MAGIC)
        && let Some((key, value)) = run_at(log, at + 13)
        && checksum_is_right(log, at..value.end)
    {
        let end = value.end + 4;
        let entry = LogEntry {
            operation: log[at + 4],
            timestamp: i64_at(log, at + 5).unwrap(),
            key: log[key].to_vec(),
            value: log[value].to_vec(),
        };
        entries.push((entry, end));
        at = end;
    }
    entries
}

/// A snapshot's timestamp and entries, or `None` when it is damaged.
pub fn snapshot_entries(snapshot: &[u8]) -> Option<(i64, Vec<Pair>)> {
    if !snapshot.starts_with(SNAPSHOT_MAGIC)
        || snapshot.len() < 20
        || !checksum_is_right(snapshot, 0..16)
    {
        return None;
    }
    let (mut entries, mut at) = (Vec::new(), 20);
    for _ in 0..u32_at(snapshot, 12)? {
        let (key, value) = run_at(snapshot, at)?;
        if !checksum_is_right(snapshot, at..value.end) {
            return None;
        }
        at = value.end + 4;
        entries.push((snapshot[key].to_vec(), snapshot[value].to_vec()));
    }
    Some((i64_at(snapshot, 4)?, entries))
}
