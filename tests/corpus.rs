//! The seeds of the fuzz targets in `fuzz/`: what is committed is what is made here, and every
//! input of `open_directory` is replayed. (The decoders' inputs are, in `src/fuzzing.rs`.)
//!
//! `KVSTORE_TEST_WRITE_CORPUS=1` writes the seeds.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::check::{HAS_LOG, HAS_SEALED, HAS_SNAPSHOT, RIGHT_CHECKSUMS};
use common::check::{check_input, files_of, prepare};
use common::hostile::directory_in_memory;
use common::reading::{Reading, read};
use common::reference::{CONTINUES, DELETE, LogEntry, MARK, Pair, SET, encode_snapshot};

type Inputs = BTreeMap<&'static str, Vec<u8>>;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn golden(path: &str) -> Vec<u8> {
    fs::read(common::golden_path(path)).unwrap()
}

fn entry(operation: u8, timestamp: i64, key: &[u8], value: &[u8]) -> Vec<u8> {
    LogEntry { operation, timestamp, key: key.to_vec(), value: value.to_vec() }.encode()
}

fn mark(timestamp: i64, generation: u64, base: i64) -> Vec<u8> {
    LogEntry::mark(timestamp, generation, base).encode()
}

fn continues(timestamp: i64, generation: u64, end: u64, synced: u64) -> Vec<u8> {
    LogEntry::continues(timestamp, generation, end, synced).encode()
}

/// A log as the library writes it: a mark before each synced group, the last group longer.
fn synced_log(base: i64) -> Vec<u8> {
    [
        mark(10, 5, base),
        entry(SET, 10, b"a", b"1"),
        mark(11, 5, base),
        entry(SET, 12, b"b", b"2"),
        entry(DELETE, 13, b"a", b""),
        mark(14, 5, base),
        entry(SET, 15, b"", b"an empty key"),
        entry(SET, 16, b"an empty value", b""),
    ]
    .concat()
}

fn batch_entries() -> Vec<LogEntry> {
    let entry = |operation, timestamp, key: &[u8], value: &[u8]| LogEntry {
        operation,
        timestamp,
        key: key.to_vec(),
        value: value.to_vec(),
    };
    vec![
        entry(SET, 21, b"a", b"of the batch"),
        entry(DELETE, 22, b"b", b""),
        entry(SET, 23, b"d", b""),
        entry(SET, 24, b"a", b"again"),
    ]
}

/// Sets and deletes that take effect together.
fn batch() -> Vec<u8> {
    let entries = batch_entries();
    let header = LogEntry::batch(20, &entries).encode();
    entries.iter().fold(header, |bytes, entry| with(&bytes, &entry.encode()))
}

/// The header of a batch, and some of its entries.
fn batch_header(count: usize) -> Vec<u8> {
    let entries = batch_entries();
    let mut bytes = LogEntry::batch(20, &entries).encode();
    entries[..count - 1].iter().for_each(|entry| bytes.extend(entry.encode()));
    bytes
}

/// The byte at `at` is not what was written.
fn damaged(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0x20;
    bytes
}

fn with(bytes: &[u8], more: &[u8]) -> Vec<u8> {
    [bytes, more].concat()
}

/// `bytes` with a length field that leads out of any file.
fn endless(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at..at + 4].fill(0xFF);
    bytes
}

