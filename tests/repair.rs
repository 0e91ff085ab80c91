//! Repairing and salvaging: what is kept, what is left out, and that the source stays as it is.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use common::{Model, contents, golden, golden_contents, names, open, open_os};
use kvstore::{
    CloseCheckpoint, Condition, ErrorKind, Options, RepairReport, Result, repair, repair_with,
    salvage, verify,
};

/// What must not change: content, and what the system notes of a change.
fn state(path: &Path) -> Vec<(String, Vec<u8>, i64, i64, u64)> {
    let describe = |name: String| {
        let file = path.join(&name);
        let content = if file.is_dir() { Vec::new() } else { fs::read(&file).unwrap() };
        let metadata = fs::metadata(&file).unwrap();
        (name, content, metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
    };
    let mut found: Vec<_> = names(path).into_iter().map(describe).collect();
    let own = fs::metadata(path).unwrap();
    found.push((".".to_owned(), Vec::new(), own.mtime(), own.mtime_nsec(), own.ino()));
    found
}

/// Runs `repair` or `salvage`, checks that the source has not changed, that what was written is
/// sound and opens, and returns the report and what is in it.
fn run(
    what: impl Fn(&Path, &Path) -> Result<RepairReport>,
    from: &Path,
) -> (RepairReport, Model, String) {
    let place = common::directory();
    let to = place.path().join("new");
    let before = state(from);
    let report = what(from, &to).unwrap();
    assert_eq!(state(from), before, "the source is as it was");
    let note = if report.salvaged { "SALVAGED.txt" } else { "REPAIRED.txt" };
    assert_eq!(names(&to), [note, "snapshot.dat", "wal.log"]);
    assert_eq!(names(place.path()), ["new"], "nothing unfinished is left");
    let text = fs::read_to_string(to.join(note)).unwrap();
    assert_eq!(text, format!("{report}\n"));
    assert_eq!(verify(&to).unwrap().condition, Condition::Sound);
    let store = open(&to);
    let found = contents(&store);
    assert_eq!(found.len() as u64, report.records);
    // It is a store like any other.
    store.set("written", "later").unwrap();
    store.close().unwrap();
    assert_eq!(open(&to).len(), found.len() + usize::from(!found.contains_key(&b"written"[..])));
    (report, found, text)
}

#[test]
fn one_that_is_stopped_leaves_nothing_whenever_that_is() {
    let from = common::directory();
    let store = open_os(from.path());
    for number in 0..20_000 {
        store.set(format!("{number:05}"), [7; 100]).unwrap();
    }
    drop(store);
    let place = common::directory();
    let to = place.path().join("new");
    let mut activities = BTreeSet::new();
    for stop_at in 1.. {
        let mut calls = 0;
        let outcome = repair_with(from.path(), &to, &mut |progress| {
            calls += 1;
            activities.insert(progress.activity);
            if calls == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(error) = outcome else { break };
        assert_eq!((error.kind(), calls), (ErrorKind::Cancelled, stop_at));
        assert!(names(place.path()).is_empty());
    }
    assert_eq!(activities.into_iter().collect::<Vec<_>>(), ["checking", "writing"]);
    assert_eq!(open(&to).len(), 20_000);
}

fn repaired(from: &Path) -> (RepairReport, Model, String) {
    run(|from, to| repair(from, to), from)
}

fn salvaged(from: &Path) -> (RepairReport, Model, String) {
    run(|from, to| salvage(from, to), from)
}

fn key(number: u32) -> String {
    format!("key:{number:04}")
}

fn model(numbers: impl IntoIterator<Item = u32>) -> Model {
    let record = |number: u32| (key(number).into(), format!("value of {number:04}").into());
    numbers.into_iter().map(record).collect()
}

fn fill(store: &kvstore::Store, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        store.set(key(number), format!("value of {number:04}")).unwrap();
    }
}

/// A directory with a snapshot of the records 0 to 39, and what comes after
/// it in the log: 40 to 49 set, 0 to 4 deleted, 5 set anew.
fn both() -> tempfile::TempDir {
    let directory = common::directory();
    let store = open_os(directory.path());
    fill(&store, 0..40);
    store.close().unwrap();
    let store = open(directory.path());
    fill(&store, 40..50);
    for number in 0..5 {
        assert!(store.delete(key(number)).unwrap());
    }
    store.set(key(5), "anew").unwrap();
    drop(store);
    directory
}

/// Bytes of an entry in its snapshot.
const ENTRY: usize = 12 + 8 + 13;

fn both_model() -> Model {
    let mut model = model(5..50);
    model.insert(key(5).into(), b"anew".to_vec());
    model
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(directory: &Path, file: &str, at: usize) {
    edit(&directory.join(file), |bytes| bytes[at] ^= 0x10);
}

#[test]
fn a_sound_directory_comes_out_whole() {
    for name in ["clean", "crash", "wal-only", "empty"] {
        for run in [repaired, salvaged] {
            let copy = golden(name);
            let (report, found, _) = run(copy.path());
            assert_eq!(found, golden_contents(name), "{name}");
            assert!(report.is_prefix && report.is_complete() && report.left_out.is_empty());
        }
    }
    let directory = both();
    assert_eq!(repaired(directory.path()).1, both_model());
    assert_eq!(salvaged(directory.path()).1, both_model());
}

#[test]
fn repair_keeps_of_a_log_what_opening_keeps_at_every_byte() {
    let directory = common::directory();
    fill(&open(directory.path()), 0..5);
    let path = directory.path().join("wal.log");
    let mut log = fs::read(&path).unwrap();
    log.truncate(log.iter().rposition(|&byte| byte != 0).unwrap() + 1);
    for at in (0..log.len()).step_by(3) {
        let mut broken = log.clone();
        broken[at] ^= 0x20;
        fs::write(&path, &broken).unwrap();
        let (report, kept, _) = repaired(directory.path());
        let (_, everything, _) = salvaged(directory.path());
        let opened = contents(&open(directory.path())); // last: it cuts
        assert_eq!(kept, opened, "byte {at}");
        assert!(report.is_prefix, "byte {at}");
        let [left_out] = &report.left_out[..] else { panic!("{report}") };
        assert_eq!(left_out.entries as usize, everything.len() - kept.len(), "byte {at}");
        assert!(everything.len() >= 4, "all but what was hit, byte {at}");
        fs::remove_dir_all(directory.path().join("quarantine")).unwrap();
    }
}

#[test]
fn a_torn_tail_is_nothing_lost() {
    let directory = common::directory();
    fill(&open(directory.path()), 0..3);
    edit(&directory.path().join("wal.log"), |bytes| {
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        bytes.truncate(used - 2);
    });
    let (report, found, text) = repaired(directory.path());
    assert_eq!(found, model(0..2));
    assert!(report.is_complete() && !report.left_out[0].lost);
    assert!(text.contains("It is complete"), "{text}");
}

#[test]
fn of_a_damaged_snapshot_repair_keeps_what_is_before_and_the_log_on_top() {
    let directory = both();
    let at = 20 + 20 * ENTRY;
    flip(directory.path(), "snapshot.dat", at + 6); // in the entry of record 20
    assert_eq!(open_error(directory.path()), ErrorKind::Corrupt);
    let (report, found, text) = repaired(directory.path());
    let mut expected = both_model();
    for number in 20..40 {
        expected.remove(key(number).as_bytes());
    }
    assert_eq!(found, expected);
    assert!(!report.is_prefix && !report.is_complete());
    assert_eq!(report.complete_up_to.as_deref(), Some(key(19).as_bytes()));
    let left_out = &report.left_out[0];
    assert_eq!((left_out.offset, left_out.entries), (at as u64, 19));
    assert_eq!(left_out.len, (20 * ENTRY) as u64);
    for part in ["NOT a state", "19 valid entries", "up to the key \"key:0019\"", "not changed"] {
        assert!(text.contains(part), "{part} in {text}");
    }

    let (report, found, text) = salvaged(directory.path());
    let mut expected = both_model();
    expected.remove(key(20).as_bytes());
    assert_eq!(found, expected);
    assert_eq!((report.applied_behind, report.is_prefix), (19, false));
    assert_eq!((report.left_out[0].offset, report.left_out[0].len), (at as u64, ENTRY as u64));
    assert!(text.contains("NOT a state"), "{text}");
}

fn open_error(path: &Path) -> ErrorKind {
    Options::new().read_only(true).open(path).unwrap_err().kind()
}

#[test]
fn a_flipped_bit_anywhere_in_a_snapshot_costs_a_salvage_one_record() {
    let directory = common::directory();
    let store = open_os(directory.path());
    fill(&store, 0..8);
    store.close().unwrap();
    let path = directory.path().join("snapshot.dat");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        flip(directory.path(), "snapshot.dat", at);
        let place = common::directory();
        let to = place.path().join("new");
        salvage(directory.path(), &to).unwrap();
        let hit = at.checked_sub(20).map(|at| (at / ENTRY) as u32);
        let expected = model((0..8).filter(|&number| Some(number) != hit));
        assert_eq!(contents(&open(&to)), expected, "byte {at}");
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_log_that_has_the_whole_history_stands_in_for_its_damaged_snapshot() {
    let directory = common::directory();
    fill(&open(directory.path()), 0..30);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    open(directory.path()).close().unwrap();
    // As if the process had died between the snapshot's rename and the log's replacement, and the
    // disk had lied about the snapshot.
    fs::write(directory.path().join("wal.log"), log).unwrap();
    flip(directory.path(), "snapshot.dat", 100);
    let (report, found, _) = repaired(directory.path());
    assert_eq!(found, model(0..30));
    assert!(report.is_complete());
    assert_eq!(salvaged(directory.path()).1, model(0..30));
    // A log that is not whole does not: then the entries before the damage are what there is.
    flip(directory.path(), "wal.log", 500);
    let (report, found, _) = repaired(directory.path());
    assert_eq!((found, report.is_prefix), (model(0..2), false));
    assert_eq!(salvaged(directory.path()).1, model(0..30), "each from where it can be read");
}

#[test]
fn what_is_in_a_sound_snapshot_is_not_overwritten_by_older_entries_behind_damage() {
    let directory = common::directory();
    let store = open(directory.path());
    store.set("a", "old").unwrap();
    store.set("b", "old").unwrap();
    drop(store);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    let store = open(directory.path());
    store.set("a", "new").unwrap();
    store.delete("b").unwrap();
    store.close().unwrap();
    // A covered log whose opening mark is gone: nothing in it says so but its timestamps.
    fs::write(directory.path().join("wal.log"), log).unwrap();
    flip(directory.path(), "wal.log", 10);
    let (report, found, _) = salvaged(directory.path());
    assert_eq!(found, Model::from([(b"a".to_vec(), b"new".to_vec())]));
    assert_eq!(report.outdated, 2);
}

#[test]
fn older_entries_behind_damage_fill_in_what_a_damaged_snapshot_lacks_and_nothing_else() {
    let directory = common::directory();
    let store = open(directory.path());
    for (key, value) in [("a", "old"), ("b", "old"), ("c", "old")] {
        store.set(key, value).unwrap();
    }
    drop(store);
    let log = fs::read(directory.path().join("wal.log")).unwrap();
    let store = open(directory.path());
    store.set("c", "new").unwrap();
    store.close().unwrap();
    fs::write(directory.path().join("wal.log"), log).unwrap();
    flip(directory.path(), "wal.log", 10); // the opening mark, which says that it is covered
    flip(directory.path(), "snapshot.dat", 20 + 4); // the key "a"
    let (report, found, _) = salvaged(directory.path());
    let pairs = [("a", "old"), ("b", "old"), ("c", "new")];
    assert_eq!(found, pairs.map(|(key, value)| (key.into(), value.into())).into());
    assert_eq!(report.outdated, 2);
}

#[test]
fn a_log_whose_snapshot_is_missing_is_left_out_by_repair_and_used_by_salvage() {
    let directory = both();
    fs::remove_file(directory.path().join("snapshot.dat")).unwrap();
    let (report, found, _) = repaired(directory.path());
    assert!(found.is_empty() && !report.is_complete());
    assert_eq!(report.left_out[0].entries, 16);
    let mut expected = model(40..50);
    expected.insert(key(5).into(), b"anew".to_vec());
    assert_eq!(salvaged(directory.path()).1, expected);
}

#[test]
fn with_a_damaged_header_the_log_is_used_unless_it_is_damaged_too() {
    for at in [0, 5, 13, 17] {
        let directory = both();
        flip(directory.path(), "snapshot.dat", at);
        let (report, found, _) = repaired(directory.path());
        assert_eq!(found, both_model(), "byte {at}");
        assert!(!report.is_prefix);

        // Without its last entry the log cannot be told from one that the snapshot covers, unless
        // the header, damaged or not, names the time that the log builds on.
        edit(&directory.path().join("wal.log"), |bytes| {
            let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            bytes.truncate(used - 1);
        });
        let (report, found, _) = repaired(directory.path());
        let corroborated = !(4..12).contains(&at);
        assert_eq!(found.len(), if corroborated { 45 } else { 40 }, "byte {at}: {report}");
        assert_eq!(found.contains_key(key(41).as_bytes()), corroborated, "byte {at}");
        assert_eq!(salvaged(directory.path()).1.len(), 45);
    }
}

#[test]
fn deletes_behind_damage_are_applied_in_their_order() {
    let directory = common::directory();
    let store = open(directory.path());
    for change in 0..6 {
        match change {
            0 => store.set("hit", "by the damage").unwrap(),
            1 => store.set("gone", "1").unwrap(),
            2 => store.set("back", "1").unwrap(),
            3 => assert!(store.delete("gone").unwrap()),
            4 => assert!(store.delete("back").unwrap()),
            _ => store.set("back", "2").unwrap(),
        }
    }
    drop(store);
    flip(directory.path(), "wal.log", 60);
    let (report, found, _) = salvaged(directory.path());
    assert_eq!(found, Model::from([(b"back".to_vec(), b"2".to_vec())]));
    assert_eq!(report.applied_behind, 5);
}

#[test]
fn sealed_logs_are_applied_in_order_and_none_behind_a_broken_one() {
    let keep = Options::new().close_checkpoint(CloseCheckpoint::Never);
    let directory = common::directory();
    for (name, number) in [("wal-7.log", 1), ("wal-20.log", 2), ("wal.log", 3)] {
        let part = common::directory();
        let store = keep.open(part.path()).unwrap();
        store.set("key", format!("{number}")).unwrap();
        store.set(key(number), "1").unwrap();
        store.close().unwrap();
        fs::copy(part.path().join("wal.log"), directory.path().join(name)).unwrap();
    }
    let (report, found, _) = repaired(directory.path());
    assert_eq!((found.len(), &found[&b"key"[..]]), (4, &b"3".to_vec()));
    assert!(report.is_complete());
    flip(directory.path(), "wal-20.log", 60); // "key" is "2"
    let (report, found, _) = repaired(directory.path());
    assert_eq!((found.len(), &found[&b"key"[..]]), (2, &b"1".to_vec()));
    assert!(report.is_prefix && !report.is_complete());
    assert_eq!(report.left_out.len(), 2);
    let (_, found, _) = salvaged(directory.path());
    assert_eq!((found.len(), &found[&b"key"[..]]), (4, &b"3".to_vec()));
}

#[test]
fn quarantined_bytes_can_be_salvaged_as_a_log() {
    let directory = common::directory();
    fill(&open(directory.path()), 0..6);
    flip(directory.path(), "wal.log", 150);
    let store = open(directory.path());
    let quarantine = store.recovery_report().quarantine.clone().unwrap();
    assert_eq!(contents(&store), model(0..1));
    let aside = common::directory();
    fs::copy(quarantine, aside.path().join("wal.log")).unwrap();
    assert_eq!(salvaged(aside.path()).1, model(2..6));
}

#[test]
fn a_new_directory_that_is_not_empty_or_lies_in_the_old_one_is_refused() {
    let directory = both();
    let before = state(directory.path());
    let place = common::directory();
    fs::write(place.path().join("file"), b"mine").unwrap();
    symlink(directory.path(), place.path().join("link")).unwrap();
    let inside = directory.path().join("new");
    let refused = [
        (place.path().to_path_buf(), "is not empty"),
        (directory.path().to_path_buf(), "lies in the directory"),
        (inside.join("deep/er"), "lies in the directory"),
        (place.path().join("link/new"), "lies in the directory"),
        (inside, "lies in the directory"),
    ];
    for (to, why) in refused {
        for outcome in [repair(directory.path(), &to), salvage(directory.path(), &to)] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
    assert_eq!(
        repair(directory.path(), place.path().join("file")).unwrap_err().os_error(),
        Some(20)
    );
    assert_eq!(state(directory.path()), before);
    assert_eq!(names(place.path()), ["file", "link"]);
}

#[test]
fn an_empty_new_directory_is_used_and_an_error_leaves_none() {
    let directory = both();
    let place = common::directory();
    repair(directory.path(), place.path()).unwrap();
    assert_eq!(contents(&open(place.path())), both_model());

    let store = open(directory.path());
    let error = repair(directory.path(), place.path().join("new")).unwrap_err();
    assert_eq!((error.kind(), error.lock_holder()), (ErrorKind::Locked, Some(std::process::id())));
    assert!(!place.path().join("new").exists());
    drop(store);
}

#[test]
fn timestamps_do_not_go_back_in_the_new_directory() {
    let directory = both();
    let place = common::directory();
    let to = place.path().join("new");
    repair(directory.path(), &to).unwrap();
    let old = verify(directory.path()).unwrap().snapshot.unwrap().timestamp;
    assert!(verify(&to).unwrap().snapshot.unwrap().timestamp > old);
    let store = open(&to);
    store.set("after", "it").unwrap();
    drop(store);
    assert_eq!(contents(&open(&to)).len(), both_model().len() + 1, "the log builds on it");
}

/// Random bytes as files: no panic, and whatever is written opens.
#[test]
fn files_of_random_bytes_and_spliced_files_give_a_directory_that_opens() {
    let source = both();
    let parts = ["snapshot.dat", "wal.log"].map(|name| fs::read(source.path().join(name)).unwrap());
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut sizes = BTreeSet::new();
    for round in 0..150 {
        let directory = common::directory();
        for (name, part) in ["snapshot.dat", "wal.log"].iter().zip(&parts) {
            let mut bytes = part[..part.len().min(4000)].to_vec();
            for _ in 0..next(6) {
                let (at, len) = (next(bytes.len()), next(300));
                match next(4) {
                    0 => bytes[at] ^= 1 << next(8),
                    1 => drop(bytes.drain(at..(at + len).min(bytes.len() - 1).max(at))),
                    2 => {
                        let copy = bytes[at..(at + len).min(bytes.len())].to_vec();
                        let to = next(bytes.len());
                        bytes.splice(to..to, copy);
                    }
                    _ => bytes[at] = next(256) as u8,
                }
            }
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        let (kept, _, _) = repaired(directory.path());
        let (everything, _, _) = salvaged(directory.path());
        sizes.insert(everything.records);
        assert!(everything.applied + everything.outdated >= kept.applied, "round {round}");
    }
    assert!(sizes.len() > 5, "{sizes:?}");
}
