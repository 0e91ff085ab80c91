//! Checkpoints beside readers and writers: nothing is lost, nobody waits, and the logs stay short.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use common::{Model, contents, names, open};
use kvstore::{CloseCheckpoint, Condition, Durability, ErrorKind, Options, Store, verify};

/// A store that makes no checkpoints of its own accord, and syncs nothing.
fn quiet(directory: &Path) -> Store {
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(0);
    options.open(directory).unwrap()
}

fn key(number: u64) -> String {
    format!("key:{:08}", number.wrapping_mul(2_654_435_761) % 100_000_000)
}

/// The files of `directory` that this process has mapped, by name, also those that were removed.
fn mapped(directory: &Path) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let directory = directory.canonicalize().unwrap();
    let prefix = format!("{}/", directory.display());
    maps.lines().filter_map(|line| Some(line.split_once(&prefix)?.1.to_owned())).collect()
}

fn files_besides(directory: &Path, known: &[&str]) -> Vec<String> {
    names(directory).into_iter().filter(|name| !known.contains(&name.as_str())).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_checkpoint_has_everything_and_leaves_an_empty_log() {
    let directory = common::directory();
    let store = quiet(directory.path());
    let mut model = Model::new();
    for round in 0..5_u64 {
        for number in 0..2_000 {
            let (key, value) = (key(number * (round + 1)), format!("value {number} of {round}"));
            store.set(&key, &value).unwrap();
            model.insert(key.into(), value.into());
        }
        for number in 0..300 {
            let key = key(number * 7);
            assert_eq!(store.delete(&key).unwrap(), model.remove(key.as_bytes()).is_some());
        }
        store.checkpoint().unwrap();
        let stats = store.stats();
        assert_eq!((stats.log_bytes, stats.sealed_logs, stats.checkpoints), (0, 0, round + 1));
        assert_eq!(contents(&store), model);
        for (key, value) in &model {
            assert_eq!(store.get(key).unwrap().as_deref(), Some(value.as_slice()));
            assert_eq!(&*store.get_pinned(key).unwrap().unwrap(), value.as_slice());
        }
        for number in 0..300 {
            assert!(store.get(key(number * 7)).unwrap().is_none());
        }
        assert!(files_besides(directory.path(), &["LOCK", "snapshot.dat", "wal.log"]).is_empty());
    }
    store.checkpoint().unwrap();
    assert_eq!(store.stats().checkpoints, 5, "nothing to do");
    drop(store);
    let store = open(directory.path());
    let report = store.recovery_report();
    assert_eq!((report.log_records, report.snapshot_records), (0, model.len() as u64));
    assert_eq!(contents(&store), model);
}

/// Deleted keys have no place in the new files, and are found deleted all the same, also while
/// tables grow.
#[test]
fn deleted_keys_stay_deleted_whatever_grows() {
    let directory = common::directory();
    let store = quiet(directory.path());
    let mut model = BTreeMap::new();
    let mut next = 0_u64;
    for round in 0..60_u64 {
        // So that some checkpoint comes amid the growth of most tables.
        for _ in 0..700 + round * 13 {
            store.set(key(next), round.to_string()).unwrap();
            model.insert(next, round);
            next += 1;
        }
        for number in (0..next).step_by(3 + round as usize % 5) {
            store.delete(key(number)).unwrap();
            model.remove(&number);
        }
        for number in (0..next).step_by(11) {
            store.set(key(number), round.to_string()).unwrap();
            model.insert(number, round);
        }
        store.checkpoint().unwrap();
        assert_eq!(store.len(), model.len());
        for number in 0..next {
            let expected = model.get(&number).map(|round| round.to_string().into_bytes());
            assert_eq!(store.get(key(number)).unwrap().as_deref(), expected.as_deref(), "{number}");
        }
    }
}

#[test]
fn views_scans_and_pins_are_what_they_were_across_checkpoints() {
    let directory = common::directory();
    let store = quiet(directory.path());
    let mut held = Vec::new();
    let mut model = Model::new();
    for round in 0..12_u64 {
        for number in 0..500 {
            let key = key(number * 3 % 700 + round);
            store.set(&key, round.to_string()).unwrap();
            model.insert(key.into(), round.to_string().into());
        }
        let first = model.keys().next().unwrap();
        let pinned = store.get_pinned(first).unwrap().unwrap();
        let expected = model[first].clone();
        held.push((store.view().unwrap(), model.clone(), pinned, expected));
        if round % 2 == 0 {
            store.checkpoint().unwrap();
        }
        for (view, model, pinned, expected) in &held {
            let found: kvstore::Result<Vec<_>> = view.scan(..).collect();
            let found = found.unwrap();
            let found = found.iter().map(|(key, value)| (&**key, &**value));
            assert!(found.eq(model.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))));
            assert_eq!(&**pinned, expected.as_slice());
        }
    }
}