fn logs() -> Inputs {
    let log = synced_log(0);
    let torn = log[..log.len() - 3].to_vec();
    Inputs::from([
        ("go", golden("wal-only/wal.log")),
        ("synced", log.clone()),
        ("preallocated", with(&log, &[0; 300])),
        ("torn", with(&torn, &[0; 100])),
        ("torn-in-zeros", with(&with(&torn, &[0; 100]), b"a later sector")),
        ("damaged-before-a-mark", damaged(log.clone(), 50)),
        ("damaged-opening-mark", damaged(log.clone(), 3)),
        ("damaged-in-the-last-group", damaged(log.clone(), log.len() - 20)),
        ("key-of-four-gibibytes", endless(log.clone(), 41 + 13)),
        ("value-of-four-gibibytes", endless(log.clone(), 41 + 13 + 5)),
        ("unknown-operation", with(&log, &entry(0x2a, 20, b"", &[0; 12]))),
        ("batch", with(&log, &batch())),
        ("batch-torn", with(&log, &batch()[..batch().len() - 5])),
        ("batch-damaged-before-a-mark", with(&damaged(batch(), 60), &mark(50, 5, 0))),
        ("batch-of-no-entry", with(&log, &LogEntry::batch(20, &[]).encode())),
        ("batch-of-four-thousand-million", with(&log, &endless(batch(), 13 + 4 + 4))),
        ("batch-with-a-mark", with(&log, &with(&batch_header(2), &mark(50, 5, 0)))),
        ("batch-in-a-batch", with(&log, &with(&batch_header(2), &batch()))),
        (
            "batch-with-an-unknown-operation",
            with(&log, &with(&batch_header(1), &entry(0x2a, 20, b"", b""))),
        ),
        ("mark-with-a-key", with(&log, &entry(MARK, 20, b"key", &[1; 16]))),
        ("mark-too-short", with(&log, &entry(MARK, 20, b"", &[1; 15]))),
        ("mark-of-another-log", with(&log, &mark(20, 6, 0))),
        ("marks-at-the-extremes", with(&mark(i64::MIN, u64::MAX, 0), &mark(i64::MAX, 0, 1))),
        ("entry-in-a-value", with(&entry(SET, 1, b"k", &mark(1, 5, 0)), &log)),
        ("continues", with(&mark(10, 5, 0), &continues(10, 4, 100, 90))),
        ("continues-amid-the-log", with(&log, &continues(20, 4, 100, 90))),
        ("continues-with-a-key", with(&mark(10, 5, 0), &entry(CONTINUES, 20, b"key", &[1; 24]))),
        ("continues-too-short", with(&mark(10, 5, 0), &entry(CONTINUES, 20, b"", &[1; 23]))),
        ("batch-that-continues", with(&log, &with(&batch_header(2), &continues(50, 4, 0, 0)))),
        ("delete-with-a-value", entry(DELETE, 1, b"k", b"v")),
        ("magic-alone", b"KVLG".to_vec()),
        ("zeros", vec![0; 64]),
        ("empty", Vec::new()),
    ])
}

fn pairs(keys: &[&str]) -> Vec<Pair> {
    keys.iter().map(|key| (key.as_bytes().to_vec(), format!("is {key}").into_bytes())).collect()
}

fn snapshots() -> Inputs {
    let three = pairs(&["", "b", "c"]);
    let snapshot = encode_snapshot(100, 3, &three);
    Inputs::from([
        ("go", golden("crash/snapshot.dat")),
        ("go-empty", golden("empty/snapshot.dat")),
        ("three", snapshot.clone()),
        ("trailer", with(&snapshot, b"KVSX\0\0\0\x01\0\0\0\0")),
        ("unordered", encode_snapshot(100, 3, &pairs(&["c", "a", "b"]))),
        ("same-key-twice", encode_snapshot(100, 2, &[three[1].clone(), pairs(&["b"]).remove(0)])),
        ("counts-one-more", encode_snapshot(100, 4, &three)),
        ("counts-one-less", encode_snapshot(100, 2, &three)),
        ("counts-four-thousand-million", encode_snapshot(100, u32::MAX, &three)),
        ("before-1970", encode_snapshot(-3, 3, &three)),
        ("earliest", encode_snapshot(i64::MIN, 3, &three)),
        ("latest", encode_snapshot(i64::MAX, 3, &three)),
        ("torn", snapshot[..snapshot.len() - 2].to_vec()),
        ("damaged", damaged(snapshot.clone(), 30)),
        ("damaged-header", damaged(snapshot.clone(), 6)),
        ("key-of-four-gibibytes", endless(snapshot, 20)),
        ("header-alone", encode_snapshot(100, 0, &[])),
        ("half-a-header", b"KVSP\0\0\0".to_vec()),
    ])
}

