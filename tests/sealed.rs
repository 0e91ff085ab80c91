//! Directories with sealed logs that no writer leaves, or only a disk that lost something: nothing is
//! replayed behind a hole, and no loss goes unnoticed.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use common::check::{check, prepare};
use common::reading::{Cut, Files, Reading};
use common::reference::{LogEntry, SET, encode_snapshot};
use kvstore::{Condition, Durability, ErrorKind, Options, verify};

fn set(timestamp: i64, key: &str) -> LogEntry {
    LogEntry { operation: SET, timestamp, key: key.into(), value: b"value".to_vec() }
}

fn log(entries: &[LogEntry]) -> Vec<u8> {
    entries.iter().flat_map(LogEntry::encode).collect()
}

/// Checks that opening reads what the format says, and that `verify` and `repair` agree. Returns the
/// keys that are there, and what is damaged.
fn read(files: &Files) -> (Vec<String>, Option<Cut>) {
    let place = common::directory();
    let open = &mut |options: &Options, path: &std::path::Path| options.open(path);
    let Reading::State { model, damage, .. } = check(place.path(), files, open) else {
        panic!("it should open");
    };
    prepare(place.path(), files);
    let found = verify(place.path()).unwrap();
    assert_eq!(found.condition == Condition::Damaged, damage.is_some(), "{found}");
    let beside = common::directory();
    let new = beside.path().join("new");
    kvstore::repair(place.path(), &new).unwrap();
    assert_eq!(common::contents(&common::open(&new)), model, "repair keeps what opening keeps");
    (model.into_keys().map(|key| String::from_utf8(key).unwrap()).collect(), damage)
}

/// `verify` and `repair` once took it for what the log continues, and left the log out.
#[test]
fn an_entry_amid_a_log_does_not_say_what_it_continues() {
    let entries =
        [LogEntry::mark(10, 10, 0), set(11, "a"), LogEntry::continues(12, 9, 50, 50), set(13, "b")];
    let files = Files { log: Some(log(&entries)), ..Files::default() };
    assert_eq!(read(&files), (vec!["a".into(), "b".into()], None));
}

/// What was there of another log was once taken for what had been lost, so nobody was told of it.
#[test]
fn a_synced_log_that_is_missing_is_damage_however_long_the_one_before_it_is() {
    let before = log(&[LogEntry::mark(10, 10, 0), set(11, "a"), set(12, "b"), set(13, "c")]);
    let entries = [LogEntry::mark(30, 30, 0), LogEntry::continues(31, 20, 60, 60), set(32, "d")];
    assert!(before.len() > 60);
    let files =
        Files { sealed: [(10, before)].into(), log: Some(log(&entries)), ..Files::default() };
    let (keys, damage) = read(&files);
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(damage, Some(Cut { log: "wal.log".into(), bytes: 0..log(&entries).len() }));
}

/// It once counted as a log that goes on, so that what came behind it was replayed over a hole.
#[test]
fn an_empty_sealed_log_does_not_close_a_hole() {
    let mut torn = log(&[LogEntry::mark(10, 10, 0), set(11, "a"), set(12, "lost")]);
    torn.pop();
    let behind = log(&[LogEntry::mark(30, 30, 0), set(31, "b")]);
    let files = Files {
        sealed: [(10, torn), (20, Vec::new())].into(),
        log: Some(behind),
        ..Files::default()
    };
    assert_eq!(read(&files), (vec!["a".into()], None));
}

/// It was gone on with, so that nothing made durable that the broken log is gone: when that came back
/// after a power failure, it took along what had been acknowledged since.
#[test]
fn an_empty_log_behind_a_hole_is_replaced() {
    let broken = [LogEntry::mark(30, 30, 0), LogEntry::continues(31, 20, 60, 0), set(32, "lost")];
    let sealed = [(30, log(&broken))].into();
    let files = Files { sealed, log: Some(Vec::new()), ..Files::default() };
    assert_eq!(read(&files), (Vec::new(), None));
    let directory = common::directory();
    let path = directory.path();
    prepare(path, &files);
    let found = fs::File::open(path.join("wal.log")).unwrap();
    let _store = common::open(path);
    let inode = fs::metadata(path.join("wal.log")).unwrap().ino();
    assert_ne!(inode, found.metadata().unwrap().ino(), "the sync of its name makes it durable");
}

/// It was once refused beside a snapshot from before 1970, as if it built on another one.
#[test]
fn a_sealed_log_that_no_mark_opens_builds_on_whatever_snapshot_there_is() {
    let files = Files {
        snapshot: Some(encode_snapshot(-3, 0, &[])),
        sealed: [(10, log(&[set(11, "a")]))].into(),
        log: Some(Vec::new()),
    };
    assert_eq!(read(&files), (vec!["a".into()], None));
}