#[test]
fn no_old_file_stays_mapped_once_nobody_reads_it() {
    let directory = common::directory();
    let store = quiet(directory.path());
    let mut views = Vec::new();
    for round in 0..10_u64 {
        for number in 0..3_000 {
            store.set(key(number), format!("{round:0100}")).unwrap();
        }
        views.push(store.view().unwrap());
        store.checkpoint().unwrap();
    }
    let old = |names: &[String]| names.iter().filter(|name| name.contains("(deleted)")).count();
    assert!(old(&mapped(directory.path())) > 0, "what the views need");
    drop(views);
    until("old files stay mapped", || {
        // A reader of another test may have been the last who could have seen them.
        drop(store.get("key"));
        old(&mapped(directory.path())) == 0
    });
    let mut left = mapped(directory.path());
    left.dedup();
    assert!(left.len() <= 3, "{left:?}");
    assert_eq!(contents(&store).len(), 3_000);
}

/// What the process keeps in memory, without files that are mapped.
fn anonymous_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// For a process that runs for months: overwriting the same keys again and again.
#[test]
fn logs_and_memory_stay_bounded_under_overwrites() {
    const LIMIT: u64 = 8 << 20;
    let directory = common::directory();
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(LIMIT);
    let store = options.open(directory.path()).unwrap();
    let (mut most, mut memory) = (0, 0);
    let mut round = 0_u64;
    let deadline = Instant::now() + Duration::from_secs(120);
    while store.stats().checkpoints < 30 {
        assert!(Instant::now() < deadline, "{:?}", store.stats());
        round += 1;
        for number in 0..10_000 {
            store.set(key(number), format!("{round:0100}")).unwrap();
            if number % 500 == 0 {
                most = most.max(store.stats().log_bytes);
            }
        }
        if store.stats().checkpoints == 10 {
            memory = memory.max(anonymous_memory());
        }
    }
    let after = anonymous_memory();
    println!("{round} rounds, at most {most} bytes of logs; memory {memory}, then {after}");
    assert!(most <= 3 * LIMIT, "{most}");
    assert!(after < memory + (8 << 20), "from {memory} to {after} bytes");
    let stats = store.stats();
    assert_eq!((stats.checkpoints_failed, stats.checkpoint_error), (0, None));
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.len(), 10_000);
    assert_eq!(store.get(key(77)).unwrap().as_deref(), Some(format!("{round:0100}").as_bytes()));
}

#[test]
fn no_thread_is_started_before_it_is_needed_and_none_is_left() {
    let count = || {
        let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |path: std::path::PathBuf| fs::read_to_string(path.join("comm")).ok();
        threads
            .filter_map(|task| name(task.path()))
            .filter(|name| name.contains("kvstore-chec"))
            .count()
    };
    let directory = common::directory();
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(1 << 30);
    let store = options.open(directory.path()).unwrap();
    for number in 0..2_000 {
        store.set(key(number), "value").unwrap();
    }
    // Others of this process may be at it in their own tests.
    assert_eq!(store.stats().checkpoints, 0);
    store.close().unwrap();
    drop(store);
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(64 << 10);
    let store = options.open(directory.path()).unwrap();
    let mut number = 0;
    until("no checkpoint comes", || {
        store.stats().checkpoints > 0 || {
            for _ in 0..500 {
                store.set(key(number), "value").unwrap();
                number += 1;
            }
            false
        }
    });
    drop(store);
    until("a thread is left", || count() == 0);
}

/// The last handle may go, and the store be opened again at once.
#[test]
fn dropping_and_closing_amid_checkpoints_leaves_the_directory_free_and_whole() {
    let directory = common::directory();
    let mut model = Model::new();
    for round in 0..40_u64 {
        let options = Options::new().durability(Durability::Os).checkpoint_bytes(32 << 10);
        let store = options.open(directory.path()).unwrap();
        assert_eq!(contents(&store), model, "round {round}");
        for number in 0..1_500 {
            let (key, value) = (key(number * 7 + round), format!("{round} {number}"));
            store.set(&key, &value).unwrap();
            model.insert(key.into(), value.into());
        }
        match round % 4 {
            0 => drop(store),
            1 => store.close().unwrap(),
            2 => {
                let clone = store.clone();
                let thread = thread::spawn(move || clone.checkpoint());
                store.close().unwrap();
                if let Err(error) = thread.join().unwrap() {
                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                }
            }
            _ => {
                let never = store.clone();
                drop(store);
                drop(never);
            }
        }
        assert!(verify(directory.path()).unwrap().is_sound());
    }
}

