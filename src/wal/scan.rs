//! Reading a log from its start.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{LoadedBytes, Mapping};
use crate::record::{
    LogEntry, MARK_START, Malformed, Mark, Operation, decode_log_entry, log_entry_len,
};

/// Where and why a log stops decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// Offset of the first byte that belongs to no valid entry.
    pub(crate) offset: u64,
    /// How many bytes from there on are not part of the zeros that end the file; 0 is a clean
    /// end.
    pub(crate) garbage: u64,
    /// What is wrong there, unless the end is clean.
    pub(crate) reason: Option<Malformed>,
    /// A mark behind that offset vouches that every byte before this one had reached the disk; 0
    /// when there is none. Beyond `offset` it means that synced data was damaged: a write that a
    /// crash has torn has no such mark behind it.
    pub(crate) vouched: u64,
}

/// Calls `visit` with every valid entry and its offset, up to the first invalid byte. Entries
/// begin at a file's start, so offsets in the file and in `log` are the same.
///
/// # Errors
/// Those of `visit`; an I/O error, which is never taken for the end; `Unsupported` for a valid
/// entry with an operation of a newer version, which to skip would be to lose data.
pub(crate) fn scan<'m>(
    log: &'m Mapping,
    mut visit: impl FnMut(usize, Operation, LogEntry<'m>) -> Result<()>,
) -> Result<LogEnd> {
    let mut loaded = LoadedBytes::new(log);
    let (mut at, mut generation) = (0, None);
    loop {
        let entry = match loaded.decode_at(at, decode_log_entry)? {
            Ok(entry) => entry,
            Err(reason) => return end_at(at, &mut loaded, reason, generation),
        };
        let Some(operation) = Operation::from_code(entry.operation) else {
            return Err(unknown_operation(log.path(), at, entry.operation));
        };
        if let Some(mark) = mark_in(&entry) {
            generation = Some(mark.generation);
        }
        visit(at, operation, entry)?;
        at += entry.encoded_len();
    }
}

fn end_at(
    at: usize,
    loaded: &mut LoadedBytes<'_>,
    reason: Malformed,
    generation: Option<u64>,
) -> Result<LogEnd> {
    let (mut garbage, mut checked) = (0, at);
    loop {
        let bytes = &loaded.bytes()[checked..];
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            garbage = checked + last + 1 - at;
        }
        checked += bytes.len();
        if !loaded.load_more()? {
            break;
        }
    }
    let reason = (garbage > 0).then_some(reason);
    // A log without marks before the cut, of the Go store, cannot tell; what looks like a mark in
    // it is part of a value.
    let vouched = match generation {
        None if at > 0 => None,
        _ => last_mark(&loaded.bytes()[at..at + garbage], generation),
    }
    .map_or(0, |position| (at + position) as u64);
    Ok(LogEnd { offset: at as u64, garbage: garbage as u64, reason, vouched })
}

/// The mark that an entry is, if it is one.
fn mark_in(entry: &LogEntry<'_>) -> Option<Mark> {
    match Operation::from_code(entry.operation) {
        Some(Operation::Mark) => Mark::decode(entry.run.value),
        _ => None,
    }
}

/// Where in `garbage` the last valid mark begins: one of `generation`, or where the log has none
/// before the garbage, any. What a value contains could look like one; it would have to be of this
/// very log.
fn last_mark(garbage: &[u8], generation: Option<u64>) -> Option<usize> {
    let len = log_entry_len(0, Mark::LEN);
    let mut positions = (0..garbage.len().saturating_sub(len - 1)).rev();
    positions.find(|&position| {
        let entry = &garbage[position..position + len];
        entry.starts_with(&MARK_START)
            && decode_log_entry(entry).ok().and_then(|entry| mark_in(&entry)).is_some_and(|mark| {
                generation.is_none_or(|generation| generation == mark.generation)
            })
    })
}

fn unknown_operation(path: &Path, at: usize, operation: u8) -> Error {
    let message = format!(
        "{} has an entry with operation {operation:#04x} at offset {at}, which this version does \
         not know; open it with the version that wrote it",
        path.display()
    );
    Error::new(ErrorKind::Unsupported, message).at(path, Some(at as u64))
}