fn directory(flags: u8, snapshot: &[u8], log: &[u8]) -> Vec<u8> {
    directory_with_sealed(flags, snapshot, &[], log)
}

fn directory_with_sealed(
    mut flags: u8,
    snapshot: &[u8],
    sealed: &[(u64, &[u8])],
    log: &[u8],
) -> Vec<u8> {
    let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let mut input = [len(snapshot).as_slice(), snapshot].concat();
    for (&flag, &(generation, log)) in HAS_SEALED.iter().zip(sealed) {
        flags |= flag;
        input.extend([&generation.to_be_bytes(), len(log).as_slice(), log].concat());
    }
    [&[flags], input.as_slice(), log].concat()
}

fn directories() -> Inputs {
    let both = |snapshot: &[u8], log: &[u8]| directory(HAS_SNAPSHOT | HAS_LOG, snapshot, log);
    let only_log = |log: &[u8]| directory(HAS_LOG, &[], log);
    let snapshot = encode_snapshot(100, 3, &pairs(&["", "b", "c"]));
    let log = synced_log(100);
    let newer = entry(SET, 200, b"newer", b"than the snapshot");
    Inputs::from([
        ("nothing", directory(0, &[], &[])),
        ("snapshot", directory(HAS_SNAPSHOT, &snapshot, &[])),
        ("log", only_log(&synced_log(0))),
        ("both", both(&snapshot, &log)),
        ("right-checksums", directory(HAS_SNAPSHOT | HAS_LOG | RIGHT_CHECKSUMS, &snapshot, &log)),
        ("trailer", directory(HAS_SNAPSHOT, &with(&snapshot, b"KVSX and more"), &[])),
        ("go", both(&golden("crash/snapshot.dat"), &golden("wal-only/wal.log"))),
        ("torn", both(&snapshot, &log[..log.len() - 1])),
        ("damaged", both(&snapshot, &damaged(log.clone(), 60))),
        ("damaged-snapshot", both(&damaged(snapshot.clone(), 25), &log)),
        ("covered", both(&snapshot, &synced_log(99))),
        ("covered-but-for-an-entry", both(&snapshot, &with(&synced_log(99), &newer))),
        ("snapshot-missing", only_log(&log)),
        ("snapshot-missing-from-before-1970", only_log(&synced_log(-3))),
        ("snapshot-older", both(&encode_snapshot(50, 0, &[]), &log)),
        ("at-the-end-of-time", both(&encode_snapshot(i64::MAX, 0, &[]), &synced_log(i64::MAX))),
        ("unknown-operation", only_log(&entry(0x2a, 1, b"", b""))),
        ("batch", both(&snapshot, &with(&log, &batch()))),
        ("batch-torn", both(&snapshot, &with(&log, &batch()[..batch().len() - 1]))),
        ("batch-torn-and-more", only_log(&with(&batch_header(4), &synced_log(0)))),
    ])
}

/// Three logs, each of which continues the one before it, of generations 200, 300 and 400.
struct Chain {
    first: Vec<u8>,
    second: Vec<u8>,
    third: Vec<u8>,
}

impl Chain {
    /// Built on a snapshot of that time, the end of each log synced or not.
    fn new(base: i64, synced: bool) -> Chain {
        let synced_of = |log: &[u8]| if synced { log.len() as u64 } else { 0 };
        let log = |generation: u64, before: &[u8], entries: &[Vec<u8>]| {
            let time = generation as i64;
            let len = before.len() as u64;
            let said = continues(time, generation - 100, len, synced_of(before));
            let said = if before.is_empty() { Vec::new() } else { said };
            [mark(time, generation, base), said, entries.concat()].concat()
        };
        let first = [entry(SET, 201, b"a", b"first"), entry(SET, 202, b"d", b"first")];
        let first = log(200, &[], &first);
        let second = [entry(SET, 301, b"a", b"second"), entry(DELETE, 302, b"d", b"")];
        let second = log(300, &first, &second);
        let third = [entry(DELETE, 401, b"a", b""), entry(SET, 402, b"e", b"third")];
        let third = log(400, &second, &third);
        Chain { first, second, third }
    }
}

