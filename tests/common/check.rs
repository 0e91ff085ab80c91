//! What must hold of every directory, whatever bytes its files have. The fuzz target
//! `open_directory` includes this file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kvstore::{ErrorKind, Options, RecoveryReport, Result, Store};

use super::reading::{Cut, Files, Model, Reading, read};
use super::reference::{put_log_checksums, put_snapshot_checksums};

/// How a store is opened: a caller that measures puts itself in between.
pub type Open<'a> = &'a mut dyn FnMut(&Options, &Path) -> Result<Store>;

/// What opening came to, to be compared.
#[derive(Debug, PartialEq)]
enum Outcome {
    Opened { model: Model, report: RecoveryReport },
    Refused { kind: ErrorKind, file: String, offset: Option<u64>, message: String },
}

/// Opens the directory `place`, which is emptied first, with these files: for reading twice,
/// strictly, and for writing; writes, and opens what that leaves.
pub fn check(place: &Path, files: &Files, open: Open<'_>) -> Reading {
    let expected = read(files);
    prepare(place, files);
    let read_only = Options::new().read_only(true);
    if files.named().is_empty() {
        let error = open(&read_only, place).unwrap_err();
        assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(2)), "{error}");
        assert_files(place, files);
        let store = open(&Options::new(), place).unwrap();
        check_use(place, Model::new(), store, open);
        return expected;
    }

    let outcome = outcome_of(open(&read_only, place), place);
    judge(&outcome, &expected);
    assert_eq!(outcome_of(open(&read_only, place), place), outcome, "opened once more");
    let strict = outcome_of(open(&read_only.clone().strict_recovery(true), place), place);
    match &expected {
        Reading::State { damage: Some(cut), .. } => {
            let Outcome::Refused { kind, file, offset, .. } = &strict else {
                panic!("opened strictly, where {cut:?} is damaged");
            };
            assert_eq!((*kind, file), (ErrorKind::Corrupt, &cut.log));
            assert_eq!(*offset, Some(cut.bytes.start as u64));
        }
        _ => assert_eq!(strict, outcome, "strict recovery refuses damage and nothing else"),
    }
    assert!(names(place).iter().all(|name| name.ends_with(".dat") || name.ends_with(".log")));
    assert_files(place, files);

    let store = open(&Options::new(), place);
    match (outcome, &expected, store) {
        (Outcome::Opened { model, report }, Reading::State { cuts, .. }, Ok(store)) => {
            check_cuts(place, files, cuts, &report, store.recovery_report());
            check_use(place, model, store, open);
        }
        (refused, _, store) => {
            assert_eq!(outcome_of(store, place), refused, "for writing as for reading");
            assert!(!place.join("quarantine").exists());
            assert_files(place, files);
        }
    }
    expected
}

/// Flags of an input of the fuzz target `open_directory`: which files there are, and that their
/// checksums are to be made right.
pub const HAS_SNAPSHOT: u8 = 1;
pub const HAS_LOG: u8 = 2;
pub const RIGHT_CHECKSUMS: u8 = 4;
pub const HAS_SEALED: [u8; 2] = [8, 16];

/// Checks the directory that an input of the fuzz target stands for.
pub fn check_input(place: &Path, input: &[u8], open: Open<'_>) {
    if let Some(files) = files_of(input) {
        check(place, &files, open);
    }
}

/// What an input stands for: flags, the snapshot behind its length in two bytes, each sealed log
/// behind the generation in its name in eight bytes and its length in two, and the log.
pub fn files_of(input: &[u8]) -> Option<Files> {
    let (&flags, mut rest) = input.split_first()?;
    let snapshot = take(&mut rest)?;
    let snapshot = (flags & HAS_SNAPSHOT != 0).then(|| snapshot.to_vec());
    let mut files = Files { snapshot, ..Files::default() };
    for flag in HAS_SEALED {
        if flags & flag != 0
            && let Some((generation, behind)) = rest.split_first_chunk()
        {
            rest = behind;
            let log = take(&mut rest).unwrap_or_default().to_vec();
            files.sealed.insert(u64::from_be_bytes(*generation), log);
        }
    }
    files.log = (flags & HAS_LOG != 0).then(|| rest.to_vec());
    if flags & RIGHT_CHECKSUMS != 0 {
        files.snapshot.iter_mut().for_each(|snapshot| put_snapshot_checksums(snapshot));
        files.sealed.values_mut().chain(&mut files.log).for_each(|log| put_log_checksums(log));
    }
    Some(files)
}

/// Takes the bytes behind their number off the front, as many of them as there are.
fn take<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = input.split_first_chunk()?;
    let (taken, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*len).into()));
    *input = rest;
    Some(taken)
}

/// Empties the directory `place` and puts these files there.
pub fn prepare(place: &Path, files: &Files) {
    for name in names(place) {
        let path = place.join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
    }
    for (name, bytes) in files.named() {
        fs::write(place.join(name), bytes).unwrap();
    }
}

