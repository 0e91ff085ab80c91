//! Checking a directory: what is found where, and that nothing is changed.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{golden, open, open_os};
use kvstore::{CloseCheckpoint, Condition, ErrorKind, LogUse, Options, Verification, verify};

const GOLDEN: [&str; 4] = ["clean", "crash", "wal-only", "empty"];

/// Every file below a directory with its content, and every name.
fn everything(path: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for name in common::names(path) {
        let path = path.join(&name);
        if path.is_dir() {
            found.push((name.clone(), None));
            let inner = everything(&path).into_iter();
            found.extend(inner.map(|(inner, content)| (format!("{name}/{inner}"), content)));
        } else {
            found.push((name, Some(fs::read(path).unwrap())));
        }
    }
    found
}

/// Checks a directory, and that checking changed nothing.
fn verified(path: &Path) -> Verification {
    let before = everything(path);
    let found = verify(path).unwrap();
    assert_eq!(everything(path), before);
    found
}

/// A directory with a snapshot of `count` records that was closed.
fn closed(count: u32) -> tempfile::TempDir {
    let directory = common::directory();
    let store = open_os(directory.path());
    for number in 0..count {
        store.set(format!("key:{number:04}"), format!("value of {number:04}")).unwrap();
    }
    store.close().unwrap();
    directory
}