fn without_end(log: &[u8]) -> &[u8] {
    &log[..log.len() - 1]
}

/// Directories with sealed logs.
fn sealed_directories() -> Inputs {
    let snapshot = encode_snapshot(100, 3, &pairs(&["", "b", "c"]));
    let Chain { first, second, third } = Chain::new(100, false);
    let synced = Chain::new(100, true);
    let sealed = |sealed: &[(u64, &[u8])], log: &[u8]| {
        directory_with_sealed(HAS_SNAPSHOT | HAS_LOG, &snapshot, sealed, log)
    };
    let chain = [(200, &*first), (300, &*second)];
    let covering = encode_snapshot(250, 1, &pairs(&["a"]));
    let beside_covering =
        |log: &[u8]| directory_with_sealed(HAS_SNAPSHOT | HAS_LOG, &covering, &chain, log);
    let Chain { first: bare, second: behind_bare, .. } = Chain::new(0, false);
    let vouched = with(&third, &mark(403, 400, 100));
    let one_that_says_nothing = with(&mark(300, 300, 100), &entry(SET, 301, b"a", b"second"));
    let fourth = with(&mark(500, 500, 100), &continues(500, 300, second.len() as u64, 0));
    let older = with(&mark(500, 500, 100), &continues(500, 200, first.len() as u64, 0));
    let garbage = |log: &[u8]| with(log, b"torn");
    let unknown = with(&first, &entry(0x2a, 203, b"", b""));
    Inputs::from([
        ("sealed", sealed(&chain, &third)),
        (
            "sealed-without-snapshot",
            directory_with_sealed(HAS_LOG, &[], &[(200, &bare)], &behind_bare),
        ),
        ("sealed-without-log", directory_with_sealed(HAS_SNAPSHOT, &snapshot, &chain, &[])),
        ("sealed-before-an-empty-log", sealed(&chain, &[])),
        ("sealed-under-other-names", sealed(&[(201, &first), (300, &second)], &third)),
        ("sealed-in-another-order", sealed(&[(300, &first), (200, &second)], &third)),
        ("sealed-missing", sealed(&[(300, &second)], &third)),
        ("sealed-missing-and-vouched-for", sealed(&[(300, &second)], &vouched)),
        ("sealed-missing-that-was-synced", sealed(&[(200, &synced.first)], &synced.third)),
        ("sealed-torn", sealed(&[(200, without_end(&first)), (300, &second)], &third)),
        (
            "sealed-torn-that-was-synced",
            sealed(&[(200, without_end(&first)), (300, &synced.second)], &third),
        ),
        (
            "sealed-torn-and-vouched-for",
            sealed(&[(200, &first), (300, without_end(&second))], &vouched),
        ),
        (
            "sealed-damaged-before-a-mark",
            sealed(&[(200, &damaged(with(&first, &mark(203, 200, 100)), 60))], &second),
        ),
        (
            "sealed-and-garbage-behind-the-end",
            sealed(&[(200, &garbage(&first)), (300, &second)], &third),
        ),
        (
            "sealed-torn-and-log-that-says-nothing",
            sealed(&[(200, without_end(&first))], &one_that_says_nothing),
        ),
        (
            "sealed-broken-and-log-in-its-stead",
            sealed(&[(200, without_end(&first)), (300, &second)], &continuing_torn(&first)),
        ),
        (
            "sealed-broken-and-empty-before-the-log",
            sealed(&[(200, b"KVLG torn"), (300, &[])], &one_that_says_nothing),
        ),
        (
            "sealed-broken-before-an-empty-one",
            sealed(&[(200, &second), (300, &[])], &one_that_says_nothing),
        ),
        ("sealed-and-one-between", sealed(&chain, &older)),
        ("sealed-continued", sealed(&chain, &fourth)),
        ("sealed-covered", beside_covering(&third)),
        (
            "sealed-covered-and-torn",
            directory_with_sealed(
                HAS_SNAPSHOT | HAS_LOG,
                &covering,
                &[(200, without_end(&first)), (300, &second)],
                &third,
            ),
        ),
        (
            "sealed-covered-all",
            directory_with_sealed(
                HAS_SNAPSHOT | HAS_LOG,
                &encode_snapshot(350, 1, &pairs(&["a"])),
                &chain,
                &third,
            ),
        ),
        ("sealed-under-a-second-name", sealed(&[(200, &first), (300, &second)], &second)),
        ("sealed-as-the-log-but-earlier", sealed(&[(200, &second), (300, &first)], &second)),
        ("sealed-snapshot-missing", directory_with_sealed(HAS_LOG, &[], &chain, &[])),
        (
            "sealed-snapshot-older",
            directory_with_sealed(
                HAS_SNAPSHOT | HAS_LOG,
                &encode_snapshot(50, 0, &[]),
                &chain,
                &[],
            ),
        ),
        (
            "sealed-missing-says-one-that-no-mark-opens",
            sealed(&[], &with(&entry(SET, 1, b"k", b"v"), &continues(2, 150, 9, 9))),
        ),
        ("sealed-unknown-operation", sealed(&[(200, &unknown)], &second)),
        (
            "sealed-unmarked-beside-a-snapshot-from-before-1970",
            directory_with_sealed(
                HAS_SNAPSHOT | HAS_LOG,
                &encode_snapshot(-3, 0, &[]),
                &[(200, &entry(SET, 1, b"k", b"v"))],
                &[],
            ),
        ),
        (
            "sealed-right-checksums",
            directory_with_sealed(
                HAS_SNAPSHOT | HAS_LOG | RIGHT_CHECKSUMS,
                &snapshot,
                &chain,
                &third,
            ),
        ),
        ("sealed-at-the-extremes", sealed(&[(0, &first), (u64::MAX, &second)], &third)),
    ])
}

