//! Reading a log from its start.

use std::path::Path;

use super::batch::{self, NotWhole};
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
/// begin at a file's start, so offsets in the file and in `log` are the same. Of a batch, `visit`
/// gets the header and every entry, or, if one of them is not valid, nothing: then the log ends at
/// its header.
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
    // Entries that have been checked as part of a batch.
    let mut checked = 0_u32;
    loop {
        let decoded = match checked {
            0 => loaded.decode_at(at, decode_log_entry)?,
            _ => batch::checked_entry(&mut loaded, at)?,
        };
        checked = checked.saturating_sub(1);
        let entry = match decoded {
            Ok(entry) => entry,
            Err(reason) => return end_at(at, &mut loaded, reason, generation),
        };
        let Some(operation) = Operation::from_code(entry.operation) else {
            return Err(unknown_operation(log.path(), at, entry.operation));
        };
        if let Some(mark) = entry.mark() {
            generation = Some(mark.generation);
        }
        if operation == Operation::Batch {
            let Some(header) = entry.batch_header() else {
                return end_at(at, &mut loaded, Malformed::BatchHeader, generation);
            };
            match batch::check(&mut loaded, at + entry.encoded_len(), header)? {
                Ok(()) => checked = header.count,
                Err(NotWhole::Torn(reason)) => {
                    return end_at(at, &mut loaded, reason, generation);
                }
                Err(NotWhole::Unknown { at, operation }) => {
                    return Err(unknown_operation(log.path(), at, operation));
                }
            }
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
        let used = used_len(bytes);
        if used > 0 {
            garbage = checked + used - at;
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
        // The last bytes of a mark may be zeros themselves.
        _ => {
            let end = (at + garbage + log_entry_len(0, Mark::LEN)).min(loaded.bytes().len());
            last_mark(&loaded.bytes()[at..end], generation)
        }
    }
    .map_or(0, |position| (at + position) as u64);
    Ok(LogEnd { offset: at as u64, garbage: garbage as u64, reason, vouched })
}

/// The length of `bytes` without the zeros at their end, which may be many.
fn used_len(bytes: &[u8]) -> usize {
    /// Looked at together, in a few vector instructions.
    const BLOCK: usize = 256;
    let is_zero = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    let zero_blocks = bytes.rchunks_exact(BLOCK).take_while(|block| is_zero(block)).count();
    let rest = &bytes[..bytes.len() - zero_blocks * BLOCK];
    rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Where in `garbage` the last valid mark begins: one of `generation`, or where the log has none
/// before the garbage, any. What a value contains could look like one; it would have to be of this
/// very log.
fn last_mark(garbage: &[u8], generation: Option<u64>) -> Option<usize> {
    let len = log_entry_len(0, Mark::LEN);
    let mut positions = (0..garbage.len().saturating_sub(len - 1)).rev();
    positions.find(|&position| {
        let entry = &garbage[position..position + len];
        // The first byte by itself spares most positions a comparison.
        entry[0] == MARK_START[0]
            && entry.starts_with(&MARK_START)
            && decode_log_entry(entry).ok().and_then(|entry| entry.mark()).is_some_and(|mark| {
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

#[cfg(test)]
mod tests {
    use super::{scan, used_len};
    use crate::io::heap_mapping;
    use crate::record::{Mark, Operation, Run, encode_log_entry, log_entry_len};

    fn entry(operation: Operation, timestamp: i64, value: &[u8]) -> Vec<u8> {
        let mut entry = vec![0; log_entry_len(0, value.len())];
        encode_log_entry(&mut entry, operation, timestamp, Run { key: &[], value });
        entry
    }

    /// The search for marks once ended at the last byte that is not zero.
    #[test]
    fn a_mark_whose_checksum_ends_in_zeros_vouches_like_any_other() {
        let mark = Mark { generation: 7, base: 0 }.encode();
        let marks = (0..).map(|timestamp| entry(Operation::Mark, timestamp, &mark));
        for last in marks.filter(|mark| mark.ends_with(&[0])).take(3) {
            let mut damaged = entry(Operation::Set, 6, b"synced");
            damaged[20] ^= 1;
            let (first, zeros) = (entry(Operation::Mark, 5, &mark), vec![0; 4096]);
            let log = heap_mapping([&*first, &damaged, &last, &zeros].concat());
            let end = scan(&log, |_, _, _| Ok(())).unwrap();
            assert_eq!(end.offset, first.len() as u64);
            assert_eq!(end.vouched, (first.len() + damaged.len()) as u64);
        }
    }

    #[test]
    fn zeros_at_the_end_are_not_used_and_those_before_are() {
        for len in [0, 1, 255, 256, 257, 511, 512, 1000] {
            let mut bytes = vec![0; len];
            assert_eq!(used_len(&bytes), 0);
            for at in 0..len {
                bytes[at] = 1;
                assert_eq!(used_len(&bytes), at + 1);
                bytes[at] = u8::from(at % 3 == 0);
            }
        }
    }
}
