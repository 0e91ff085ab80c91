//! No file content can crash the library, hang it, make it guess, or make it allocate out of
//! proportion to the files.
//!
//! `KVSTORE_TEST_SEED` repeats a run, `KVSTORE_TEST_CASES` makes it longer.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::check::{check, prepare};
use common::hostile::{Random, Watchdog, directory_in_memory};
use common::mutation::{mutated, random_files};
use common::reading::{Files, Reading};
use common::reference::{LogEntry, MARK, SET, encode_snapshot};
use counting::{Allocated, Counting, measure};
use kvstore::{CloseCheckpoint, Durability, Options, Store};
use parking_lot::Mutex;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Held by each test: what one thread retires is not freed while another is reading, and what it
/// had retired must not be freed on another's account.
static ALONE: Mutex<()> = Mutex::new(());

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Of this run, and of every case of it.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    setting("KVSTORE_TEST_SEED", now.as_nanos() as u64)
}

/// The cases of one kind: each is checked in full, and what each open allocates.
fn run(kind: &str, cases: u64, mut case: impl FnMut(&mut Random) -> Files) {
    let (seed, started) = (seed(), Instant::now());
    println!("{kind}: KVSTORE_TEST_SEED={seed}");
    let place = directory_in_memory();
    let watchdog = Watchdog::new(Duration::from_secs(30));
    let (mut opened, mut corrupt, mut unsupported) = (0, 0, 0);
    for number in 0..cases {
        let files = case(&mut Random::new(seed.wrapping_add(number)));
        let name = format!("{kind}: KVSTORE_TEST_SEED={} KVSTORE_TEST_CASES=1", seed + number);
        watchdog.begin(name.clone());
        let _named = NamedOnPanic(&name);
        match check_bounded(place.path(), &files) {
            Reading::State { .. } => opened += 1,
            Reading::Corrupt => corrupt += 1,
            Reading::Unsupported => unsupported += 1,
        }
    }
    println!(
        "{kind}: {cases} cases: {opened} opened, {corrupt} corrupt, {unsupported} unsupported, \
         in {:.1?}",
        started.elapsed()
    );
}

/// Says how to repeat the case that failed.
struct NamedOnPanic<'a>(&'a str);

impl Drop for NamedOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed case: {}", self.0);
        }
    }
}

fn check_bounded(place: &Path, files: &Files) -> Reading {
    let mut open = |options: &Options, place: &Path| {
        let len = len_of_files(place);
        let (opened, allocated) = measure(|| options.open(place));
        assert_bounded(len, allocated);
        opened
    };
    check(place, files, &mut open)
}

fn len_of_files(place: &Path) -> usize {
    let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|file| file.metadata().unwrap().len() as usize).sum()
}

/// A single request is bounded by the files, or is one of the few that an empty store makes; all
/// together are bounded by the index, which takes about 13 bytes for each entry of 12 or more.
fn assert_bounded(len: usize, allocated: Allocated) {
    let Allocated { peak, largest } = allocated;
    assert!(largest <= len.max(LARGEST_OF_EMPTY), "{largest} at once for {len} bytes");
    assert!(peak <= len + len / 3 + PEAK_OF_EMPTY, "{peak} in all for {len} bytes");
}

/// Bytes at once for a store without a record: what the index knows of its 256 shards.
const LARGEST_OF_EMPTY: usize = 16 << 10;

/// Bytes in all for a store of few records: least tables for 256 shards, and room in each for
/// four standard deviations more keys than its share.
const PEAK_OF_EMPTY: usize = 128 << 10;

/// What the library and the Go store leave: closed and crashed, with and without snapshot.
fn bases() -> Vec<Files> {
    let mut bases = vec![Files::default()];
    for name in ["clean", "crash", "wal-only", "empty"] {
        bases.push(files_in(&common::golden_path(name)));
    }
    for durability in [Durability::Sync, Durability::Os] {
        let place = directory_in_memory();
        let options = Options::new().durability(durability);
        let store = options.open(place.path()).unwrap();
        write_some(&store);
        bases.push(files_in(place.path()));
        store.close().unwrap();
        let store = options.open(place.path()).unwrap();
        write_some(&store);
        drop(store);
        bases.push(files_in(place.path()));
    }
    for (snapshot, synced) in [(false, true), (true, false), (true, true)] {
        bases.push(sealed_twice(snapshot, synced));
    }
    bases
}

/// What a process leaves that died before a checkpoint was done, and had tried one before.
fn sealed_twice(snapshot: bool, synced: bool) -> Files {
    let place = directory_in_memory();
    let durability = if synced { Durability::Sync } else { Durability::Os };
    let options = Options::new().durability(durability).checkpoint_bytes(0);
    let options = options.close_checkpoint(CloseCheckpoint::Never);
    let store = options.open(place.path()).unwrap();
    if snapshot {
        write_some(&store);
        store.checkpoint().unwrap();
    }
    fs::create_dir(place.path().join("snapshot.dat.tmp")).unwrap();
    for number in 0..2 {
        store.set(format!("sealed {number}"), "v").unwrap();
        write_some(&store);
        store.checkpoint().unwrap_err();
    }
    store.set("not sealed", "v").unwrap();
    store.delete("sealed 0").unwrap();
    drop(store);
    let files = files_in(place.path());
    assert_eq!((files.snapshot.is_some(), files.sealed.len()), (snapshot, 2));
    files
}

fn write_some(store: &Store) {
    for number in 0..20 {
        store.set(format!("key {number}"), "v".repeat(number)).unwrap();
        store.set(format!("key {}", number / 2), "").unwrap();
        store.delete(format!("key {}", number / 3)).unwrap();
    }
}