/// A directory whose log has `count` synced sets, one group each.
fn logged(count: u32) -> tempfile::TempDir {
    let directory = common::directory();
    let store = open(directory.path());
    for number in 0..count {
        store.set(format!("key:{number:04}"), "value").unwrap();
    }
    drop(store);
    directory
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_golden_directory_is_sound() {
    for name in GOLDEN {
        let copy = golden(name);
        let found = verified(copy.path());
        assert_eq!((found.condition, found.findings.len()), (Condition::Sound, 0), "{name}");
        assert!(!copy.path().join("LOCK").exists());
        let store = Options::new().read_only(true).open(copy.path()).unwrap();
        let report = store.recovery_report();
        let entries = found.snapshot.as_ref().map_or(0, |snapshot| snapshot.entries);
        assert_eq!(entries, report.snapshot_records, "{name}");
        let log = &found.logs[0];
        assert_eq!(log.sets + log.deletes, report.log_records, "{name}");
        assert_eq!((log.marks, log.generation), (0, None), "the Go store writes no marks");
    }
}

#[test]
fn what_this_library_writes_is_sound_closed_and_crashed() {
    let directory = closed(50);
    let found = verified(directory.path());
    let snapshot = found.snapshot.as_ref().unwrap();
    assert_eq!(
        (found.condition, snapshot.entries, snapshot.ascending),
        (Condition::Sound, 50, true)
    );
    assert_eq!((snapshot.count, snapshot.trailer_bytes), (Some(50), 0));

    let store = open_os(directory.path());
    store.set("another", "1").unwrap();
    store.delete("key:0001").unwrap();
    drop(store);
    let found = verified(directory.path());
    let log = &found.logs[0];
    assert_eq!((found.condition, log.sets, log.deletes, log.marks), (Condition::Sound, 1, 1, 1));
    assert_eq!(log.base, found.snapshot.as_ref().unwrap().timestamp);
    assert!(log.bytes > log.end, "preallocated");
    assert_eq!(log.log_use, LogUse::Replayed);
}

#[test]
fn a_flipped_bit_anywhere_in_a_snapshot_is_found_where_it_is() {
    let directory = closed(20);
    let path = directory.path().join("snapshot.dat");
    let whole = fs::read(&path).unwrap();
    let entry = (whole.len() - 20) / 20;
    for at in 0..whole.len() {
        edit(&path, |bytes| bytes[at] ^= 0x04);
        let found = verify(directory.path()).unwrap();
        assert_eq!(found.condition, Condition::Damaged, "byte {at}");
        assert!(!found.is_sound() && found.refuses_to_open());
        let finding = found.findings.last().unwrap();
        assert!(finding.path.ends_with("snapshot.dat"));
        let range = finding.offset..finding.offset + finding.len;
        assert!(range.contains(&(at as u64)), "byte {at}: {finding:?}");
        let snapshot = found.snapshot.as_ref().unwrap();
        let lost = u64::from(at >= 20);
        assert_eq!(snapshot.entries + snapshot.entries_behind, 20 - lost, "byte {at}");
        if at >= 20 {
            assert_eq!(snapshot.entries as usize, (at - 20) / entry, "byte {at}");
            assert!(finding.len < 2 * entry as u64 || at >= whole.len() - entry, "{finding:?}");
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(verify(directory.path()).unwrap().condition, Condition::Sound);
}

#[test]
fn every_truncation_of_a_snapshot_is_damage() {
    let directory = closed(6);
    let path = directory.path().join("snapshot.dat");
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let found = verify(directory.path()).unwrap();
        assert_eq!(found.condition, Condition::Damaged, "{len}");
        assert!(found.findings.iter().all(|finding| finding.offset <= len as u64));
    }
}

#[test]
fn every_damaged_place_of_a_snapshot_is_listed() {
    let directory = closed(100);
    let path = directory.path().join("snapshot.dat");
    edit(&path, |bytes| {
        let len = bytes.len();
        for at in [40, len / 2, len - 1] {
            bytes[at] ^= 0x80;
        }
    });
    let found = verified(directory.path());
    assert_eq!(found.findings.len(), 3);
    assert!(found.findings.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    let snapshot = found.snapshot.as_ref().unwrap();
    assert_eq!((snapshot.entries, snapshot.entries_behind), (0, 97));
}

#[test]
fn a_trailer_is_counted_and_no_fault() {
    let directory = closed(3);
    edit(&directory.path().join("snapshot.dat"), |bytes| bytes.extend_from_slice(b"KVSX newer"));
    let found = verified(directory.path());
    assert_eq!(found.condition, Condition::Sound);
    assert_eq!(found.snapshot.unwrap().trailer_bytes, 10);
}

#[test]
fn the_end_of_a_log_is_judged_as_recovery_judges_it_at_every_byte() {
    let directory = logged(4);
    let path = directory.path().join("wal.log");
    let mut log = fs::read(&path).unwrap();
    let used = log.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    log.truncate(used);
    for at in 0..used {
        let mut broken = log.clone();
        broken[at] ^= 0x01;
        fs::write(&path, &broken).unwrap();
        let found = verify(directory.path()).unwrap();
        let check = &found.logs[0];
        let copy = common::directory();
        fs::write(copy.path().join("wal.log"), &broken).unwrap();
        let store = Options::new().open(copy.path()).unwrap();
        let report = store.recovery_report();
        assert_eq!(check.sets + check.deletes, report.log_records, "byte {at}");
        assert_eq!(Some(check.end), report.cut_offset, "byte {at}");
        assert_eq!(check.garbage, report.bytes_cut, "byte {at}");
        assert_eq!(found.condition == Condition::Damaged, report.damaged, "byte {at}");
        // What the cut takes is found behind it, except for the entry that was hit.
        let hit_a_mark = (at % 79) < 41;
        let lost = u64::from(!hit_a_mark);
        assert_eq!(check.sets + check.entries_behind, 4 - lost, "byte {at}");
        assert!(!found.is_sound() || check.entries_behind == 0, "byte {at}");
    }
    for len in 0..used {
        fs::write(&path, &log[..len]).unwrap();
        let found = verify(directory.path()).unwrap();
        assert!(found.is_sound(), "cut at {len}: {found}");
        assert_eq!(found.findings.len(), usize::from(found.condition == Condition::Torn));
    }
}

#[test]
fn valid_entries_behind_damage_that_no_mark_vouches_for_are_not_taken_for_a_torn_tail() {
    let directory = common::directory();
    let store = open_os(directory.path()); // one mark, at the beginning
    for number in 0..10 {
        store.set(format!("key:{number}"), "value").unwrap();
    }
    drop(store);
    edit(&directory.path().join("wal.log"), |bytes| bytes[100] ^= 1);
    let found = verified(directory.path());
    assert_eq!((found.condition, found.is_sound()), (Condition::Unclear, false));
    assert_eq!((found.logs[0].sets, found.logs[0].entries_behind), (1, 8));
    assert!(found.to_string().contains("8 valid sets and deletes lie behind it"), "{found}");
}

#[test]
fn a_covered_log_and_one_whose_snapshot_is_missing_are_told_apart() {
    let directory = logged(3);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    open(directory.path()).close().unwrap();
    fs::write(directory.path().join("wal.log"), log).unwrap();
    let found = verified(directory.path());
    assert_eq!((found.condition, found.logs[0].log_use), (Condition::Sound, LogUse::Covered));

    let directory = closed(3);
    let store = open(directory.path());
    store.set("later", "1").unwrap();
    drop(store);
    fs::remove_file(directory.path().join("snapshot.dat")).unwrap();
    let found = verified(directory.path());
    assert_eq!(found.condition, Condition::Damaged);
    assert_eq!(found.logs[0].log_use, LogUse::SnapshotMissing);
    assert!(found.refuses_to_open() && Options::new().open(directory.path()).is_err());
}

#[test]
fn leftovers_and_quarantined_bytes_are_listed_and_no_fault() {
    let directory = logged(2);
    edit(&directory.path().join("wal.log"), |bytes| bytes[200] = 7); // behind the entries
    drop(open(directory.path()));
    fs::write(directory.path().join("snapshot.dat.tmp"), b"half").unwrap();
    let found = verified(directory.path());
    assert_eq!((found.condition, found.unfinished_snapshot), (Condition::Sound, Some(4)));
    assert_eq!(found.quarantine.len(), 1);
    assert!(found.quarantine[0].bytes.unwrap() > 0);
    assert_eq!(found.quarantine[0].entries, 0);
    assert!(found.to_string().ends_with("what to do: nothing."), "{found}");
}

#[test]
fn a_store_of_nothing_may_have_lost_its_snapshot() {
    let directory = closed(3);
    assert!(verified(directory.path()).advice().ends_with("nothing."));
    fs::remove_file(directory.path().join("snapshot.dat")).unwrap();
    let found = verified(directory.path());
    assert_eq!(found.condition, Condition::Sound);
    assert!(found.advice().contains("snapshot.dat is gone"), "{found}");
    assert!(verified(logged(2).path()).advice().ends_with("nothing."));
}

/// Synced writes were lost to damage, and once the store had been opened it was called sound, with
/// nothing to do.
#[test]
fn valid_entries_in_quarantine_are_counted_and_said_to_be_missing() {
    let directory = logged(20);
    edit(&directory.path().join("wal.log"), |bytes| bytes[200] ^= 1);
    drop(open(directory.path()));
    let found = verified(directory.path());
    assert_eq!((found.condition, found.quarantine.len()), (Condition::Sound, 1));
    let kept = found.logs.iter().map(|log| log.sets).sum::<u64>();
    // One of them is the damaged one.
    assert_eq!((kept + found.quarantine[0].entries, kept > 0), (19, true));
    assert!(found.advice().contains("quarantine/ is not in it"), "{found}");
}

#[test]
fn sealed_logs_are_checked_in_order_of_generation() {
    let directory = common::directory();
    let keep = Options::new().close_checkpoint(CloseCheckpoint::Never);
    for (name, key) in [("wal-9.log", "first"), ("wal-10.log", "second")] {
        let part = common::directory();
        let store = keep.open(part.path()).unwrap();
        store.set(key, "value").unwrap();
        store.close().unwrap();
        fs::copy(part.path().join("wal.log"), directory.path().join(name)).unwrap();
    }
    edit(&directory.path().join("wal-10.log"), |bytes| bytes[50] ^= 1);
    let found = verified(directory.path());
    let names: Vec<_> = found.logs.iter().map(|log| log.path.file_name().unwrap()).collect();
    assert_eq!(names, ["wal-9.log", "wal-10.log"]);
    assert_eq!(found.logs[0].condition, Condition::Sound);
    // The mark that close has left behind it vouches for it.
    assert_eq!(found.logs[1].condition, Condition::Damaged);
}

#[test]
fn what_cannot_be_checked_is_an_error_that_says_why() {
    let directory = closed(1);
    let store = open(directory.path());
    let error = verify(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert_eq!(error.lock_holder(), Some(std::process::id()));
    drop(store);
    let reader = Options::new().read_only(true).open(directory.path()).unwrap();
    assert!(verify(directory.path()).unwrap().is_sound(), "beside a reader");
    drop(reader);

    let error = verify(directory.path().join("nowhere")).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOENT)));
    let error = verify(directory.path().join("snapshot.dat")).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOTDIR)));
    let empty = common::directory();
    let error = verify(empty.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("holds no store"), "{error}");
}

