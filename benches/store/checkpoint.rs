//! Checkpoints while others read and write.

use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use kvstore::{Durability, Options, Store};

use crate::measure::{Latencies, Report, median};
use crate::workload::{Key, RECORDS, ROUNDS, Random, VALUE, random_keys, shuffled};

/// Overwrites, and of how many keys, for the growth of the log.
const OVERWRITES: usize = 10_000_000;
const OVERWRITTEN: usize = 10_000;
const LOG_LIMIT: u64 = 16 << 20;

pub fn checkpoint(place: &Path, report: &mut Report) {
    println!("checkpoints of {RECORDS} records");
    rate(place, report);
    beside_writes(place, report);
    beside_gets(place, report);
    growth(place, report);
    memory(place, report);
}

/// A store of all keys whose only checkpoints are those that the benchmark asks for.
fn filled(path: &Path, keys: &[Key]) -> Store {
    let store = Options::new().durability(Durability::Os).checkpoint_bytes(0).open(path).unwrap();
    keys.iter().for_each(|key| store.set(key, VALUE).unwrap());
    store
}

/// Seconds that `dd` takes to write `bytes` zeros and sync them.
fn dd(path: &Path, bytes: u64) -> f64 {
    let start = Instant::now();
    let status = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", path.display()))
        .args(["bs=1M", "conv=fsync", "status=none"])
        .arg(format!("count={}", bytes.div_ceil(1 << 20)))
        .stdin(Stdio::null())
        .status()
        .expect("dd, of coreutils, is needed to measure the disk");
    assert!(status.success());
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    seconds
}

/// How fast the snapshot is written, from the call to its return, against `dd` with the same
/// number of bytes in turns.
fn rate(place: &Path, report: &mut Report) {
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(RECORDS, 20);
    let store = filled(&directory.path().join("store"), &keys);
    let order = shuffled(&keys, 21);
    // The first has its order to find; the others overwrite a half, in no order.
    let mut rates = Vec::new();
    let mut disk = Vec::new();
    for round in 0..ROUNDS {
        if round > 0 {
            order[..RECORDS / 2].iter().for_each(|key| store.set(key, VALUE).unwrap());
        }
        store.sync().unwrap();
        let start = Instant::now();
        store.checkpoint().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let bytes = store.stats().snapshot_bytes;
        // Waits until the old files are unmapped, for which `dd` would have to share the machine.
        store.checkpoint().unwrap();
        let bare = dd(&directory.path().join("dd"), bytes);
        let rate = bytes as f64 / seconds / 1e6;
        let bare = bytes as f64 / bare / 1e6;
        println!(
            "  round {round}: checkpoint {rate:.0} MB/s ({:.0} ms), dd {bare:.0} MB/s",
            seconds * 1e3
        );
        rates.push(rate);
        disk.push(bare);
    }
    let (rate, disk) = (median(rates), median(disk));
    report.at_least("checkpoint, against dd with fsync", rate / disk, 0.8, "times");
}

/// Runs `operation` until `until` says so, timing each. Returns the latencies and operations a
/// second.
fn timed(
    mut until: impl FnMut(usize) -> bool,
    mut operation: impl FnMut(usize),
) -> (Latencies, f64) {
    let mut latencies = Latencies::with_capacity(8 << 20);
    let start = Instant::now();
    let (mut last, mut count) = (start, 0);
    while !until(count) {
        operation(count);
        let now = Instant::now();
        latencies.push(now - last);
        (last, count) = (now, count + 1);
    }
    let seconds = last.duration_since(start).as_secs_f64();
    (latencies, count as f64 / seconds)
}

/// Latencies of `operation` without a checkpoint and while one runs, as many of each.
fn with_and_without(
    store: &Store,
    mut operation: impl FnMut(usize),
) -> ((Latencies, f64), (Latencies, f64)) {
    let running = AtomicBool::new(true);
    let beside = thread::scope(|scope| {
        scope.spawn(|| {
            store.checkpoint().unwrap();
            running.store(false, Ordering::Relaxed);
        });
        timed(|_| !running.load(Ordering::Relaxed), &mut operation)
    });
    let count = beside.0.len();
    let alone = timed(|done| done == count, &mut operation);
    (alone, beside)
}

/// The rows of a comparison, over all rounds.
#[derive(Default)]
struct Comparison {
    p50: (Vec<f64>, Vec<f64>),
    p999: (Vec<f64>, Vec<f64>),
    rate: (Vec<f64>, Vec<f64>),
    worst: f64,
}

impl Comparison {
    fn add(
        &mut self,
        (mut alone, rate): (Latencies, f64),
        (mut beside, beside_rate): (Latencies, f64),
    ) {
        self.p50.0.push(alone.quantile(500));
        self.p50.1.push(beside.quantile(500));
        self.p999.0.push(alone.quantile(999));
        self.p999.1.push(beside.quantile(999));
        self.rate.0.push(rate);
        self.rate.1.push(beside_rate);
        self.worst = self.worst.max(beside.quantile(1000));
    }
}

fn medians((alone, beside): (Vec<f64>, Vec<f64>)) -> (f64, f64) {
    (median(alone), median(beside))
}

