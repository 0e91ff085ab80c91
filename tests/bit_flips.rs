//! Every single bit of a snapshot and of a log is flipped: each flip is noticed, and what opens is
//! the state before the entry that has it.

mod common;

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::hostile::{Random, Watchdog, directory_in_memory};
use common::reference::{DELETE, LogEntry, MARK, SET, log_entries, snapshot_entries};
use common::{Model, contents, names};
use kvstore::{ErrorKind, Options, Store};

const LEN: usize = 16 << 10;
const FLIPS: usize = LEN * 8;

/// One of so many flips is also opened for writing: one of each byte, not always the same.
const WRITING: usize = 8;

fn is_opened_for_writing(bit: usize) -> bool {
    bit % WRITING == (bit / 8) % WRITING
}

fn read_only() -> Options {
    Options::new().read_only(true)
}

/// Runs `work` for every byte of a file, on every processor; each thread has a place of its own.
fn for_every_byte(work: impl Fn(&Path, usize) + Sync) -> Duration {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let place = directory_in_memory();
                let watchdog = Watchdog::new(Duration::from_secs(60));
                loop {
                    let at = next.fetch_add(1, Relaxed);
                    if at >= LEN {
                        return;
                    }
                    watchdog.begin(format!("byte {at}"));
                    work(place.path(), at);
                }
            });
        }
    });
    started.elapsed()
}

/// Flips a bit of the file; flipping it again restores it.
fn flip(path: &Path, bit: usize) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit as u64 / 8).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, bit as u64 / 8).unwrap();
}

/// A directory of its own below `place`, with a file in it unless that is there from last time.
fn directory_with(place: &Path, name: &str, file: &str, bytes: &[u8]) -> PathBuf {
    let directory = place.join(name);
    if !directory.exists() {
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(file), bytes).unwrap();
    }
    directory
}

/// A snapshot of exactly `LEN` bytes, with an empty key, an empty value and a long one.
fn snapshot() -> Vec<u8> {
    let place = directory_in_memory();
    let store = Store::open(place.path()).unwrap();
    let mut left = LEN - 20;
    let mut set = |key: &[u8], value: &[u8]| {
        store.set(key, value).unwrap();
        left -= 12 + key.len() + value.len();
        left
    };
    set(b"", b"the value of the empty key");
    set(b"no value", b"");
    set(b"long", &[0xA5; 700]);
    let mut random = Random::new(1);
    let left = (0..)
        .map(|number| {
            let len = random.below(40);
            set(format!("key:{number:04}").as_bytes(), &random.bytes(len))
        })
        .find(|&left| left < 200)
        .unwrap();
    store.set("the rest", vec![0; left - 12 - 8]).unwrap();
    store.close().unwrap();
    let bytes = fs::read(place.path().join("snapshot.dat")).unwrap();
    assert_eq!(bytes.len(), LEN);
    bytes
}

#[test]
fn every_flipped_bit_of_a_snapshot_is_corrupt_and_named() {
    let bytes = snapshot();
    let entries = snapshot_entries(&bytes).unwrap().1;
    assert!(entries.len() > 200);
    // Where what each byte belongs to begins: the header, or an entry.
    let mut start_of = vec![0; 20];
    for (key, value) in &entries {
        let (start, len) = (start_of.len(), 12 + key.len() + value.len());
        start_of.resize(start + len, start);
    }
    let detected = AtomicUsize::new(0);
    let took = for_every_byte(|place, at| {
        let directory = directory_with(place, "flipped", "snapshot.dat", &bytes);
        let path = directory.join("snapshot.dat");
        for bit in at * 8..at * 8 + 8 {
            flip(&path, bit);
            let mut ways = vec![read_only()];
            ways.extend(is_opened_for_writing(bit).then(Options::new));
            for options in ways {
                let error = options.open(&directory).map(drop).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
                assert_eq!(error.offset(), Some(start_of[at] as u64), "bit {bit}: {error}");
                assert!(error.path().unwrap().ends_with("flipped/snapshot.dat"), "{error}");
                assert!(error.to_string().contains("snapshot.dat is corrupt at"), "{error}");
            }
            if is_opened_for_writing(bit) {
                assert_eq!(names(&directory), ["LOCK", "snapshot.dat"], "bit {bit}");
                fs::remove_file(directory.join("LOCK")).unwrap();
            }
            detected.fetch_add(1, Relaxed);
            flip(&path, bit);
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "the library changed nothing");
    });
    let detected = detected.into_inner();
    println!("snapshot: {FLIPS} of {FLIPS} flips: {detected} detected, in {took:.1?}");
    assert_eq!(detected, FLIPS);
}

