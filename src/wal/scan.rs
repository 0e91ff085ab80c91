//! Reading a log from its start.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::io::Mapping;
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

/// How much is read from the disk at a time, ahead of decoding.
const LOAD_STEP: usize = 4 << 20;

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
    let bytes = loaded_bytes(log)?;
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let entry = match decode_log_entry(rest) {
            Ok(entry) => entry,
            Err(reason) => return Ok(end_at(at, rest, reason)),
        };
        let Some(operation) = Operation::from_code(entry.operation) else {
            return Err(unknown_operation(log.path(), at, entry.operation));
        };
        visit(at, operation, entry)?;
        at += entry.encoded_len();
    }
}

/// The mapping's bytes, all read from the disk.
pub(crate) fn loaded_bytes(mapping: &Mapping) -> Result<&[u8]> {
    for start in (0..mapping.len()).step_by(LOAD_STEP) {
        mapping.load(start, LOAD_STEP)?;
    }
    Ok(mapping.bytes(0, mapping.len()).unwrap_or_default())
}

fn end_at(at: usize, rest: &[u8], reason: Malformed) -> LogEnd {
    let garbage = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
    let reason = (garbage > 0).then_some(reason);
    LogEnd { offset: at as u64, garbage, reason }
}

fn unknown_operation(path: &Path, at: usize, operation: u8) -> Error {
    let message = format!(
        "{} has an entry with operation {operation:#04x} at offset {at}, which this version does \
         not know; open it with the version that wrote it",
        path.display()
    );
    Error::new(ErrorKind::Unsupported, message).at(path, Some(at as u64))
}
