//! Backups: what they hold, what they refuse, and what is left when they fail.

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{contents, directory, names, open, open_os};
use kvstore::{BackupProgress, ErrorKind, Options, Store};

/// A store of `count` records in a directory called "data".
fn filled(place: &Path, count: u32) -> Store {
    let store = open_os(&place.join("data"));
    for number in 0..count {
        store.set(format!("key {number:06}"), [number as u8; 100]).unwrap();
    }
    store
}

/// Backs `store` up to `to`, checks that it opens and holds the same, and is usable.
fn check_backup(store: &Store, to: &Path) {
    store.backup(to).unwrap();
    assert_eq!(names(to), ["snapshot.dat", "wal.log"]);
    assert_eq!(fs::metadata(to.join("wal.log")).unwrap().len(), 0);
    check_holds(store, to);
}

fn check_holds(store: &Store, to: &Path) {
    assert!(kvstore::verify(to).unwrap().is_sound());
    let copy = open(to);
    assert!(copy.recovery_report().is_clean());
    assert_eq!(contents(&copy), contents(store));
    copy.set("written", "to the copy").unwrap();
    copy.close().unwrap();
}

#[test]
fn a_backup_holds_what_the_store_held_and_opens_like_any_other() {
    let place = directory();
    let store = filled(place.path(), 10_000);
    store.delete("key 000007").unwrap();
    store.set("key 000008", "").unwrap();
    store.set("", "the empty key").unwrap();
    check_backup(&store, &place.path().join("copy"));
    store.close().unwrap();

    // A log on top of a snapshot.
    let store = open_os(&place.path().join("data"));
    store.set("key 000001", "changed").unwrap();
    store.delete("key 000002").unwrap();
    check_backup(&store, &place.path().join("deep/er/copy"));
    assert_eq!(names(place.path()), ["copy", "data", "deep"], "nothing unfinished is left");
    store.set("goes", "on").unwrap();
}

#[test]
fn nothing_and_one_record_can_be_backed_up() {
    let place = directory();
    let store = filled(place.path(), 0);
    check_backup(&store, &place.path().join("empty"));
    store.set("one", "1").unwrap();
    check_backup(&store, &place.path().join("one"));
}

#[test]
fn what_was_not_written_to_since_its_snapshot_is_the_snapshot() {
    let place = directory();
    filled(place.path(), 5_000).close().unwrap();
    let file = |name: &str| fs::read(place.path().join(name).join("snapshot.dat")).unwrap();
    let store = open(&place.path().join("data"));
    check_backup(&store, &place.path().join("copy"));
    store.backup(place.path().join("same")).unwrap();
    assert!(file("same") == file("data"), "byte for byte");
    store.delete("key 000000").unwrap();
    store.backup(place.path().join("changed")).unwrap();
    assert!(file("changed") != file("data"));
    assert_eq!(open(&place.path().join("changed")).len(), 4_999);
}

/// The Go store writes entries in any order, and a key may occur twice.
#[test]
fn directories_of_the_go_store_can_be_backed_up() {
    for name in ["clean", "crash", "empty", "wal-only"] {
        let (golden, place) = (common::golden(name), directory());
        let to = place.path().join("copy");
        check_backup(&open(golden.path()), &to);
        let mut expected = common::golden_contents(name);
        expected.insert(b"written".to_vec(), b"to the copy".to_vec());
        assert_eq!(contents(&open(&to)), expected);
    }
}

/// Tells others to stop when it is dropped.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each writer sets one key to n, then another to n: whoever looks between sees one more of the first.
#[test]
fn a_backup_is_of_one_instant_while_threads_write() {
    let place = directory();
    let store = filled(place.path(), 20_000);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when a check fails, or the writers would go on for ever.
        let stopping = Stopping(&stop);
        for writer in 0..3 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    store.set(format!("{writer} first"), number.to_be_bytes()).unwrap();
                    store.set(format!("{writer} second"), number.to_be_bytes()).unwrap();
                    store.set(format!("{writer} {}", number % 1000), [0; 50]).unwrap();
                }
            });
        }
        for round in 0..10 {
            let mut calls = 0;
            let to = place.path().join(format!("copy {round}"));
            store
                .backup_with(&to, &mut |_| {
                    calls += 1;
                    thread::yield_now();
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(calls >= 1);
            let copy = open(&to);
            for writer in 0..3 {
                let count = |key: &str| {
                    let value = copy.get(format!("{writer} {key}")).unwrap();
                    value.map_or(-1, |value| i64::from_be_bytes(value[..].try_into().unwrap()))
                };
                let (first, second) = (count("first"), count("second"));
                assert!(first == second || first == second + 1, "{first} and {second}");
            }
        }
        drop(stopping);
    });
}