#[test]
fn a_flipped_bit_behind_the_entries_of_a_snapshot_changes_nothing() {
    let place = directory_in_memory();
    let path = place.path().join("snapshot.dat");
    let bytes = snapshot();
    fs::write(&path, [bytes.as_slice(), b"KVSX a trailer of some newer version"].concat()).unwrap();
    let model: Model = snapshot_entries(&bytes).unwrap().1.into_iter().collect();
    for bit in FLIPS..fs::metadata(&path).unwrap().len() as usize * 8 {
        flip(&path, bit);
        assert_eq!(contents(&read_only().open(place.path()).unwrap()), model, "bit {bit}");
        flip(&path, bit);
    }
}

/// A log of `LEN` bytes, zeros at its end included, and what opening it comes to.
struct FlippedLog {
    name: &'static str,
    bytes: Vec<u8>,
    /// What the log builds on.
    snapshot: Option<Vec<u8>>,
    entries: Vec<Entry>,
    /// The state after so many sets and deletes.
    states: Vec<Model>,
}

struct Entry {
    range: Range<usize>,
    is_mark: bool,
    /// Sets and deletes before it.
    records_before: usize,
}

/// What a flip must come to.
struct Expected {
    cut: usize,
    records: usize,
    damaged: bool,
}

impl FlippedLog {
    fn new(name: &'static str, bytes: Vec<u8>, snapshot: Option<Vec<u8>>) -> FlippedLog {
        assert_eq!(bytes.len(), LEN);
        let base = snapshot.as_deref().map(|bytes| snapshot_entries(bytes).unwrap().1);
        let mut states = vec![base.unwrap_or_default().into_iter().collect::<Model>()];
        let (mut entries, mut start) = (Vec::new(), 0);
        for (entry, end) in log_entries(&bytes) {
            let is_mark = entry.operation == MARK;
            entries.push(Entry { range: start..end, is_mark, records_before: states.len() - 1 });
            start = end;
            if !is_mark {
                states.push(after(states.last().unwrap().clone(), &entry));
            }
        }
        assert!(bytes[start..].iter().all(|&byte| byte == 0) && LEN - start > 8);
        assert!(states.len() > 100 && states.windows(2).all(|pair| pair[0] != pair[1]));
        FlippedLog { name, bytes, snapshot, entries, states }
    }

    /// A checksum notices every single bit, so a flip ends the log where its entry begins. It was
    /// synced if a mark of the same log stands behind it.
    fn expected(&self, at: usize) -> Expected {
        let Some(hit) = self.entries.iter().position(|entry| entry.range.contains(&at)) else {
            let cut = self.entries.last().unwrap().range.end;
            return Expected { cut, records: self.states.len() - 1, damaged: false };
        };
        let Entry { range, records_before, .. } = &self.entries[hit];
        let damaged = self.entries[hit + 1..].iter().any(|entry| entry.is_mark);
        Expected { cut: range.start, records: *records_before, damaged }
    }

