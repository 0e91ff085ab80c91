//! Checking every byte of a log, also behind the place where it stops decoding.

use std::path::Path;

use super::checksums::RangeChecksums;
use super::no_memory_to_search;
use super::progress::Ticker;
use super::report::{Condition, Finding, LogCheck, Verification};
use super::source::SourceFile;
use crate::error::Result;
use crate::io::{MAX_FILE_LEN, Mapping};
use crate::record::{LogEntry, MARK_START, Operation, decode_unchecked_log_entry};
use crate::wal::{LogEnd, scan};

/// What every log entry begins with.
const MAGIC: &[u8] = MARK_START.split_at(4).0;

/// A valid entry.
pub(crate) struct Found<'m> {
    pub(crate) at: usize,
    pub(crate) operation: Operation,
    pub(crate) entry: LogEntry<'m>,
    /// Whether it lies behind the place where the log stops decoding.
    pub(crate) behind: bool,
}

impl Found<'_> {
    /// Whether it is a set or a delete.
    pub(crate) fn is_write(&self) -> bool {
        matches!(self.operation, Operation::Set | Operation::Delete)
    }
}

/// Calls `visit` with every valid entry. What is wrong goes to `report`.
///
/// Behind the place where the log stops decoding, an entry is where the magic number is followed
/// by lengths that fit and the right checksum. A value that holds a piece of another log looks like
/// entries if the damage is in its own entry.
///
/// # Errors
/// Those of `visit`; an I/O error; `Cancelled`; `Unsupported` for an operation of a newer version, unless it
/// lies behind the damage, where it is counted.
pub(crate) fn survey<'m>(
    file: &'m SourceFile,
    report: &mut Verification,
    ticker: &mut Ticker<'_>,
    visit: &mut dyn FnMut(Found<'m>) -> Result<()>,
) -> Result<LogCheck> {
    ticker.begin("checking", &file.path, file.len);
    let mut check = LogCheck { path: file.path.clone(), bytes: file.len, ..LogCheck::default() };
    let Some(mapping) = &file.mapping else {
        if file.len > MAX_FILE_LEN {
            let what = format!("the file is longer than the {MAX_FILE_LEN} bytes it may have");
            check.condition = Condition::Damaged;
            report.add(finding(&check, file.len, what));
        }
        return Ok(check);
    };
    check.latest = i64::MIN;
    let mut opening_end = 0;
    let end = scan(mapping, |at, operation, entry| {
        ticker.reached(at)?;
        let mark = entry.mark();
        if at == 0 {
            check.opening = mark;
            opening_end = mark.map_or(0, |_| entry.encoded_len());
            check.generation = mark.map(|mark| mark.generation);
            check.base = mark.map(|mark| mark.base);
        }
        if at > 0 && at == opening_end {
            check.continues = entry.continues();
        }
        check.first_mark = check.first_mark.or(mark);
        if mark.is_some() {
            check.last_mark = at as u64;
        }
        check.latest = check.latest.max(entry.timestamp);
        *counter(&mut check, operation) += 1;
        visit(Found { at, operation, entry, behind: false })
    })?;
    check.end = end.offset;
    check.garbage = end.garbage;
    check.vouched = end.vouched;
    check.last_mark = check.last_mark.max(end.vouched);
    check.latest_anywhere = check.latest;
    if end.garbage > 0 {
        search(mapping, end, &mut check, ticker, visit)?;
        check.condition = judge(&check);
        let what = describe(&check, end);
        report.add(finding(&check, end.garbage, what));
    }
    Ok(check)
}

fn finding(check: &LogCheck, len: u64, what: String) -> Finding {
    let path = check.path.clone();
    Finding { condition: check.condition, path, offset: check.end, len, what }
}

fn counter(check: &mut LogCheck, operation: Operation) -> &mut u64 {
    match operation {
        Operation::Set => &mut check.sets,
        Operation::Delete => &mut check.deletes,
        Operation::Mark | Operation::Continues => &mut check.marks,
        Operation::Batch => &mut check.batches,
    }
}