#[test]
fn an_operation_of_a_newer_version_is_refused_by_name() {
    let directory = common::directory();
    fs::write(directory.path().join("wal.log"), entry(0x7E, b"", b"")).unwrap();
    let error = verify(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("0x7e"), "{error}");
}

/// A log entry with a right checksum.
fn entry(operation: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut entry = b"KVLG".to_vec();
    entry.push(operation);
    entry.extend_from_slice(&5_i64.to_be_bytes());
    for part in [key, value] {
        entry.extend_from_slice(&(part.len() as u32).to_be_bytes());
        entry.extend_from_slice(part);
    }
    entry.extend_from_slice(&crc32fast::hash(&entry).to_be_bytes());
    entry
}

/// Files in which an entry of megabytes seems to begin every few bytes.
#[test]
fn files_made_to_be_slow_are_checked_in_time_linear_in_their_length() {
    const LEN: usize = 32 << 20;
    let directory = common::directory();
    // A length field at every fourth byte, each of which fits, for the key and the value alike.
    let mut snapshot = closed_header();
    while snapshot.len() < LEN {
        snapshot.extend_from_slice(&(LEN as u32 / 3).to_be_bytes());
    }
    fs::write(directory.path().join("snapshot.dat"), snapshot).unwrap();
    let mut log = vec![1];
    while log.len() < LEN {
        // A valid entry, then one that claims what is left of the file.
        log.extend_from_slice(&entry(1, b"k", b""));
        let claimed = (LEN - log.len().min(LEN)) as u32;
        log.extend_from_slice(b"KVLG\x01........\0\0\0\0");
        log.extend_from_slice(&claimed.saturating_sub(100).to_be_bytes());
    }
    fs::write(directory.path().join("wal.log"), log).unwrap();
    let start = Instant::now();
    let found = verified(directory.path());
    assert_eq!(found.condition, Condition::Damaged);
    assert!(found.logs[0].entries_behind > 50_000);
    // To read each claimed entry is to read terabytes: minutes where this takes a second.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// The header of a snapshot that counts more entries than there are.
fn closed_header() -> Vec<u8> {
    let mut header = b"KVSP".to_vec();
    header.extend_from_slice(&[0; 8]);
    header.extend_from_slice(&1000_u32.to_be_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    header
}