/// The files of a directory; of the zeros at a log's end, a few.
fn files_in(place: &Path) -> Files {
    let log = |name: &str| {
        let mut log = fs::read(place.join(name)).ok()?;
        let used = log.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        log.truncate(used + 50);
        Some(log)
    };
    let sealed = common::names(place).into_iter().filter_map(|name| {
        let generation = name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().unwrap();
        Some((generation, log(&name)?))
    });
    let sealed = sealed.collect();
    Files { snapshot: fs::read(place.join("snapshot.dat")).ok(), sealed, log: log("wal.log") }
}

#[test]
fn whatever_is_done_to_files_they_are_read_as_the_format_says_or_refused() {
    let _alone = ALONE.lock();
    let bases = bases();
    run("mutated files", setting("KVSTORE_TEST_CASES", 6_000), |random| {
        mutated(&random.pick(&bases), &bases, random)
    });
}

#[test]
fn random_bytes_are_refused_or_quarantined() {
    let _alone = ALONE.lock();
    run("random bytes", setting("KVSTORE_TEST_CASES", 2_000), random_files);
}

fn set(key: Vec<u8>, value: Vec<u8>) -> LogEntry {
    LogEntry { operation: SET, timestamp: 1, key, value }
}

/// The smallest entries that there are, in number, and others that make an estimate go wrong.
fn small_entries(count: usize) -> [(&'static str, Files); 6] {
    let key = |number: usize| number.to_be_bytes()[5..].to_vec();
    let snapshot = |key: &dyn Fn(usize) -> Vec<u8>| {
        let entries: Vec<_> = (0..count).map(|number| (key(number), Vec::new())).collect();
        Some(encode_snapshot(1, count as u32, &entries))
    };
    let log = |first: Vec<u8>| -> Vec<u8> {
        let entries = (0..count).map(|number| set(key(number), Vec::new()));
        let first = set(b"first".to_vec(), first);
        [first].into_iter().chain(entries).flat_map(|entry| entry.encode()).collect()
    };
    let (short, long) = (log(Vec::new()), log(vec![0; 300_000]));
    let sealed = [5, 6].map(|generation| (generation, short.clone())).into();
    let none = Files::default;
    [
        ("one key", Files { snapshot: snapshot(&|_| Vec::new()), ..none() }),
        ("snapshot", Files { snapshot: snapshot(&key), ..none() }),
        ("log", Files { log: Some(short.clone()), ..none() }),
        ("long, then short", Files { log: Some(long), ..none() }),
        (
            "snapshot and log",
            Files { snapshot: snapshot(&key), log: Some(short.clone()), ..none() },
        ),
        ("sealed logs", Files { sealed, ..none() }),
    ]
}

#[test]
fn the_index_is_in_proportion_to_the_files() {
    let _alone = ALONE.lock();
    for count in [0, 1, 10, 255, 1_000, 5_000, 20_000, 65_536, 300_000] {
        for (name, files) in small_entries(count) {
            let place = directory_in_memory();
            prepare(place.path(), &files);
            for options in [Options::new().read_only(true), Options::new()] {
                let (store, allocated) = measure(|| options.open(place.path()).unwrap());
                println!("{count} times {name}: {} bytes, {allocated:?}", files.len());
                assert_bounded(files.len(), allocated);
                assert!(store.len() <= count + 1);
            }
        }
    }
}

#[test]
fn zeros_behind_a_short_log_allocate_less_than_their_number() {
    let _alone = ALONE.lock();
    let place = directory_in_memory();
    let path = place.path().join("wal.log");
    fs::write(&path, set(b"key".to_vec(), Vec::new()).encode()).unwrap();
    let len = 64 << 20;
    fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
    let (store, allocated) = measure(|| Options::new().read_only(true).open(place.path()).unwrap());
    assert_eq!((store.len(), store.recovery_report().bytes_cut), (1, 0));
    assert_bounded(len as usize, allocated);
    assert!(store.stats().index_bytes < 64 << 10, "what was too much is given back");
}

/// A log that builds on a snapshot from before 1970 was taken for covered by a snapshot that is
/// not there, and dropped.
#[test]
fn a_log_on_a_missing_snapshot_of_a_negative_time_is_refused() {
    let _alone = ALONE.lock();
    let place = directory_in_memory();
    let entry = LogEntry { timestamp: -1, ..set(b"key".to_vec(), b"value".to_vec()) };
    let log = [LogEntry::mark(-2, 1, -3).encode(), entry.encode()].concat();
    let read = |snapshot| {
        check_bounded(place.path(), &Files { snapshot, log: Some(log.clone()), ..Files::default() })
    };
    assert_eq!(read(None), Reading::Corrupt);
    assert!(matches!(read(Some(encode_snapshot(-3, 0, &[]))), Reading::State { .. }));
}

/// An entry with a mark's operation and a key was taken for a mark, and hid that synced data
/// behind it was damaged.
#[test]
fn a_mark_with_a_key_vouches_for_nothing() {
    let _alone = ALONE.lock();
    let place = directory_in_memory();
    let mark = LogEntry::mark(1, 7, 0).encode();
    let keyed = LogEntry { operation: MARK, ..set(b"key".to_vec(), vec![b'v'; 16]) }.encode();
    let torn = b"torn".to_vec();
    let log = [mark.clone(), keyed, torn, mark].concat();
    let read = check_bounded(place.path(), &Files { log: Some(log), ..Files::default() });
    assert!(matches!(read, Reading::State { damage: Some(_), .. }), "{read:?}");
}