#[test]
fn progress_tells_records_and_bytes_and_ends_with_all() {
    let place = directory();
    let store = filled(place.path(), 10_000);
    let mut told: Vec<BackupProgress> = Vec::new();
    let to = place.path().join("copy");
    store
        .backup_with(&to, &mut |progress| {
            told.push(*progress);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(told.len() >= 3);
    assert!(told.is_sorted_by_key(|progress| (progress.records_done, progress.bytes_done)));
    let last = told.last().unwrap();
    assert_eq!((last.records_done, last.records_total), (10_000, 10_000));
    let bytes = fs::metadata(to.join("snapshot.dat")).unwrap().len();
    assert_eq!((last.bytes_done, last.bytes_total), (bytes, bytes));
    // Records are of one length here, so the estimate is good.
    assert!(told.iter().all(|progress| progress.bytes_total.abs_diff(bytes) < bytes / 100));
}

#[test]
fn a_backup_that_is_stopped_or_panics_leaves_nothing() {
    for settled in [false, true] {
        let place = directory();
        let mut store = filled(place.path(), 10_000);
        if settled {
            store.close().unwrap();
            store = open(&place.path().join("data"));
        }
        for wanted in [1, 2, 3] {
            let mut calls = 0;
            let error = store
                .backup_with(place.path().join("copy"), &mut |_| {
                    calls += 1;
                    if calls < wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .unwrap_err();
            assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, wanted), "{error}");
            assert!(error.to_string().contains("stopped by its progress callback"));
            assert_eq!(names(place.path()), ["data"]);
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            store.backup_with(place.path().join("copy"), &mut |_| panic!("in the callback"))
        }));
        assert!(panicked.is_err());
        assert_eq!(names(place.path()), ["data"]);
        store.set("goes", "on").unwrap();
        check_backup(&store, &place.path().join("copy"));
    }
}

