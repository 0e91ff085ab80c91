//! What is measured.

use std::hint::black_box;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kvstore::{Batch, CloseCheckpoint, Durability, Options, Store};

use crate::c_interface::CStore;
use crate::limit::{BareTable, SyncedFile};
use crate::measure::{Latencies, Report, median, per_operation};

pub const RECORDS: usize = 1_000_000;
pub const KEY_LEN: usize = 16;
pub const VALUE: [u8; 100] = [7; 100];
pub const ROUNDS: usize = 5;

pub type Key = [u8; KEY_LEN];

/// A small generator of uniform numbers (SplitMix64, Steele et al. 2014), the same every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

pub fn random_keys(count: usize, seed: u64) -> Vec<Key> {
    let mut random = Random(seed);
    let mut key = || {
        let mut key = [0; KEY_LEN];
        key[..8].copy_from_slice(&random.next().to_be_bytes());
        key[8..].copy_from_slice(&random.next().to_be_bytes());
        key
    };
    (0..count).map(|_| key()).collect()
}

pub fn shuffled(keys: &[Key], seed: u64) -> Vec<Key> {
    let (mut keys, mut random) = (keys.to_vec(), Random(seed));
    for end in (1..keys.len()).rev() {
        keys.swap(end, (random.next() % (end as u64 + 1)) as usize);
    }
    keys
}

/// Without checkpoints in the background, which have figures of their own.
pub fn open_os(path: &Path) -> Store {
    Options::new()
        .durability(Durability::Os)
        .checkpoint_bytes(0)
        .close_checkpoint(CloseCheckpoint::Always)
        .open(path)
        .unwrap()
}

pub fn fill(path: &Path, keys: &[Key]) -> Store {
    let store = open_os(path);
    for key in keys {
        store.set(key, VALUE).unwrap();
    }
    store
}

fn open_read_only(path: &Path) -> Store {
    Options::new().read_only(true).open(path).unwrap()
}

/// Random gets: a bare probe, the library, through C, and many keys at once, in turns.
pub fn get(place: &Path, report: &mut Report) {
    println!("random gets of {RECORDS} records");
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(RECORDS, 1);
    fill(directory.path(), &keys).close().unwrap();
    let store = open_read_only(directory.path());
    let library_path = std::env::var_os("KVSTORE_LIBRARY")
        .map_or_else(|| Path::new("target/release/libkvstore.so").to_owned(), Into::into);
    let c_store = CStore::open(&library_path, directory.path());
    let index_bytes = store.stats().index_bytes as usize;
    let bare = BareTable::new(&directory.path().join("snapshot.dat"), index_bytes);
    let order = shuffled(&keys, 2);
    let (mut library, mut limit, mut many) = (Vec::new(), Vec::new(), Vec::new());
    let (mut copying, mut through_c) = (Vec::new(), Vec::new());
    let mut buffer = [0; VALUE.len()];
    for _ in 0..ROUNDS {
        limit.push(per_operation(RECORDS, || {
            for key in &order {
                black_box(bare.get(black_box(&key[..])).unwrap()[0]);
            }
        }));
        library.push(per_operation(RECORDS, || {
            for key in &order {
                black_box(store.get(black_box(&key[..])).unwrap().unwrap()[0]);
            }
        }));
        copying.push(per_operation(RECORDS, || {
            for key in &order {
                let value = store.get(black_box(&key[..])).unwrap().unwrap();
                black_box(&mut buffer[..value.len()]).copy_from_slice(&value);
            }
        }));
        if let Some(c_store) = &c_store {
            through_c.push(per_operation(RECORDS, || {
                for key in &order {
                    black_box(c_store.get_into(black_box(key), &mut buffer));
                }
            }));
        }
        many.push(per_operation(RECORDS, || {
            for keys in order.chunks(64) {
                store
                    .get_many_with(black_box(keys), |_, value| {
                        black_box(value.unwrap()[0]);
                    })
                    .unwrap();
            }
        }));
    }
    let (library, limit, many) = (median(library), median(limit), median(many));
    println!("  bare probe {limit:.0} ns, get {library:.0} ns, get_many of 64 {many:.0} ns a key");
    report.at_most("random get, 1 thread, against a bare probe", library / limit, 1.3, "times");
    if c_store.is_some() {
        let (copying, through_c) = (median(copying), median(through_c));
        println!("  get and copy {copying:.0} ns, kvstore_get_into {through_c:.0} ns");
        report.at_most("random get through C, above Rust", through_c - copying, 40.0, "ns");
    } else {
        println!(
            "  C is not measured: {} is not there; `make lib` builds it",
            library_path.display()
        );
    }
    report.at_least("get_many of 64, against single gets", library / many, 1.7, "times");
}

/// Batches of a thousand sets that survive the process: filled, written and published.
pub fn batch_os(place: &Path, report: &mut Report) {
    const BATCH: usize = 1_000;
    println!("batches of {BATCH} sets, {RECORDS} in all, durability os");
    let keys = random_keys(RECORDS, 1);
    let (mut filled, mut written) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir_in(place).unwrap();
        let store = open_os(directory.path());
        let mut batch = Batch::new();
        // The first time the keys are new, the second time they are not.
        for _ in 0..2 {
            let start = Instant::now();
            let mut writing = Duration::ZERO;
            for keys in keys.chunks(BATCH) {
                batch.clear();
                for key in keys {
                    batch.set(key, VALUE);
                }
                let start = Instant::now();
                store.write(&batch).unwrap();
                writing += start.elapsed();
            }
            written.push(writing.as_nanos() as f64 / RECORDS as f64);
            filled.push(start.elapsed().as_nanos() as f64 / RECORDS as f64);
        }
    }
    println!("  of that, without filling the batch: {:.0} ns", median(written));
    report.at_most("batch of 1,000, durability os, a record", median(filled), 350.0, "ns");
}