/// Strict recovery once stopped at the damage, and said nothing of what an older version must not touch.
#[test]
fn a_newer_version_is_named_before_damage_in_an_earlier_log() {
    let mark = LogEntry::mark(10, 10, 0);
    let mut damaged = log(&[mark.clone(), set(11, "a"), mark]);
    damaged[50] ^= 1;
    let newer = LogEntry { operation: 0x2a, ..set(21, "b") };
    let files = Files {
        sealed: [(10, damaged)].into(),
        log: Some(log(&[LogEntry::mark(20, 20, 0), newer])),
        ..Files::default()
    };
    let place = common::directory();
    prepare(place.path(), &files);
    for strict in [false, true] {
        let options = Options::new().strict_recovery(strict);
        let error = options.open(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

/// A log was sealed under the generation in its marks, whatever that was: it once removed the sealed
/// log of that name, was replayed before what it continues, or was taken for covered.
#[test]
fn a_log_is_sealed_behind_all_before_it_whatever_its_marks_say() {
    for generation in [0, 50, 150, 200, 300, 500, i64::MAX as u64, u64::MAX] {
        goes_on_behind(200, generation);
        // The snapshot that comes next is later than the names, too.
        goes_on_behind(1 << 62, generation);
    }
}

/// Has the log, whose marks are of `generation`, sealed behind one that is called `before`.
fn goes_on_behind(before: u64, generation: u64) {
    let first = log(&[LogEntry::mark(200, before, 100), set(201, "b")]);
    let continues = LogEntry::continues(400, before, first.len() as u64, 0);
    let second = log(&[LogEntry::mark(400, generation, 100), continues, set(401, "c")]);
    let files = Files {
        snapshot: Some(encode_snapshot(100, 1, &[(b"a".into(), b"value".into())])),
        sealed: [(before, first)].into(),
        log: Some(second),
    };
    let directory = common::directory();
    let path = directory.path();
    prepare(path, &files);
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(0);
    let store = options.open(path).unwrap();
    fs::create_dir(path.join("snapshot.dat.tmp")).unwrap();
    store.checkpoint().unwrap_err();
    store.set("d", "acknowledged").unwrap();
    let expected = common::contents(&store);
    assert_eq!(expected.len(), 4);
    drop(store);
    fs::remove_dir(path.join("snapshot.dat.tmp")).unwrap();

    let sealed = common::names(path).into_iter().filter(|name| name.starts_with("wal-"));
    let sealed: Vec<_> = sealed.map(|name| (fs::read(path.join(&name)).unwrap(), name)).collect();
    let store = Options::new().strict_recovery(true).open(path).unwrap();
    assert_eq!(common::contents(&store), expected, "generation {generation} behind {before}");
    store.close().unwrap();
    // Should they come back, the snapshot has all of them.
    sealed.iter().for_each(|(bytes, name)| fs::write(path.join(name), bytes).unwrap());
    let store = common::open(path);
    assert_eq!(common::contents(&store), expected);
    assert_eq!(store.recovery_report().sealed_logs, 0, "generation {generation} behind {before}");
}

/// Its last bytes may be in the page cache only, and were once served without a sync.
#[test]
fn a_mark_vouches_for_no_log_but_those_that_its_own_continues() {
    let sealed = log(&[LogEntry::mark(200, 200, 100), set(201, "a")]);
    for (continued, syncs) in [(200, 0), (50, 2)] {
        let continues = LogEntry::continues(300, continued, sealed.len() as u64, 0);
        let mark = LogEntry::mark(300, 300, 100);
        let current = log(&[mark.clone(), continues, set(301, "b"), mark]);
        let files = Files {
            snapshot: Some(encode_snapshot(100, 0, &[])),
            sealed: [(200, sealed.clone())].into(),
            log: Some(current),
        };
        assert_eq!(read(&files), (vec!["a".into(), "b".into()], None));
        let directory = common::directory();
        prepare(directory.path(), &files);
        let store = Options::new().durability(Durability::Sync).open(directory.path()).unwrap();
        assert_eq!(store.stats().syncs, syncs, "it continues {continued}");
    }
}

/// Where no later timestamp is left, a log once took the name of another that was sealed, or was taken for
/// covered by the snapshot that it goes on behind.
#[test]
fn where_timestamps_end_no_log_is_sealed() {
    let behind = |generation: u64| {
        let before = log(&[LogEntry::mark(200, generation, 0), set(201, "a")]);
        let continues = LogEntry::continues(400, generation, before.len() as u64, 0);
        let second = log(&[LogEntry::mark(400, 300, 0), continues, set(401, "b")]);
        Files { sealed: [(generation, before)].into(), log: Some(second), ..Files::default() }
    };
    let late = log(&[LogEntry::mark(10, 10, 0), set(i64::MAX, "a"), set(12, "b")]);
    let last = i64::MAX as u64;
    let mut all: Vec<Files> = [last - 1, last, last + 1, u64::MAX].map(behind).into();
    all.push(Files { log: Some(late), ..Files::default() });
    for files in all {
        let directory = common::directory();
        let path = directory.path();
        prepare(path, &files);
        let options = Options::new().durability(Durability::Os).checkpoint_bytes(0);
        let store = options.open(path).unwrap();
        store.set("c", "acknowledged").unwrap();
        let refused = store.checkpoint().map_err(|error| error.kind());
        store.set("d", "acknowledged").unwrap();
        let expected = common::contents(&store);
        assert_eq!(expected.len(), 4);
        drop(store);
        let store = options.open(path).unwrap();
        assert_eq!(common::contents(&store), expected);
        assert_eq!(refused, Err(ErrorKind::TooLarge));
        store.close().unwrap();
        assert_eq!(common::contents(&options.open(path).unwrap()), expected);
    }
}