#[test]
fn a_checkpoint_that_fails_is_told_and_the_next_one_makes_up_for_it() {
    let directory = common::directory();
    let store = quiet(directory.path());
    store.set("a", "1").unwrap();
    // What is in the way of the snapshot.
    let obstacle = directory.path().join("snapshot.dat.tmp");
    fs::create_dir(&obstacle).unwrap();
    for round in 1..4 {
        let error = store.checkpoint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let stats = store.stats();
        assert_eq!((stats.checkpoints, stats.checkpoints_failed), (0, round));
        assert_eq!(stats.checkpoint_error, Some(error.to_string()));
        assert_eq!(stats.sealed_logs, round);
        store.set("b", round.to_string()).unwrap();
    }
    assert!(store.stats().log_bytes > 0);
    // As it is after a crash.
    let copy = common::directory();
    for name in names(directory.path()) {
        if directory.path().join(&name).is_file() && name != "LOCK" {
            fs::copy(directory.path().join(&name), copy.path().join(&name)).unwrap();
        }
    }
    let found = verify(copy.path()).unwrap();
    assert_eq!((found.condition, found.logs.len()), (Condition::Sound, 4), "{found}");
    let expected = Model::from([(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"3".to_vec())]);
    let crashed = open(copy.path());
    assert_eq!((contents(&crashed), crashed.recovery_report().sealed_logs), (expected.clone(), 3));
    fs::remove_dir(&obstacle).unwrap();
    store.checkpoint().unwrap();
    let stats = store.stats();
    assert_eq!((stats.checkpoints, stats.sealed_logs, stats.log_bytes), (1, 0, 0));
    assert_eq!(stats.checkpoint_error, None);
    assert_eq!(contents(&store), expected);
    assert_eq!(names(directory.path()), ["LOCK", "snapshot.dat", "wal.log"]);
}

/// A log whose end is missing takes what continues it along: there must be no hole.
#[test]
fn what_continues_a_log_that_is_cut_short_is_kept_aside() {
    let sealed = common::directory();
    let options = Options::new().checkpoint_bytes(0).close_checkpoint(CloseCheckpoint::Never);
    let store = options.open(sealed.path()).unwrap();
    fs::create_dir(sealed.path().join("snapshot.dat.tmp")).unwrap();
    store.set("a", "1").unwrap();
    store.set("b", "2").unwrap();
    store.checkpoint().unwrap_err();
    store.set("c", "3").unwrap();
    store.set("d", "4").unwrap();
    drop(store);
    fs::remove_dir(sealed.path().join("snapshot.dat.tmp")).unwrap();
    let name = names(sealed.path()).into_iter().find(|name| name.starts_with("wal-")).unwrap();
    let log = fs::read(sealed.path().join(&name)).unwrap();
    let end = log.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for missing in [0, 1, 10, end / 2, end] {
        let damaged = common::directory();
        fs::copy(sealed.path().join("wal.log"), damaged.path().join("wal.log")).unwrap();
        if missing < end {
            fs::write(damaged.path().join(&name), &log[..end - missing]).unwrap();
        }
        let found = verify(damaged.path()).unwrap();
        let strict = Options::new().strict_recovery(true).open(damaged.path());
        if missing == 0 {
            assert_eq!(found.condition, Condition::Sound, "{found}");
            assert_eq!(strict.unwrap().len(), 4);
            continue;
        }
        // It had been synced before it was sealed.
        assert_eq!(found.condition, Condition::Damaged, "{found}");
        assert_eq!(strict.unwrap_err().kind(), ErrorKind::Corrupt);
        let place = common::directory();
        let new = place.path().join("new");
        let repaired = kvstore::repair(damaged.path(), &new).unwrap();
        assert!(repaired.is_prefix && !repaired.is_complete());
        let store = open(damaged.path());
        let report = store.recovery_report().clone();
        assert!(report.damaged && report.bytes_cut > 0 && report.quarantine.is_some());
        let left = contents(&store);
        assert!(!left.contains_key(b"c".as_slice()) && !left.contains_key(b"d".as_slice()));
        assert_eq!(contents(&open(&new)), left, "repair keeps what opening keeps");
        store.set("e", "5").unwrap();
        drop(store);
        let store = open(damaged.path());
        assert!(!store.recovery_report().damaged && store.recovery_report().bytes_cut == 0);
        assert_eq!(store.len(), left.len() + 1);
    }
}