/// Sets that survive the process, one by one.
pub fn set_os(place: &Path, report: &mut Report) {
    println!("sets of {RECORDS} records, Os");
    let (mut mean, mut p50, mut p999) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let directory = tempfile::tempdir_in(place).unwrap();
        let keys = random_keys(RECORDS, 10 + round as u64);
        let store = open_os(directory.path());
        let mut latencies = Latencies::with_capacity(RECORDS);
        let mut last = Instant::now();
        for key in &keys {
            store.set(key, VALUE).unwrap();
            let now = Instant::now();
            latencies.push(now - last);
            last = now;
        }
        mean.push(latencies.mean());
        p50.push(latencies.quantile(500));
        p999.push(latencies.quantile(999));
    }
    report.at_most("set, Os, 1 thread, mean", median(mean), 600.0, "ns");
    report.at_most("set, Os, 1 thread, p50", median(p50), 250.0, "ns");
    report.at_most("set, Os, 1 thread, p99.9", median(p999), 5_000.0, "ns");
}

/// Opening a log after a crash, and a snapshot.
pub fn open(place: &Path, report: &mut Report) {
    println!("opening {RECORDS} records");
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(RECORDS, 3);
    let store = fill(directory.path(), &keys);
    store.sync().unwrap();
    drop(store);
    let reopen = |_| {
        let mut store = None;
        let figure = per_operation(RECORDS, || store = Some(open_os(directory.path())));
        assert_eq!(store.unwrap().len(), RECORDS);
        figure
    };
    let figure = median((0..ROUNDS).map(reopen).collect());
    report.at_most("open after a crash, per logged record", figure, 100.0, "ns");
    open_os(directory.path()).close().unwrap();
    let figure = median((0..ROUNDS).map(reopen).collect());
    report.at_most("open of a snapshot, per record", figure, 100.0, "ns");
}

/// Memory of the index, grown record by record and presized from a snapshot.
pub fn memory(place: &Path, report: &mut Report) {
    println!("memory of the index");
    let directory = tempfile::tempdir_in(place).unwrap();
    let store = open_os(directory.path());
    let mut worst: f64 = 0.0;
    for (number, key) in random_keys(10 * RECORDS, 4).iter().enumerate() {
        store.set(key, []).unwrap();
        let count = number + 1;
        if count == RECORDS || count == 10 * RECORDS {
            let bytes = store.stats().index_bytes as f64 / count as f64;
            report.at_most(&format!("index memory at {count} records"), bytes, 16.0, "bytes");
        }
        if count >= RECORDS && count.is_multiple_of(RECORDS / 50) {
            worst = worst.max(store.stats().index_bytes as f64 / count as f64);
        }
    }
    report.at_most("index memory, worst in between", worst, 16.0, "bytes");
}

/// Synced sets: one thread against the bare disk, and many threads against one.
pub fn set_sync(place: &Path, report: &mut Report) {
    const OPERATIONS: usize = 1_000;
    const THREADS: usize = 32;
    println!("synced sets");
    let directory = tempfile::tempdir_in(place).unwrap();
    let store = Store::open(directory.path().join("store")).unwrap();
    let mut file = SyncedFile::create(&directory.path().join("file"), 64 << 20);
    let keys = random_keys(OPERATIONS * THREADS, 5);
    let entry = [7; 13 + 8 + KEY_LEN + VALUE.len() + 4];
    let (mut alone, mut limit, mut together) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups = Vec::new();
    for _ in 0..ROUNDS {
        // Interleaved in short turns, so that a slow spell of the disk meets both.
        let (mut library_time, mut limit_time) = (0.0, 0.0);
        for keys in keys[..OPERATIONS].chunks(50) {
            limit_time += per_operation(1, || keys.iter().for_each(|_| file.append(&entry)));
            library_time +=
                per_operation(1, || keys.iter().for_each(|key| store.set(key, VALUE).unwrap()));
        }
        alone.push(library_time / OPERATIONS as f64);
        limit.push(limit_time / OPERATIONS as f64);
        let before = store.stats();
        together.push(per_operation(keys.len(), || {
            thread::scope(|scope| {
                for keys in keys.chunks(OPERATIONS) {
                    let store = &store;
                    scope.spawn(move || keys.iter().for_each(|key| store.set(key, VALUE).unwrap()));
                }
            });
        }));
        let after = store.stats();
        groups.push((after.writes - before.writes) as f64 / (after.groups - before.groups) as f64);
    }
    let (alone, limit, together) = (median(alone), median(limit), median(together));
    println!(
        "  pwrite + fdatasync {limit:.0} ns, set {alone:.0} ns, set with {THREADS} threads {together:.0} ns \
         in groups of {:.0}",
        median(groups)
    );
    report.at_most("set, Sync, 1 thread, against the bare disk", alone / limit, 1.15, "times");
    report.at_least("set, Sync, 32 threads, against 1", alone / together, 10.0, "times");
}