/// A log that was begun when the end of `before`, of generation 200, had been cut off.
fn continuing_torn(before: &[u8]) -> Vec<u8> {
    // Its last entry is the delete of a key of one byte.
    let end = (before.len() - entry(SET, 0, b"d", b"first").len()) as u64;
    let begun = with(&mark(500, 500, 100), &continues(500, 200, end, end));
    with(&begun, &entry(SET, 501, b"f", b"in its stead"))
}

/// The committed inputs of a target hold its seeds, and perhaps what fuzzing once found.
fn assert_committed(target: &str, seeds: &Inputs) {
    let place = corpus(target);
    if std::env::var_os("KVSTORE_TEST_WRITE_CORPUS").is_some() {
        fs::create_dir_all(&place).unwrap();
        seeds.iter().for_each(|(name, bytes)| fs::write(place.join(name), bytes).unwrap());
    }
    for (name, bytes) in seeds {
        let path = place.join(name);
        let committed = fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; see fuzz/README.md", path.display());
        });
        assert!(committed == *bytes, "{} is not what is made here", path.display());
    }
}

#[test]
fn the_committed_corpus_of_the_decoders_has_the_seeds() {
    assert_committed("decode_log", &logs());
    assert_committed("decode_snapshot", &snapshots());
}

#[test]
fn every_directory_of_the_corpus_opens_as_the_format_says_and_is_repaired_to_the_same() {
    assert_committed("open_directory", &directories());
    assert_committed("open_directory", &sealed_directories());
    let place = directory_in_memory();
    let (directory, new) = (place.path().join("directory"), place.path().join("new"));
    fs::create_dir(&directory).unwrap();
    let files = common::names(&corpus("open_directory"));
    assert!(files.len() >= 50);
    for name in files {
        println!("{name}");
        let input = fs::read(corpus("open_directory").join(&name)).unwrap();
        check_input(&directory, &input, &mut |options, path| options.open(path));
        let files = files_of(&input).unwrap();
        if let Reading::State { model, .. } = read(&files)
            && !files.named().is_empty()
        {
            prepare(&directory, &files);
            kvstore::repair(&directory, &new).unwrap();
            assert_eq!(common::contents(&common::open(&new)), model, "repaired");
            fs::remove_dir_all(&new).unwrap();
        }
    }
}