fn beside_writes(place: &Path, report: &mut Report) {
    let keys = random_keys(RECORDS, 22);
    let mut comparison = Comparison::default();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir_in(place).unwrap();
        let store = filled(directory.path(), &keys);
        let mut random = Random(23);
        let set = |_| {
            let key = &keys[(random.next() % RECORDS as u64) as usize];
            store.set(key, VALUE).unwrap();
        };
        let (alone, beside) = with_and_without(&store, set);
        comparison.add(alone, beside);
    }
    let (p50, beside_p50) = medians(comparison.p50);
    let (p999, beside_p999) = medians(comparison.p999);
    let (rate, beside_rate) = medians(comparison.rate);
    println!(
        "  a set without one: p50 {p50:.0} ns, p99.9 {:.1} us; beside one: p50 {beside_p50:.0} ns, \
         p99.9 {:.1} us, the longest {:.1} ms",
        p999 / 1e3,
        beside_p999 / 1e3,
        comparison.worst / 1e6
    );
    let limit = (3.0 * p999).max(200_000.0) / 1e3;
    report.at_most("set, Os, beside a checkpoint, p99.9", beside_p999 / 1e3, limit, "us");
    report.at_least("sets a second beside it, against without", beside_rate / rate, 0.5, "times");
}

fn beside_gets(place: &Path, report: &mut Report) {
    let keys = random_keys(RECORDS, 24);
    let order = shuffled(&keys, 25);
    let mut comparison = Comparison::default();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir_in(place).unwrap();
        let store = filled(directory.path(), &keys);
        let get = |number: usize| {
            black_box(store.get(order[number % RECORDS]).unwrap().unwrap()[0]);
        };
        let (alone, beside) = with_and_without(&store, get);
        comparison.add(alone, beside);
    }
    let (p50, beside_p50) = medians(comparison.p50);
    let (p999, beside_p999) = medians(comparison.p999);
    println!(
        "  a get without one: p50 {p50:.0} ns, p99.9 {p999:.0} ns; beside one: p50 {beside_p50:.0} ns, \
         p99.9 {beside_p999:.0} ns, the longest {:.1} ms",
        comparison.worst / 1e6
    );
    report.at_most("get beside a checkpoint, p50", beside_p50 / p50, 1.3, "times");
    report.at_most("get beside a checkpoint, p99.9", beside_p999 / p999, 5.0, "times");
}

/// Bytes that all logs in a directory take on the disk. One that is being sealed has two names for a
/// moment.
fn log_bytes(path: &Path) -> u64 {
    let files = fs::read_dir(path).unwrap();
    let mut seen = HashSet::new();
    files
        .filter_map(|file| {
            let file = file.unwrap();
            let is_log = file.file_name().to_str().is_some_and(|name| name.ends_with(".log"));
            // A log may be deleted meanwhile.
            let metadata = file.metadata().ok().filter(|_| is_log)?;
            seen.insert(metadata.ino()).then_some(metadata.blocks() * 512)
        })
        .sum()
}

/// The logs on the disk, what was reserved included, while a few keys are overwritten.
fn growth(place: &Path, report: &mut Report) {
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(OVERWRITTEN, 26);
    let store = Options::new()
        .durability(Durability::Os)
        .checkpoint_bytes(LOG_LIMIT)
        .open(directory.path())
        .unwrap();
    let mut most = 0;
    for number in 0..OVERWRITES {
        store.set(keys[number % OVERWRITTEN], VALUE).unwrap();
        if number % 5_000 == 0 {
            most = most.max(log_bytes(directory.path()));
        }
    }
    println!("  {} checkpoints over {OVERWRITES} overwrites", store.stats().checkpoints);
    let times = most as f64 / LOG_LIMIT as f64;
    report.at_most("the logs over 10,000,000 overwrites, of the limit", times, 3.0, "times");
}

/// Memory of this process: anonymous pages, and what is mapped of files in `directory`.
fn used(directory: &Path) -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let anonymous = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let directory = directory.to_str().unwrap();
    let mapped = maps
        .lines()
        .filter(|line| line.contains(directory))
        .map(|line| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            address(end) - address(start)
        })
        .sum();
    (anonymous, mapped)
}

/// Memory after ten checkpoints under load, against after the first.
fn memory(place: &Path, report: &mut Report) {
    const CHECKPOINTS: usize = 10;
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(RECORDS, 27);
    let store = filled(directory.path(), &keys);
    let mut first = (0, 0);
    let mut last = (0, 0);
    for number in 1..=CHECKPOINTS {
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(number as u64);
                while running.load(Ordering::Relaxed) {
                    let key = &keys[(random.next() % RECORDS as u64) as usize];
                    store.set(key, VALUE).unwrap();
                    black_box(store.get(key).unwrap().unwrap()[0]);
                }
            });
            store.checkpoint().unwrap();
            running.store(false, Ordering::Relaxed);
        });
        // Before the next load, so that each has the same log behind it.
        store.checkpoint().unwrap();
        last = used(directory.path());
        if number == 1 {
            first = last;
        }
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "  after 1 and {CHECKPOINTS} of them: {:.0} and {:.0} MiB of memory, {:.0} and {:.0} MiB mapped",
        mib(first.0),
        mib(last.0),
        mib(first.1),
        mib(last.1)
    );
    let times = |last: u64, first: u64| last as f64 / first as f64;
    report.at_most("memory after 10 checkpoints, of after 1", times(last.0, first.0), 1.1, "times");
    report.at_most("mapped after 10 checkpoints, of after 1", times(last.1, first.1), 1.1, "times");
}
