//! Reading a log from its start.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{LoadedBytes, Mapping};
use crate::record::{LogEntry, Malformed, Operation, decode_log_entry};

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
    let mut at = 0;
    loop {
        let entry = match loaded.decode_at(at, decode_log_entry)? {
            Ok(entry) => entry,
            Err(reason) => return end_at(at, &mut loaded, reason),
        };
        let Some(operation) = Operation::from_code(entry.operation) else {
            return Err(unknown_operation(log.path(), at, entry.operation));
        };
        visit(at, operation, entry)?;
        at += entry.encoded_len();
    }
}

fn end_at(at: usize, loaded: &mut LoadedBytes<'_>, reason: Malformed) -> Result<LogEnd> {
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
    Ok(LogEnd { offset: at as u64, garbage: garbage as u64, reason })
}

fn unknown_operation(path: &Path, at: usize, operation: u8) -> Error {
    let message = format!(
        "{} has an entry with operation {operation:#04x} at offset {at}, which this version does \
         not know; open it with the version that wrote it",
        path.display()
    );
    Error::new(ErrorKind::Unsupported, message).at(path, Some(at as u64))
}