/// A broken log is removed once it is in quarantine, and a power failure may bring it back. It once
/// took the log along that was begun in its stead, with all that had been acknowledged since.
#[test]
fn a_broken_log_that_comes_back_takes_nothing_along() {
    let directory = common::directory();
    let path = directory.path();
    let store = quiet(path);
    fs::create_dir(path.join("snapshot.dat.tmp")).unwrap();
    for key in ["a", "b"] {
        store.set(key, "1").unwrap();
        store.checkpoint().unwrap_err();
    }
    store.set("c", "1").unwrap();
    drop(store);
    fs::remove_dir(path.join("snapshot.dat.tmp")).unwrap();
    let mut sealed: Vec<_> =
        names(path).into_iter().filter(|name| name.starts_with("wal-")).collect();
    sealed.sort();
    let [first, second] = &sealed[..] else { panic!("{sealed:?}") };
    // The first loses its end, and so the second what it continues.
    let log = fs::read(path.join(first)).unwrap();
    let end = log.iter().rposition(|&byte| byte != 0).unwrap();
    fs::write(path.join(first), &log[..end]).unwrap();
    let broken = fs::read(path.join(second)).unwrap();
    let options = Options::new().checkpoint_bytes(0).close_checkpoint(CloseCheckpoint::Never);
    let store = options.open(path).unwrap();
    assert_eq!((store.len(), store.recovery_report().quarantine.is_some()), (0, true));
    store.set("acknowledged", "1").unwrap();
    drop(store);
    assert!(!path.join(second).exists());
    fs::write(path.join(second), &broken).unwrap();

    let expected = Model::from([(b"acknowledged".to_vec(), b"1".to_vec())]);
    let read_only = Options::new().read_only(true).open(path).unwrap();
    assert_eq!(contents(&read_only), expected);
    drop(read_only);
    let place = common::directory();
    let new = place.path().join("new");
    kvstore::repair(path, &new).unwrap();
    assert_eq!(contents(&open(&new)), expected, "repair keeps what opening keeps");
    // As often as it comes back.
    for _ in 0..2 {
        let store = options.open(path).unwrap();
        assert_eq!(contents(&store), expected);
        drop(store);
        assert!(!path.join(second).exists());
        fs::write(path.join(second), &broken).unwrap();
    }
}

/// Each attempt that fails leaves a sealed log that stays mapped, in as many windows as it has grown by.
/// When hardly a number was left for another, none would ever have succeeded again.
#[test]
fn a_checkpoint_succeeds_however_many_have_failed() {
    for (rounds, writes, len) in [(300_u64, 1, 10), (80, 6, 100_000), (120, 2, 60_000)] {
        let directory = common::directory();
        let store = quiet(directory.path());
        let obstacle = directory.path().join("snapshot.dat.tmp");
        fs::create_dir(&obstacle).unwrap();
        for round in 0..rounds {
            for write in 0..writes {
                store.set(key(round * writes + write), vec![round as u8; len]).unwrap();
            }
            assert_eq!(store.checkpoint().unwrap_err().kind(), ErrorKind::Io, "{round}");
        }
        let expected = contents(&store);
        assert_eq!(expected.len() as u64, rounds * writes);
        fs::remove_dir(&obstacle).unwrap();
        store.checkpoint().unwrap();
        let stats = store.stats();
        assert_eq!((stats.sealed_logs, stats.log_bytes), (0, 0));
        assert_eq!(contents(&store), expected);
        assert_eq!(names(directory.path()), ["LOCK", "snapshot.dat", "wal.log"]);
        store.close().unwrap();
        assert_eq!(contents(&open(directory.path())), expected);
    }
}

/// What makes a checkpoint due was set when the log was sealed, by the logs there were then: after some
/// failures the first that followed a success came at a quarter of the limit, and writers were slowed
/// down for it.
#[test]
fn after_a_checkpoint_the_next_is_due_at_the_limit() {
    const LIMIT: u64 = 1 << 20;
    let directory = common::directory();
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(LIMIT);
    let store = options.open(directory.path()).unwrap();
    let obstacle = directory.path().join("snapshot.dat.tmp");
    fs::create_dir(&obstacle).unwrap();
    for round in 0..4 {
        (0..500).for_each(|write| store.set(key(write), vec![round; 1000]).unwrap());
        // Beside those that a thread makes.
        store.checkpoint().unwrap_err();
    }
    assert!(store.stats().sealed_logs >= 4);
    fs::remove_dir(&obstacle).unwrap();
    store.checkpoint().unwrap();
    let done = store.stats().checkpoints;
    while store.stats().log_bytes < LIMIT - 2000 {
        store.set(key(1), vec![7; 1000]).unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    let stats = store.stats();
    assert_eq!((stats.checkpoints, stats.checkpoint_running), (done, false), "too early");
    (0..LIMIT / 500).for_each(|_| store.set(key(1), vec![7; 1000]).unwrap());
    until("a checkpoint begins at the limit", || store.stats().checkpoints > done);
}
