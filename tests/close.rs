//! What close leaves, also when something goes wrong: never less than was acknowledged.

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use common::{contents, directory, names, open, open_os};
use kvstore::{CloseCheckpoint, Durability, ErrorKind, Options, Store};

/// Overwrites bytes of a store's log while it is open, as failing memory or a stray program would.
fn garble(path: &Path, needle: &[u8], offset: i64, byte: u8) {
    let log = fs::read(path.join("wal.log")).unwrap();
    let found = log.windows(needle.len()).position(|window| window == needle).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path.join("wal.log")).unwrap();
    file.write_all_at(&[byte], (found as i64 + offset) as u64).unwrap();
}

#[test]
fn a_record_garbled_while_open_keeps_the_log_and_is_named() {
    // A byte of a value, the length of a value, the length of a key.
    for (offset, byte) in [(10, b'x'), (5, 0x7F), (-4, 0x7F)] {
        let place = directory();
        let store = open_os(place.path());
        for number in 0..10 {
            store.set(format!("key {number}"), "a value").unwrap();
        }
        garble(place.path(), b"key 3", offset, byte);
        let error = store.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("wal.log"), "{error}");
        assert!(!place.path().join("snapshot.dat").exists());
        assert!(!place.path().join("snapshot.dat.tmp").exists());
        // The three records before the garbled one are still there.
        assert_eq!(open(place.path()).len(), 3);
    }
}

#[test]
fn a_record_that_growth_cannot_read_keeps_the_log() {
    let place = directory();
    let store = open_os(place.path());
    store.set("the first key", "value").unwrap();
    garble(place.path(), b"the first key", -4, 0x7F);
    for number in 0..20_000 {
        store.set(format!("key {number}"), "").unwrap();
    }
    assert_eq!(store.scan(..).next().unwrap().map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(fs::metadata(place.path().join("wal.log")).unwrap().len() > 0);
}

/// Run by the test below in a process of its own, since the working directory is the process's.
#[test]
fn a_changed_working_directory_as_a_process() {
    let Some(place) = std::env::var_os("KVSTORE_TEST_CHDIR") else { return };
    let place = Path::new(&place);
    std::env::set_current_dir(place.join("a")).unwrap();
    let store = Store::open("data").unwrap();
    store.set("key", "value of a").unwrap();
    std::env::set_current_dir(place.join("b")).unwrap();
    store.close().unwrap();
}

#[test]
fn a_changed_working_directory_does_not_lead_to_another_store() {
    let place = directory();
    let (a, b) = (place.path().join("a/data"), place.path().join("b/data"));
    let store = open(&b);
    store.set("precious", "value of b").unwrap();
    drop(store);
    open(&a).close().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_changed_working_directory_as_a_process"]);
    let output = command.env("KVSTORE_TEST_CHDIR", place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(open(&a).get("key").unwrap().as_deref(), Some(b"value of a".as_slice()));
    assert_eq!(open(&b).get("precious").unwrap().as_deref(), Some(b"value of b".as_slice()));
}

#[test]
fn a_directory_that_was_moved_away_is_not_mistaken_for_the_one_in_its_place() {
    let place = directory();
    let (path, moved) = (place.path().join("data"), place.path().join("moved"));
    let store = open(&path);
    store.set("key", "value").unwrap();
    fs::rename(&path, &moved).unwrap();
    let other = open(&path);
    other.set("other", "store").unwrap();
    drop(other);
    let error = store.close().unwrap_err();
    assert!(error.to_string().contains("moved"), "{error}");
    assert_eq!(contents(&open(&moved)).len(), 1);
    assert!(open(&path).contains("other").unwrap());
}

#[test]
fn a_directory_that_was_removed_is_said_to_be() {
    let place = directory();
    let path = place.path().join("data");
    let store = open(&path);
    store.set("key", "value").unwrap();
    fs::remove_dir_all(&path).unwrap();
    let error = store.close().unwrap_err();
    assert!(error.to_string().contains("removed"), "{error}");
    assert!(!path.exists());
}

#[test]
fn closing_after_a_cut_without_a_change_leaves_an_empty_log() {
    let place = directory();
    open(place.path()).close().unwrap();
    fs::write(place.path().join("wal.log"), b"KVLG torn").unwrap();
    let store = open(place.path());
    assert_eq!(store.recovery_report().bytes_cut, 9);
    store.close().unwrap();
    assert_eq!(fs::metadata(place.path().join("wal.log")).unwrap().len(), 0);
}

#[test]
fn a_short_log_beside_a_large_snapshot_is_kept_and_replayed() {
    let place = directory();
    let store = open_os(place.path());
    let large = vec![7; 1 << 20];
    for number in 0..66 {
        store.set(format!("large {number}"), &large).unwrap();
    }
    store.close().unwrap();
    let snapshot = fs::metadata(place.path().join("snapshot.dat")).unwrap().modified().unwrap();
    let store = open(place.path());
    store.set("small", "value").unwrap();
    store.close().unwrap();
    let again = fs::metadata(place.path().join("snapshot.dat")).unwrap().modified().unwrap();
    assert_eq!(snapshot, again, "the snapshot was not rewritten");
    let log = fs::metadata(place.path().join("wal.log")).unwrap().len();
    assert!(log > 0 && log < 200, "{log}");
    let store = open(place.path());
    assert_eq!((store.len(), store.recovery_report().log_records), (67, 1));
    store.close().unwrap();
    let always = Options::new().close_checkpoint(CloseCheckpoint::Always);
    always.open(place.path()).unwrap().close().unwrap();
    assert_eq!(names(place.path()), ["LOCK", "snapshot.dat", "wal.log"]);
    assert_eq!(fs::metadata(place.path().join("wal.log")).unwrap().len(), 0);
}

#[test]
fn a_log_whose_snapshot_is_missing_is_refused_and_left_alone() {
    let place = directory();
    let store = open(place.path());
    store.set("old", "value").unwrap();
    store.close().unwrap();
    let store = open(place.path());
    store.set("new", "value").unwrap();
    drop(store);
    let snapshot = fs::read(place.path().join("snapshot.dat")).unwrap();
    let log = fs::read(place.path().join("wal.log")).unwrap();
    fs::remove_file(place.path().join("snapshot.dat")).unwrap();
    let error = Store::open(place.path()).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(0)));
    assert!(error.to_string().contains("snapshot.dat"), "{error}");
    assert_eq!(fs::read(place.path().join("wal.log")).unwrap(), log);
    fs::write(place.path().join("snapshot.dat"), snapshot).unwrap();
    assert_eq!(open(place.path()).len(), 2);
}