#[test]
fn what_is_there_is_never_overwritten() {
    let place = directory();
    let at = |name: &str| place.path().join(name);
    let store = filled(place.path(), 10);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/file"), "mine").unwrap();
    fs::write(at("file"), "mine").unwrap();
    symlink(at("full"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    let before = names(place.path());
    for (name, why) in [
        ("full", "is not empty"),
        ("link", "is not empty"),
        ("data", "lies in the directory"),
        ("data/inside", "lies in the directory"),
        ("data/deep/inside", "lies in the directory"),
        ("full/..", "lies in"),
    ] {
        let error = store.backup(at(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}: {error}");
        assert!(error.to_string().contains(why) || name == "full/..", "{name}: {error}");
    }
    for name in ["file", "file/inside", "dangling"] {
        assert_eq!(store.backup(at(name)).unwrap_err().os_error(), Some(20), "{name}"); // ENOTDIR
    }
    assert_eq!(store.backup("").unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(store.backup("/").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(names(place.path()), before);
    assert_eq!(fs::read(at("full/file")).unwrap(), b"mine");
    assert_eq!(fs::read(at("file")).unwrap(), b"mine");
}

#[test]
fn an_empty_directory_is_used_with_its_mode_also_through_a_link() {
    let place = directory();
    let at = |name: &str| place.path().join(name);
    let store = filled(place.path(), 100);
    fs::create_dir(at("empty")).unwrap();
    fs::set_permissions(at("empty"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("empty", at("link")).unwrap();
    check_backup(&store, &at("link"));
    assert_eq!(fs::metadata(at("empty")).unwrap().mode() & 0o7777, 0o700);
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    assert_eq!(names(place.path()), ["data", "empty", "link"]);
}

#[test]
fn leftovers_are_in_nobodys_way_and_stay() {
    let place = directory();
    let store = filled(place.path(), 100);
    let leftover = place.path().join("copy.unfinished-1");
    fs::create_dir(&leftover).unwrap();
    fs::write(leftover.join("snapshot.dat"), "half of one").unwrap();
    check_backup(&store, &place.path().join("copy"));
    assert_eq!(names(place.path()), ["copy", "copy.unfinished-1", "data"]);
    assert_eq!(fs::read(leftover.join("snapshot.dat")).unwrap(), b"half of one");
    // A name that leaves no room for the suffix.
    let long = "n".repeat(255);
    check_backup(&store, &place.path().join(&long));
    assert_eq!(names(place.path()).len(), 4);
}

/// What a process leaves that dies in the middle is refused when it is opened by hand.
#[test]
fn an_unfinished_directory_does_not_open_as_a_store() {
    let place = directory();
    // So many that it is told of some on the way, however busy the machine is.
    let store = filled(place.path(), 100_000);
    let mut refused = 0;
    store
        .backup_with(place.path().join("copy"), &mut |progress| {
            let unfinished = place.path().join("copy.unfinished-1");
            let kept = place.path().join(format!("kept {}", progress.records_done));
            fs::create_dir(&kept).unwrap();
            for name in names(&unfinished) {
                fs::copy(unfinished.join(&name), kept.join(&name)).unwrap();
            }
            if progress.records_done < progress.records_total {
                let error = Store::open(&kept).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                refused += 1;
            }
            assert!(!place.path().join("copy").exists(), "it is not there before it is whole");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(refused >= 1);
}

#[test]
fn a_view_of_a_closed_store_can_be_backed_up() {
    let place = directory();
    let store = filled(place.path(), 1000);
    let view = store.view().unwrap();
    store.set("later", "").unwrap();
    store.close().unwrap();
    assert_eq!(store.backup(place.path().join("no")).unwrap_err().kind(), ErrorKind::Closed);
    fs::remove_dir_all(place.path().join("data")).unwrap();
    view.backup(place.path().join("copy")).unwrap();
    let copy = open(&place.path().join("copy"));
    assert_eq!(copy.len(), 1000);
    assert!(!copy.contains("later").unwrap());
}

#[test]
fn a_read_only_store_can_be_backed_up_and_does_not_change() {
    let place = directory();
    let data = place.path().join("data");
    drop(filled(place.path(), 1000));
    let before = common::tree(&data);
    let store = Options::new().read_only(true).open(&data).unwrap();
    check_backup(&store, &place.path().join("copy"));
    drop(store);
    assert_eq!(common::tree(&data), before);
}

/// Garbled bytes in the mapped file, as a failing disk or memory would have it.
#[test]
fn a_record_that_is_not_what_was_stored_is_never_copied() {
    for settled in [true, false] {
        let place = directory();
        let data = place.path().join("data");
        filled(place.path(), 1000).close().unwrap();
        let store = open(&data);
        if !settled {
            store.set("later", "").unwrap();
        }
        let snapshot = fs::OpenOptions::new().write(true).open(data.join("snapshot.dat")).unwrap();
        let at = 20 + 500 * (12 + 10 + 100) + 50;
        snapshot.write_at(b"?", at).unwrap();
        let error = store.backup(place.path().join("copy")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(
            error.path(),
            Some(fs::canonicalize(data.join("snapshot.dat")).unwrap().as_path())
        );
        assert!(error.offset().is_some_and(|offset| offset.abs_diff(at) < 122), "{error}");
        assert_eq!(names(place.path()), ["data"]);
    }
    let place = directory();
    let store = filled(place.path(), 1000);
    let log = fs::OpenOptions::new().write(true).open(place.path().join("data/wal.log")).unwrap();
    log.write_at(b"?", 20_000).unwrap();
    let error = store.backup(place.path().join("copy")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.path().is_some_and(|path| path.ends_with("wal.log")));
    assert_eq!(names(place.path()), ["data"]);
}