fn names(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The files are as they were written, and no log or snapshot has been added.
fn assert_files(place: &Path, files: &Files) {
    for (name, bytes) in files.named() {
        assert!(fs::read(place.join(&name)).unwrap() == bytes, "{name} is as it was");
    }
    let is_data = |name: &String| name.ends_with(".dat") || name.ends_with(".log");
    assert_eq!(names(place).into_iter().filter(is_data).count(), files.named().len());
}

fn outcome_of(opened: Result<Store>, place: &Path) -> Outcome {
    match opened {
        Ok(store) => {
            Outcome::Opened { model: contents(&store), report: store.recovery_report().clone() }
        }
        Err(error) => {
            let path = error.path().unwrap_or_else(|| panic!("no path in {error}"));
            assert!(path.starts_with(fs::canonicalize(place).unwrap()), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            let (kind, file, offset) = (error.kind(), name_of(path), error.offset());
            Outcome::Refused { kind, file, offset, message: error.to_string() }
        }
    }
}

fn contents(store: &Store) -> Model {
    let mut found = BTreeMap::new();
    for item in store.scan(..) {
        let (key, value) = item.unwrap();
        assert_eq!(store.get(&key).unwrap().as_deref(), Some(&*value), "get agrees with scan");
        assert_eq!(found.insert(key.to_vec(), value.to_vec()), None, "each key is seen once");
    }
    assert_eq!(store.len(), found.len(), "len agrees with scan");
    found
}

/// The library read what the format says is there.
fn judge(outcome: &Outcome, expected: &Reading) {
    match (outcome, expected) {
        (Outcome::Opened { model, report }, Reading::State { model: wanted, cuts, damage }) => {
            assert_eq!(model, wanted);
            let cut: usize = cuts.iter().map(|cut| cut.bytes.len()).sum();
            assert_eq!(report.bytes_cut as usize, cut, "{report:?}");
            let first = cuts.first();
            let offset = first.map(|cut| cut.bytes.start as u64);
            assert_eq!(report.cut_offset, offset, "{report:?}");
            let log = report.cut_log.as_deref().map(name_of);
            assert_eq!(log.as_ref(), first.map(|cut| &cut.log), "{report:?}");
            assert_eq!(report.cut_reason.is_some(), first.is_some(), "{report:?}");
            assert_eq!(report.damaged, damage.is_some(), "{report:?}");
            assert_eq!(report.quarantine, None, "nothing is cut for reading");
        }
        (
            Outcome::Refused { kind, offset, message, .. },
            Reading::Corrupt | Reading::Unsupported,
        ) => {
            let corrupt = matches!(expected, Reading::Corrupt);
            let wanted = if corrupt { ErrorKind::Corrupt } else { ErrorKind::Unsupported };
            assert_eq!(*kind, wanted, "{message}");
            assert!(offset.is_some(), "{message}");
        }
        _ => panic!("{outcome:?}, where the format says {expected:?}"),
    }
}

/// What was cut is what reading found not to be replayed, and it was kept.
fn check_cuts(
    place: &Path,
    files: &Files,
    cuts: &[Cut],
    reading: &RecoveryReport,
    writing: &RecoveryReport,
) {
    let mut expected = reading.clone();
    expected.quarantine.clone_from(&writing.quarantine);
    assert_eq!((writing, writing.quarantine.is_some()), (&expected, !cuts.is_empty()));
    let quarantine = fs::canonicalize(place).unwrap().join("quarantine");
    let mut kept = if cuts.is_empty() { Vec::new() } else { names(&quarantine) };
    assert_eq!(kept.len(), cuts.len());
    for Cut { log, bytes } in cuts {
        let end = format!("-{log}-{}", bytes.start);
        let at = kept.iter().position(|name| name.ends_with(&end));
        let copy = quarantine.join(kept.remove(at.unwrap_or_else(|| panic!("{log} is kept"))));
        assert!(writing.quarantine.as_ref() == Some(&copy) || *log != cuts[0].log);
        let before = files.file(log).unwrap();
        assert_eq!(fs::read(copy).unwrap(), before[bytes.clone()], "the very bytes");
        // One that is not replayed is removed, or replaced by an empty one.
        let left = fs::read(place.join(log)).unwrap_or_default();
        if !left.is_empty() {
            assert_eq!(left[..bytes.start], before[..bytes.start]);
        }
        assert!(
            left.iter().skip(bytes.start).all(|&byte| byte == 0),
            "zeros follow the last entry"
        );
    }
}

/// A store that was opened takes writes, and keeps them.
fn check_use(place: &Path, mut model: Model, store: Store, open: Open<'_>) {
    assert_eq!(contents(&store), model);
    if let Some((key, _)) = model.pop_first() {
        assert!(store.delete(key).unwrap());
    }
    store.set("written after", "the check").unwrap();
    model.insert(b"written after".to_vec(), b"the check".to_vec());
    drop(store);
    let again = open(&Options::new().strict_recovery(true), place).unwrap();
    assert_eq!(again.recovery_report().bytes_cut, 0, "it was cut before the first append");
    assert_eq!(contents(&again), model);
    again.close().unwrap();
    let sealed = names(place).into_iter().find(|name| name.starts_with("wal-"));
    assert_eq!(sealed, None, "a close leaves no sealed log");
    let closed = open(&Options::new(), place).unwrap();
    assert!(closed.recovery_report().is_clean());
    assert_eq!(contents(&closed), model);
}