    fn flip_every_bit(&self) {
        let (damages, torn, prefixes) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let took = for_every_byte(|place, at| {
            let expected = self.expected(at);
            let directory = self.directory(place, "reading");
            for bit in at * 8..at * 8 + 8 {
                flip(&directory.join("wal.log"), bit);
                self.check_reading(&directory, &expected, bit);
                if is_opened_for_writing(bit) {
                    self.check_strict(&directory, &expected, bit);
                    self.check_writing(place, &expected, bit);
                }
                flip(&directory.join("wal.log"), bit);
                (if expected.damaged { &damages } else { &torn }).fetch_add(1, Relaxed);
                prefixes.fetch_add(usize::from(expected.records + 1 < self.states.len()), Relaxed);
            }
            assert_eq!(fs::read(directory.join("wal.log")).unwrap(), self.bytes);
        });
        let (damages, torn) = (damages.into_inner(), torn.into_inner());
        println!(
            "{}: {} of {FLIPS} flips: {} detected ({damages} damaged, {torn} torn), {} strict \
             prefixes and otherwise all, in {took:.1?}",
            self.name,
            damages + torn,
            damages + torn,
            prefixes.into_inner(),
        );
        assert_eq!(damages + torn, FLIPS);
    }

    fn directory(&self, place: &Path, name: &str) -> PathBuf {
        let directory = directory_with(place, name, "wal.log", &self.bytes);
        if let Some(snapshot) = &self.snapshot {
            fs::write(directory.join("snapshot.dat"), snapshot).unwrap();
        }
        directory
    }

    fn flipped(&self, bit: usize) -> Vec<u8> {
        let mut flipped = self.bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }

    /// What a flip cuts: up to the last byte that is not zero.
    fn garbage(&self, expected: &Expected, bit: usize) -> Vec<u8> {
        let flipped = self.flipped(bit);
        let end = flipped.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        flipped[expected.cut..end].to_vec()
    }

    fn check_report(&self, store: &Store, expected: &Expected, bit: usize) {
        let report = store.recovery_report();
        let garbage = self.garbage(expected, bit);
        assert_eq!(report.cut_offset, Some(expected.cut as u64), "bit {bit}: {report:?}");
        assert_eq!(report.bytes_cut, garbage.len() as u64, "bit {bit}: {report:?}");
        assert_eq!(report.log_records, expected.records as u64, "bit {bit}: {report:?}");
        assert_eq!(report.damaged, expected.damaged, "bit {bit}: {report:?}");
    }

    fn check_reading(&self, directory: &Path, expected: &Expected, bit: usize) {
        let store = read_only().open(directory).unwrap();
        self.check_report(&store, expected, bit);
        assert_holds(&store, &self.states[expected.records], bit);
    }