/// Looks for valid entries in what the scan has read and could not decode.
fn search<'m>(
    mapping: &'m Mapping,
    end: LogEnd,
    check: &mut LogCheck,
    ticker: &mut Ticker<'_>,
    visit: &mut dyn FnMut(Found<'m>) -> Result<()>,
) -> Result<()> {
    let start = end.offset as usize;
    // An entry that ends in zero bytes of its checksum reaches beyond what counts as garbage.
    let len = (end.garbage as usize + 3).min(mapping.len() - start);
    let bytes = mapping.bytes(start, len).unwrap_or_default();
    ticker.begin("searching", &check.path, 2 * len as u64);
    let checksums =
        RangeChecksums::new(bytes, ticker)?.ok_or_else(|| no_memory_to_search(&check.path))?;
    // Bytes from the start on that a batch which is not whole should have.
    let mut torn_batch = 0;
    let mut at = 0;
    while let Some(candidate) = next_magic(bytes, at) {
        at = candidate;
        ticker.reached(len + at)?;
        let Some(entry) = valid_entry(bytes, at, &checksums) else {
            at += 1;
            continue;
        };
        check.latest_anywhere = check.latest_anywhere.max(entry.timestamp);
        match Operation::from_code(entry.operation) {
            None => check.unknown_behind += 1,
            Some(operation) => {
                check.first_mark = check.first_mark.or(entry.mark());
                let found = Found { at: start + at, operation, entry, behind: true };
                if at == 0
                    && let Some(header) = entry.batch_header()
                {
                    torn_batch = header.bytes.saturating_add(entry.encoded_len() as u64);
                }
                check.entries_behind += u64::from(found.is_write());
                check.in_torn_batch += u64::from(found.is_write() && (at as u64) < torn_batch);
                visit(found)?;
            }
        }
        at += entry.encoded_len();
    }
    Ok(())
}

fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MAGIC.len()).position(|window| window == MAGIC).map(|at| from + at)
}

/// The entry at `at`, if there is a valid one.
fn valid_entry<'m>(
    bytes: &'m [u8],
    at: usize,
    checksums: &RangeChecksums<'_>,
) -> Option<LogEntry<'m>> {
    let entry = decode_unchecked_log_entry(bytes.get(at..)?).ok()?;
    let crc_at = at + entry.encoded_len() - 4;
    let stored = u32::from_be_bytes(*bytes.get(crc_at..)?.first_chunk()?);
    (checksums.of(at, crc_at) == stored).then_some(entry)
}

fn judge(check: &LogCheck) -> Condition {
    if check.vouched > check.end {
        Condition::Damaged
    } else if check.entries_behind + check.unknown_behind > check.in_torn_batch {
        Condition::Unclear
    } else {
        Condition::Torn
    }
}

fn describe(check: &LogCheck, end: LogEnd) -> String {
    let reason = end.reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let behind = match (check.entries_behind, check.unknown_behind) {
        (0, 0) => "no valid entry lies behind it".to_owned(),
        (known, 0) => format!("{known} valid sets and deletes lie behind it"),
        (known, unknown) => format!(
            "{known} valid sets and deletes lie behind it, and {unknown} entries of a newer version"
        ),
    };
    let verdict = match check.condition {
        Condition::Damaged => format!(
            "; {} bytes from here on had reached the disk, so this is damage",
            check.vouched - check.end
        ),
        Condition::Unclear => {
            "; a crash of the system amid unsynced writes can leave that, and so can damage"
                .to_owned()
        }
        _ => ", as a crash leaves it".to_owned(),
    };
    format!("no valid entry{reason}; {behind}{verdict}")
}

/// Whether a log of this path is the one that is appended to, rather than a sealed one.
pub(crate) fn is_current(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == crate::wal::LOG_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::heap_mapping;
    use crate::record::{Run, encode_log_entry, log_entry_len};
    use std::ops::ControlFlow;

    #[test]
    fn an_entry_is_found_wherever_it_lies_and_whatever_its_last_byte_is() {
        for number in 0..600_u32 {
            let key = number.to_be_bytes();
            let mut bytes = vec![0xAB; number as usize % 9 + 1];
            let start = bytes.len();
            bytes.resize(start + log_entry_len(4, 2), 0);
            let run = Run { key: &key, value: b"vv" };
            encode_log_entry(&mut bytes[start..], Operation::Set, 9, run);
            bytes.resize(bytes.len() + 50, 0);
            let len = bytes.len() as u64;
            let file =
                SourceFile { path: "wal.log".into(), len, mapping: Some(heap_mapping(bytes)) };
            let mut found = Vec::new();
            let mut report = Verification::default();
            let mut go_on = |_: &_| ControlFlow::Continue(());
            let check = survey(&file, &mut report, &mut Ticker::new(&mut go_on), &mut |entry| {
                assert!(entry.behind);
                found.push((entry.at, entry.entry.run.key.to_vec()));
                Ok(())
            });
            assert_eq!(check.unwrap().condition, Condition::Unclear);
            assert_eq!(found, [(start, key.to_vec())]);
        }
    }
}