#[test]
fn a_log_with_entries_newer_than_the_snapshot_is_never_taken_for_covered() {
    // Our log, kept by close; then the Go store wrote a snapshot, died before it emptied the
    // log, and appended: its entries have no mark.
    let place = directory();
    let keep = Options::new().close_checkpoint(CloseCheckpoint::Never);
    let store = keep.open(place.path()).unwrap();
    store.set("key", "ours").unwrap();
    store.close().unwrap();
    let kept = fs::read(place.path().join("wal.log")).unwrap();
    open(place.path()).close().unwrap(); // writes the snapshot
    let mut log = kept;
    let mut entry = b"KVLG\x01".to_vec();
    entry.extend_from_slice(&i64::MAX.to_be_bytes());
    entry.extend_from_slice(b"\0\0\0\x02go\0\0\0\x01!");
    entry.extend_from_slice(&crc32fast::hash(&entry).to_be_bytes());
    log.extend_from_slice(&entry);
    fs::write(place.path().join("wal.log"), log).unwrap();
    let store = open(place.path());
    assert_eq!(contents(&store).len(), 2);
    assert_eq!(store.get("go").unwrap().as_deref(), Some(b"!".as_slice()));
}

#[test]
fn a_synced_delete_of_an_absent_key_makes_its_absence_durable() {
    let place = directory();
    let store = open(place.path());
    store.set_with("key", "value", Durability::Os).unwrap();
    assert!(store.delete_with("key", Durability::Os).unwrap());
    assert_eq!(store.stats().syncs, 0);
    assert!(!store.delete_with("key", Durability::Sync).unwrap());
    assert_eq!(store.stats().syncs, 1);
    assert!(!store.delete_with("key", Durability::Sync).unwrap());
    assert_eq!(store.stats().syncs, 1, "there is nothing left to sync");
}

/// Run by the test below in a process of its own, since the limit is the process's.
#[test]
fn a_full_disk_as_a_process() {
    let Some(place) = std::env::var_os("KVSTORE_TEST_FULL") else { return };
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: plain system calls with valid arguments.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
    };
    limit(12 << 20);
    let store = open_os(Path::new(&place));
    let value = [7; 1000];
    let mut stored = 0;
    let error = loop {
        match store.set(format!("key {stored}"), value) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert!(error.to_string().contains("wal.log"), "{error}");
    assert!(stored > 11_000, "only {stored} of about 12,000 records before it is full");
    assert!(store.contains("key 0").unwrap(), "reads go on");
    assert!(store.delete("key 0").unwrap(), "a delete still fits");
    // Room is made.
    limit(libc::RLIM_INFINITY);
    for number in 0..20_000 {
        store.set(format!("more {number}"), value).unwrap();
    }
    store.close().unwrap();
    assert_eq!(open(Path::new(&place)).len(), stored - 1 + 20_000);
}

#[test]
fn a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_room() {
    let place = directory();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_full_disk_as_a_process"]);
    let output = command.env("KVSTORE_TEST_FULL", place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Run by the test below in a process of its own, which may die of it.
#[test]
fn a_length_garbled_within_the_window_as_a_process() {
    if std::env::var_os("KVSTORE_TEST_GARBLED").is_none() {
        return;
    }
    let place = directory();
    let store = open_os(place.path());
    for number in 0..10 {
        store.set(format!("key {number}"), "a value").unwrap();
    }
    // The key has 32,773 bytes by now: more than the log has, less than is mapped of it.
    garble(place.path(), b"key 3", -2, 0x80);
    let error = store.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// Space that was reserved was once given back by shortening the file, under its mapping.
#[test]
fn a_length_that_leads_behind_the_end_of_the_log_is_an_error_and_no_signal() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_length_garbled_within_the_window_as_a_process", "--nocapture"]);
    let output = command.env("KVSTORE_TEST_GARBLED", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
}
