//! What must hold of the decoders, whatever bytes they are given: the door for the fuzz targets in
//! `fuzz/`. Compiled for them and for this crate's own tests only.

use std::ops::Range;

use crate::error::ErrorKind;
use crate::io::heap_mapping;
use crate::record::{LOG_RUN_OFFSET, LogEntry, Mark, Operation, Run};
use crate::record::{SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN};
use crate::record::{
    append_snapshot_entry, encode_log_entry, encode_snapshot_header, log_entry_len,
};
use crate::record::{decode_log_entry, decode_snapshot_entry, decode_snapshot_header};
use crate::wal::{LogEnd, scan};

/// Checks what scanning `bytes` as a log comes to, as they are and with right checksums.
pub fn decode_log(bytes: &[u8]) {
    check_log(bytes);
    check_log(&with_checksums(bytes, 0, LOG_RUN_OFFSET));
}

/// Checks what decoding `bytes` as a snapshot comes to, as they are and with right checksums.
pub fn decode_snapshot(bytes: &[u8]) {
    check_snapshot(bytes);
    let mut right = with_checksums(bytes, SNAPSHOT_HEADER_LEN, 0);
    if let Some((header, _)) = right.split_at_mut_checked(SNAPSHOT_HEADER_LEN) {
        put_checksum(header);
    }
    check_snapshot(&right);
}

/// `bytes` with the right checksum in every entry from `at` on, each of which has `before` bytes
/// in front of its run.
fn with_checksums(bytes: &[u8], mut at: usize, before: usize) -> Vec<u8> {
    let mut right = bytes.to_vec();
    loop {
        let Some(rest) = right.get(at + before..) else { return right };
        let Some(run_len) = Run::decode(&rest).map(|run| run.encoded_len()) else { return right };
        let end = at + before + run_len + 4;
        let Some(entry) = right.get_mut(at..end) else { return right };
        put_checksum(entry);
        at = end;
    }
}

/// Writes to the last four bytes the checksum of those before them.
fn put_checksum(entry: &mut [u8]) {
    if let Some((before, checksum)) = entry.split_last_chunk_mut() {
        *checksum = crc32fast::hash(before).to_be_bytes();
    }
}

fn check_log(bytes: &[u8]) {
    let (ends, batches, end) = scanned(bytes);
    let Some(end) = end else { return };
    let offset = end.offset as usize;
    assert_eq!(offset, ends.last().copied().unwrap_or(0), "it ends where the last entry does");
    // What is valid there opens a batch that is not.
    let next = decode_log_entry(&bytes[offset..]);
    assert!(next.is_ok_and(|entry| entry.operation == Operation::Batch as u8) || next.is_err());
    let (garbage, zeros) = bytes[offset..].split_at(end.garbage as usize);
    assert!(zeros.iter().all(|&byte| byte == 0));
    assert!(garbage.last() != Some(&0), "zeros at its end are not counted");
    assert_eq!(end.reason.is_some(), end.garbage > 0);
    let vouched = end.vouched as usize;
    assert!(vouched == 0 || (offset < vouched && vouched < offset + garbage.len()));

    // Cut anywhere, a log has the entries that lie whole before the cut.
    let cuts = [offset, offset.saturating_sub(1), offset / 2];
    for cut in cuts {
        let (found, _, end) = scanned(&bytes[..cut]);
        let mut whole = ends.partition_point(|&end| end <= cut);
        // Of a batch nothing, unless all of it lies before the cut.
        if let Some(batch) = batches.iter().find(|batch| batch.start < whole && whole < batch.end) {
            whole = batch.start;
        }
        assert_eq!(found, ends[..whole], "cut at {cut}");
        assert!(end.is_some_and(|end| end.vouched == 0 || end.garbage > 0));
    }
}

/// Where each entry ends, which of them are batches with their headers, and where the log ends; `None`
/// when it has an unknown operation.
fn scanned(bytes: &[u8]) -> (Vec<usize>, Vec<Range<usize>>, Option<LogEnd>) {
    let mapping = heap_mapping(bytes.to_vec());
    let (mut ends, mut batches): (Vec<usize>, Vec<_>) = (Vec::new(), Vec::new());
    let result = scan(&mapping, |at, operation, entry| {
        assert_eq!(at, ends.last().copied().unwrap_or(0), "entries follow each other");
        check_log_entry(&bytes[at..], operation, entry);
        if let Some(header) = entry.batch_header() {
            assert_eq!(header.encode(), entry.run.value);
            batches.push(ends.len()..ends.len() + 1 + header.count as usize);
        }
        ends.push(at + entry.encoded_len());
        Ok(())
    });
    match result {
        Ok(end) => {
            assert!(
                batches.last().is_none_or(|batch| batch.end <= ends.len()),
                "batches are whole"
            );
            (ends, batches, Some(end))
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            // In a batch, of which nothing was visited, it lies behind what was.
            let last = ends.last().copied().unwrap_or(0) as u64;
            assert!(error.offset().is_some_and(|offset| offset >= last));
            (ends, batches, None)
        }
    }
}

fn check_log_entry(bytes: &[u8], operation: Operation, entry: LogEntry<'_>) {
    assert_eq!(operation as u8, entry.operation);
    let mut again = vec![0; entry.encoded_len()];
    encode_log_entry(&mut again, operation, entry.timestamp, entry.run);
    assert!(bytes.starts_with(&again), "it encodes to the bytes it was decoded from");
    if let Some(mark) = Mark::decode(entry.run.value) {
        assert_eq!(mark.encode(), entry.run.value);
    }
    if let Some(continues) = entry.continues() {
        assert_eq!((operation, entry.run.key), (Operation::Continues, &[][..]));
        assert_eq!(continues.encode(), entry.run.value);
    }
}

fn check_snapshot(bytes: &[u8]) {
    let Ok(header) = decode_snapshot_header(bytes) else { return };
    assert!(bytes.starts_with(&encode_snapshot_header(header)));
    let mut at = SNAPSHOT_HEADER_LEN;
    for _ in 0..header.count {
        let Ok(run) = decode_snapshot_entry(&bytes[at..]) else { return };
        let len = SNAPSHOT_ENTRY_OVERHEAD + run.key.len() + run.value.len();
        // As a checkpoint has it from a log.
        let mut logged = vec![0; log_entry_len(run.key.len(), run.value.len())];
        encode_log_entry(&mut logged, Operation::Set, 0, run);
        let mut again = Vec::new();
        append_snapshot_entry(&mut again, &logged[LOG_RUN_OFFSET..][..run.encoded_len()]);
        assert_eq!(bytes[at..at + len], again, "it encodes to the bytes it was decoded from");
        assert!(decode_snapshot_entry(&bytes[at..at + len - 1]).is_err(), "not without its end");
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Runs `check` on every input of a target's committed corpus.
    fn replay(target: &str, check: impl Fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut count = 0;
        for file in fs::read_dir(&corpus).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count >= 10, "{} has {count} inputs", corpus.display());
    }

    #[test]
    fn the_corpus_of_logs_decodes_as_it_should() {
        replay("decode_log", super::decode_log);
    }

    #[test]
    fn the_corpus_of_snapshots_decodes_as_it_should() {
        replay("decode_snapshot", super::decode_snapshot);
    }
}