    fn check_strict(&self, directory: &Path, expected: &Expected, bit: usize) {
        match read_only().strict_recovery(true).open(directory) {
            Ok(_) => assert!(!expected.damaged, "bit {bit}"),
            Err(error) => {
                assert!(expected.damaged, "bit {bit}: {error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
                assert_eq!(error.offset(), Some(expected.cut as u64), "bit {bit}: {error}");
                assert!(error.path().unwrap().ends_with("wal.log"), "bit {bit}: {error}");
            }
        }
    }

    /// Opening for writing keeps what it cuts, and what is written then is there afterwards.
    fn check_writing(&self, place: &Path, expected: &Expected, bit: usize) {
        let directory = self.directory(place, "writing");
        let log = directory.join("wal.log");
        fs::write(&log, self.flipped(bit)).unwrap();
        let store = Store::open(&directory).unwrap();
        self.check_report(&store, expected, bit);
        let kept = fs::read(store.recovery_report().quarantine.as_ref().unwrap()).unwrap();
        assert_eq!(kept, self.garbage(expected, bit), "bit {bit}: the very bytes that were cut");
        let left = fs::read(&log).unwrap();
        assert_eq!(left[..expected.cut], self.bytes[..expected.cut], "bit {bit}");
        assert!(left[expected.cut..].iter().all(|&byte| byte == 0), "bit {bit}");
        store.set("after", bit.to_string()).unwrap();
        drop(store);
        let again = Options::new().strict_recovery(true).open(&directory).unwrap();
        assert_eq!(again.recovery_report().bytes_cut, 0, "bit {bit}");
        let mut model = self.states[expected.records].clone();
        model.insert(b"after".to_vec(), bit.to_string().into_bytes());
        assert_holds(&again, &model, bit);
        drop(again);
        fs::remove_dir_all(directory.join("quarantine")).unwrap();
    }
}

fn after(mut state: Model, entry: &LogEntry) -> Model {
    match entry.operation {
        SET => drop(state.insert(entry.key.clone(), entry.value.clone())),
        DELETE => assert!(state.remove(&entry.key).is_some()),
        other => panic!("{other:#x}"),
    }
    state
}

fn assert_holds(store: &Store, model: &Model, bit: usize) {
    let mut found = store.scan(..);
    for (key, value) in model {
        let (found_key, found_value) = found.next().unwrap().unwrap();
        assert!(*found_key == key[..] && *found_value == value[..], "bit {bit}");
    }
    assert!(found.next().is_none() && store.len() == model.len(), "bit {bit}");
}

/// Sets, overwrites and deletes, none without effect, until the log is full.
fn write_until(store: &Store, mut is_full: impl FnMut() -> bool) {
    let mut random = Random::new(2);
    let mut number = 0;
    while !is_full() {
        let key = format!("key:{:02}", random.below(40));
        if random.below(4) == 0 {
            store.delete(key).unwrap();
        } else {
            let filler = "x".repeat(random.below(30));
            store.set(key, format!("{number}{filler}")).unwrap();
        }
        number += 1;
    }
}

#[test]
fn every_flipped_bit_of_a_log_is_cut_from_its_entry_on() {
    let place = directory_in_memory();
    let store = Store::open(place.path()).unwrap();
    for number in 0..10 {
        store.set(format!("key:{number:02}"), "in the snapshot").unwrap();
    }
    store.close().unwrap();
    let store = Store::open(place.path()).unwrap();
    let log = place.path().join("wal.log");
    let used = || log_entries(&fs::read(&log).unwrap()).last().map_or(0, |(_, end)| *end);
    // A mark, an entry with the longest value and the zeros at the end still fit.
    write_until(&store, || used() > LEN - 120);
    drop(store);
    let mut bytes = fs::read(&log).unwrap();
    bytes.truncate(LEN);
    let marks = log_entries(&bytes).iter().filter(|(entry, _)| entry.operation == MARK).count();
    assert!(marks > 50, "one before each synced write");
    let snapshot = fs::read(place.path().join("snapshot.dat")).unwrap();
    FlippedLog::new("log", bytes, Some(snapshot)).flip_every_bit();
}

#[test]
fn every_flipped_bit_of_a_log_of_the_go_store_is_cut_from_its_entry_on() {
    // What it wrote, without one value of 200,000 bytes, and more in the same form.
    let go = |name: &str| fs::read(common::golden_path(name).join("wal.log")).unwrap();
    let snapshot = fs::read(common::golden_path("crash").join("snapshot.dat")).unwrap();
    let mut entries = log_entries(&go("crash"));
    entries.extend(log_entries(&go("wal-only")));
    let mut bytes: Vec<u8> = entries
        .iter()
        .filter(|(entry, _)| entry.value.len() < 1000)
        .flat_map(|(entry, _)| entry.encode())
        .collect();
    let mut random = Random::new(3);
    for number in 0_i64.. {
        let (timestamp, key) = (1 << 61 | number, format!("w:{number:05}").into_bytes());
        let value = random.bytes(20 + number as usize % 60);
        let entry = LogEntry { operation: SET, timestamp, key, value }.encode();
        if bytes.len() + entry.len() + 9 > LEN {
            break;
        }
        bytes.extend(entry);
    }
    bytes.resize(LEN, 0);
    FlippedLog::new("log of the Go store", bytes, Some(snapshot)).flip_every_bit();
}
