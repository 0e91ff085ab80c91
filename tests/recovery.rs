//! What opening does after a crash: torn tails, damage, covered logs, hostile files.

mod common;

use std::fs;
use std::path::Path;

use common::reference::log_entries;
use common::{Model, contents, golden, golden_contents, names, open, open_os};
use kvstore::{CloseCheckpoint, ErrorKind, Options, Store};

/// A directory with `count` records in the log, as a crash leaves it, and what it holds.
fn crashed(count: u32) -> (tempfile::TempDir, Model) {
    let directory = common::directory();
    let store = open_os(directory.path());
    let mut model = Model::new();
    for number in 0..count {
        let (key, value) = (format!("key:{number:04}"), format!("value of {number}"));
        store.set(&key, &value).unwrap();
        model.insert(key.into(), value.into());
    }
    drop(store);
    (directory, model)
}

/// Where the log's last entry ends: before the zeros, of which its checksum may end in some.
fn used_len(log: &[u8]) -> usize {
    log_entries(log).last().unwrap().1
}

/// The model that replaying only the first `entries` sets gives.
fn first(model: &Model, entries: u64) -> Model {
    model.iter().take(entries as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test]
fn a_crash_without_a_torn_tail_loses_nothing_and_cuts_nothing() {
    let (directory, model) = crashed(300);
    let store = open(directory.path());
    assert_eq!(contents(&store), model);
    let report = store.recovery_report();
    assert_eq!((report.log_records, report.snapshot_records, report.bytes_cut), (300, 0, 0));
    assert_eq!((&report.quarantine, report.cut_offset), (&None, None));
    assert!(!directory.path().join("quarantine").exists());
}

#[test]
fn a_log_cut_at_any_byte_recovers_a_prefix_and_keeps_what_it_cut() {
    let (directory, model) = crashed(6);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    let used = used_len(&log);
    let mut last_records = 0;
    for cut in 0..=used {
        let torn = common::directory();
        fs::write(torn.path().join("wal.log"), &log[..cut]).unwrap();
        let store = open(torn.path());
        let report = store.recovery_report().clone();
        assert_eq!(contents(&store), first(&model, report.log_records), "cut at {cut}");
        assert!(report.log_records >= last_records, "a longer log recovers no less");
        last_records = report.log_records;
        if let Some(quarantine) = &report.quarantine {
            let kept = fs::read(quarantine).unwrap();
            let offset = report.cut_offset.unwrap() as usize;
            assert_eq!(kept.len() as u64, report.bytes_cut);
            assert_eq!(kept, log[offset..offset + kept.len()], "the very bytes that were cut");
            assert!(log[offset + kept.len()..cut].iter().all(|&byte| byte == 0));
        }
        // What is appended behind the cut survives.
        store.set("after", "the cut").unwrap();
        drop(store);
        let again = open(torn.path());
        assert_eq!(again.recovery_report().bytes_cut, 0, "cut before the first append");
        assert_eq!(again.get("after").unwrap().as_deref(), Some(b"the cut".as_slice()));
        assert_eq!(again.len() as u64, report.log_records + 1);
    }
    assert_eq!(last_records, 6);
}

#[test]
fn damage_in_the_middle_keeps_the_prefix_and_quarantines_the_rest() {
    let (directory, model) = crashed(20);
    let path = directory.path().join("wal.log");
    let mut log = fs::read(&path).unwrap();
    let used = used_len(&log);
    log[used / 2] ^= 0x40;
    fs::write(&path, &log).unwrap();
    let store = open(directory.path());
    let report = store.recovery_report();
    assert!(report.log_records > 5 && report.log_records < 15);
    assert_eq!(contents(&store), first(&model, report.log_records));
    let offset = report.cut_offset.unwrap() as usize;
    let kept = fs::read(report.quarantine.as_ref().unwrap()).unwrap();
    let (cut, zeros) = log[offset..].split_at(kept.len());
    assert!(kept == cut && zeros.iter().all(|&byte| byte == 0));
    assert!(report.cut_reason.as_ref().unwrap().contains("checksum"));
}

/// A log of synced sets, one group each, and the offsets of its entries' ends.
fn synced_log(count: u32) -> Vec<u8> {
    let directory = common::directory();
    let store = open(directory.path());
    for number in 0..count {
        store.set(format!("key:{number:04}"), "value").unwrap();
    }
    drop(store);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    let used = used_len(&log);
    log[..used].to_vec()
}

fn open_log(log: &[u8], strict: bool) -> kvstore::Result<(tempfile::TempDir, Store)> {
    let directory = common::directory();
    fs::write(directory.path().join("wal.log"), log).unwrap();
    let store = Options::new().strict_recovery(strict).open(directory.path())?;
    Ok((directory, store))
}

#[test]
fn damage_to_synced_bytes_is_told_from_a_torn_write_at_every_byte() {
    let log = synced_log(4);
    // A mark opens the log and one precedes each later set: 41 bytes, then 38 of the set.
    let (mark, set) = (41, 25 + 8 + 5);
    assert_eq!(log.len(), 4 * (mark + set));
    let last_group = 3 * (mark + set);
    for at in 0..log.len() {
        let mut broken = log.clone();
        broken[at] ^= 0x01;
        // What no mark behind it vouches for may be a torn write.
        let is_damage = at < last_group;
        let (_directory, store) = open_log(&broken, false).unwrap();
        let report = store.recovery_report();
        assert_eq!(report.damaged, is_damage, "byte {at}");
        assert_eq!(report.log_records as usize, at / (mark + set), "byte {at}");
        let strict = open_log(&broken, true).map(|(_directory, store)| store.len());
        match strict {
            Err(error) => {
                assert!(is_damage, "byte {at}: {error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.offset().unwrap() <= at as u64);
                assert!(error.to_string().contains("bytes lie from here on"), "{error}");
            }
            Ok(len) => assert!(!is_damage && len == 3, "byte {at}"),
        }
    }
    for cut in 0..log.len() {
        let (_directory, store) = open_log(&log[..cut], true).unwrap();
        assert!(!store.recovery_report().damaged, "cut at {cut}");
    }
}

#[test]
fn strict_recovery_changes_nothing_when_it_refuses() {
    let mut log = synced_log(3);
    log[60] ^= 0x10;
    let directory = common::directory();
    fs::write(directory.path().join("wal.log"), &log).unwrap();
    let strict = Options::new().strict_recovery(true);
    assert_eq!(strict.open(directory.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read(directory.path().join("wal.log")).unwrap(), log);
    assert_eq!(names(directory.path()), ["LOCK", "wal.log"]);
}

#[test]
fn a_foreign_log_is_quarantined_whole() {
    let directory = common::directory();
    fs::write(directory.path().join("wal.log"), b"this is not a log at all").unwrap();
    let store = open(directory.path());
    assert!(store.is_empty());
    let report = store.recovery_report();
    assert_eq!((report.bytes_cut, report.cut_offset), (24, Some(0)));
    let kept = fs::read(report.quarantine.as_ref().unwrap()).unwrap();
    assert_eq!(kept, b"this is not a log at all");
}

#[test]
fn a_read_only_open_of_a_torn_log_serves_the_prefix_and_changes_nothing() {
    let (directory, model) = crashed(5);
    let path = directory.path().join("wal.log");
    let log = fs::read(&path).unwrap();
    let torn = &log[..used_len(&log) - 3];
    fs::write(&path, torn).unwrap();
    let before = names(directory.path());
    let store = Options::new().read_only(true).open(directory.path()).unwrap();
    assert_eq!(contents(&store), first(&model, 4));
    assert!(store.recovery_report().bytes_cut > 0);
    assert_eq!(store.recovery_report().quarantine, None);
    drop(store);
    assert_eq!(fs::read(&path).unwrap(), torn);
    assert_eq!(names(directory.path()), before);
}

#[test]
fn a_log_that_the_snapshot_covers_is_not_replayed_over_it() {
    let directory = common::directory();
    let path = directory.path().join("wal.log");
    let store = open(directory.path());
    store.set("key", "old").unwrap();
    drop(store);
    let covered = fs::read(&path).unwrap();
    let store = open(directory.path());
    store.set("key", "new").unwrap();
    store.close().unwrap();
    // As if the process had died between the snapshot's rename and the log's replacement.
    fs::write(&path, covered).unwrap();
    let store = open(directory.path());
    assert_eq!(store.get("key").unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(store.recovery_report().log_records, 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it was replaced by an empty log");
}

/// Bytes behind the entries of such a log were once removed with it.
#[test]
fn what_cannot_be_read_of_a_covered_log_is_kept() {
    let directory = common::directory();
    let path = directory.path().join("wal.log");
    let store = open(directory.path());
    store.set("key", "old").unwrap();
    drop(store);
    let mut covered = fs::read(&path).unwrap();
    let end = used_len(&covered);
    covered[end..end + 4].copy_from_slice(b"torn");
    open(directory.path()).close().unwrap();
    fs::write(&path, covered).unwrap();
    let store = open(directory.path());
    let report = store.recovery_report();
    assert_eq!((report.bytes_cut, report.damaged), (4, false));
    assert_eq!(fs::read(report.quarantine.as_ref().unwrap()).unwrap(), b"torn");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "it was replaced by an empty log");
}

/// Opening a named pipe once waited for its other end for ever.
#[test]
fn a_named_pipe_in_the_place_of_a_file_is_an_error() {
    for name in ["snapshot.dat", "wal.log"] {
        let directory = common::directory();
        let made = std::process::Command::new("mkfifo").arg(directory.path().join(name)).status();
        assert!(made.unwrap().success());
        let error = Store::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[test]
fn an_unfinished_snapshot_is_removed() {
    let copy = golden("clean");
    fs::write(copy.path().join("snapshot.dat.tmp"), b"half a snapsh").unwrap();
    assert_eq!(contents(&open(copy.path())), golden_contents("clean"));
    assert!(!copy.path().join("snapshot.dat.tmp").exists());
}

#[test]
fn a_log_that_close_keeps_is_cut_to_its_entries_and_replayed() {
    let directory = common::directory();
    let keep = Options::new().close_checkpoint(CloseCheckpoint::Never);
    let store = keep.open(directory.path()).unwrap();
    store.set("a", "1").unwrap();
    store.close().unwrap();
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    assert_eq!(log.len(), used_len(&log), "no zeros are left at its end");
    assert!(!directory.path().join("snapshot.dat").exists());
    let store = keep.open(directory.path()).unwrap();
    store.set("b", "2").unwrap();
    assert_eq!(contents(&store).len(), 2);
    store.close().unwrap();
    assert_eq!(contents(&open(directory.path())).len(), 2);
}

#[test]
fn closing_without_a_change_writes_nothing() {
    let copy = golden("clean");
    let modified = |name: &str| fs::metadata(copy.path().join(name)).unwrap().modified().unwrap();
    let before = (modified("snapshot.dat"), modified("wal.log"));
    open(copy.path()).close().unwrap();
    assert_eq!((modified("snapshot.dat"), modified("wal.log")), before);
}

#[test]
fn an_operation_of_a_newer_version_is_refused_by_name() {
    let directory = common::directory();
    let mut entry = b"KVLG\x2a".to_vec();
    entry.extend_from_slice(&[0; 8]); // timestamp
    entry.extend_from_slice(&[0; 8]); // no key, no value
    let checksum = crc32fast::hash(&entry);
    entry.extend_from_slice(&checksum.to_be_bytes());
    fs::write(directory.path().join("wal.log"), &entry).unwrap();
    for options in [Options::new(), Options::new().read_only(true)] {
        let error = options.open(directory.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("0x2a"), "{error}");
    }
    assert_eq!(fs::read(directory.path().join("wal.log")).unwrap(), entry, "nothing was changed");
}

#[test]
fn a_file_that_is_named_like_a_sealed_log_and_is_none_is_refused_by_name() {
    for name in ["wal-017.log", "wal-99999999999999999999.log"] {
        let directory = common::directory();
        fs::write(directory.path().join(name), b"").unwrap();
        let error = Store::open(directory.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(name), "{error}");
    }
}

fn open_snapshot(bytes: &[u8]) -> kvstore::Result<usize> {
    let directory = common::directory();
    fs::write(directory.path().join("snapshot.dat"), bytes).unwrap();
    Store::open(directory.path()).map(|store| store.len())
}

#[test]
fn every_truncation_of_a_snapshot_is_corrupt_with_path_entry_and_offset() {
    let whole = fs::read(common::golden_path("clean").join("snapshot.dat")).unwrap();
    let count = open_snapshot(&whole).unwrap();
    for len in (0..whole.len()).step_by(37).chain([0, 19, 20, whole.len() - 1]) {
        let error = open_snapshot(&whole[..len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}");
        assert!(error.path().unwrap().ends_with("snapshot.dat"));
        assert!(error.offset().unwrap() <= len as u64);
        // A file long enough for the count breaks off in some entry.
        if len > 20 + count * 12 {
            assert!(error.to_string().contains("entry"), "{error}");
        }
    }
}

#[test]
fn flipped_bytes_anywhere_in_a_snapshot_are_corrupt() {
    let whole = fs::read(common::golden_path("clean").join("snapshot.dat")).unwrap();
    for at in (0..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xFF;
        assert_eq!(open_snapshot(&damaged).unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
    }
}

#[test]
fn lengths_of_four_gibibytes_are_corrupt_and_allocate_nothing() {
    let mut snapshot = b"KVSP".to_vec();
    snapshot.extend_from_slice(&[0; 8]);
    snapshot.extend_from_slice(&u32::MAX.to_be_bytes());
    let checksum = crc32fast::hash(&snapshot);
    snapshot.extend_from_slice(&checksum.to_be_bytes());
    snapshot.extend_from_slice(&[0xFF; 64]);
    let error = open_snapshot(&snapshot).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(12)));
    snapshot[12..16].copy_from_slice(&1_u32.to_be_bytes());
    let checksum = crc32fast::hash(&snapshot[..16]);
    snapshot[16..20].copy_from_slice(&checksum.to_be_bytes());
    let error = open_snapshot(&snapshot).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(20)));
}

#[test]
fn what_follows_the_entries_of_a_snapshot_is_ignored() {
    let mut whole = fs::read(common::golden_path("clean").join("snapshot.dat")).unwrap();
    let count = open_snapshot(&whole).unwrap();
    whole.extend_from_slice(b"KVSX a trailer of some newer version");
    assert_eq!(open_snapshot(&whole).unwrap(), count);
}

#[test]
fn a_corrupt_snapshot_leaves_the_directory_as_it_is() {
    let copy = golden("crash");
    let path = copy.path().join("snapshot.dat");
    let mut snapshot = fs::read(&path).unwrap();
    snapshot[100] ^= 1;
    fs::write(&path, &snapshot).unwrap();
    let log = fs::read(copy.path().join("wal.log")).unwrap();
    assert_eq!(Store::open(copy.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), snapshot);
    assert_eq!(fs::read(copy.path().join("wal.log")).unwrap(), log);
}

#[test]
fn a_value_of_many_windows_survives_a_crash() {
    let directory = common::directory();
    let store = open_os(directory.path());
    let large = vec![0xA5; 9 << 20];
    store.set("small", "1").unwrap();
    store.set("large", &large).unwrap();
    store.set("another", "2").unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.get("large").unwrap().as_deref(), Some(large.as_slice()));
    store.set("large", "now small").unwrap();
    store.close().unwrap();
    let store = open(directory.path());
    assert_eq!(contents(&store).len(), 3);
    assert!(log_len(directory.path()) == 0);
}

fn log_len(path: &Path) -> u64 {
    fs::metadata(path.join("wal.log")).unwrap().len()
}

#[test]
fn a_store_of_ten_keys_takes_little_room() {
    let directory = common::directory();
    let store = open(directory.path());
    for number in 0..10 {
        store.set(format!("key {number}"), "value").unwrap();
    }
    assert!(log_len(directory.path()) <= 64 << 10);
    assert!(store.stats().index_bytes < 32 << 10);
}

/// Strict recovery says that nothing was changed, and so does the error of a damaged snapshot; what a
/// checkpoint had left behind was removed all the same.
#[test]
fn an_open_that_is_refused_leaves_what_it_found() {
    for damaged in ["wal.log", "snapshot.dat"] {
        let place = common::directory();
        let path = place.path();
        let store = Store::open(path).unwrap();
        store.set("a", "1").unwrap();
        store.close().unwrap();
        let store = Store::open(path).unwrap();
        for number in 0..10 {
            store.set(format!("key {number}"), "a value").unwrap();
        }
        drop(store);
        // Of a checkpoint that was about to rename it when the process died: whole, durable, newer.
        fs::copy(path.join("snapshot.dat"), path.join("snapshot.dat.tmp")).unwrap();
        let mut bytes = fs::read(path.join(damaged)).unwrap();
        let at = if damaged == "wal.log" { 46 + 60 } else { 25 };
        bytes[at] ^= 1;
        fs::write(path.join(damaged), bytes).unwrap();
        let before = names(path);
        let error = Options::new().strict_recovery(true).open(path).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(names(path), before, "{damaged}: {error}");
    }
}
