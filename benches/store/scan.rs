//! Scans and views. Each figure is the best of several rounds: what the machine does beside the
//! benchmark only ever adds to it.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use kvstore::{Direction, Store};

use crate::measure::{Report, per_operation};
use crate::workload::{RECORDS, ROUNDS, Random, VALUE, fill, open_os, random_keys, shuffled};

/// Scans that seek somewhere and read a few records.
const SEEKS: usize = 100_000;

fn best(figures: impl Iterator<Item = f64>) -> f64 {
    figures.fold(f64::INFINITY, f64::min)
}

/// Reads a part of every key and value, and counts them.
fn read_all(store: &Store) -> usize {
    let mut cursor = store.cursor(.., Direction::Ascending).unwrap();
    let mut count = 0;
    while let Some((key, value)) = cursor.next_pair() {
        black_box(key[0] ^ value[0]);
        count += 1;
    }
    cursor.check().unwrap();
    count
}

/// Nanoseconds a record of reading all of a view.
fn read_view(store: &Store) -> f64 {
    let view = store.view().unwrap();
    per_operation(RECORDS, || {
        for item in view.scan(..) {
            let (key, value) = item.unwrap();
            black_box(key[0] ^ value[0]);
        }
    })
}

pub fn scan(place: &Path, report: &mut Report) {
    println!("scans of {RECORDS} records");
    let directory = tempfile::tempdir_in(place).unwrap();
    let keys = random_keys(RECORDS, 6);

    let first = best((0..ROUNDS).map(|round| {
        let store = fill(&directory.path().join(round.to_string()), &keys);
        let start = Instant::now();
        assert_eq!(read_all(&store), RECORDS);
        start.elapsed().as_secs_f64() * 1e3
    }));
    report.at_most("first scan after 1,000,000 writes, in all", first, 150.0, "ms");

    let path = directory.path().join("0");
    open_os(&path).close().unwrap();
    let first = best((0..ROUNDS).map(|_| {
        let store = open_os(&path);
        per_operation(RECORDS, || assert_eq!(read_all(&store), RECORDS))
    }));
    println!("  finding the order included, {first:.1} ns a record of the snapshot");
    let store = open_os(&path);
    let bytes = {
        store.view().unwrap();
        store.stats().view_bytes as f64 / RECORDS as f64
    };
    let full =
        best((0..ROUNDS).map(|_| per_operation(RECORDS, || assert_eq!(read_all(&store), RECORDS))));
    report.at_most("full scan of a snapshot, a record", full, 35.0, "ns");
    let full = best((0..ROUNDS).map(|_| read_view(&store)));
    report.at_most("full scan of a view, a record", full, 35.0, "ns");
    let pinned = best((0..ROUNDS).map(|_| {
        per_operation(RECORDS, || {
            for item in store.scan(..) {
                let (key, value) = item.unwrap();
                black_box(key[0] ^ value[0]);
            }
        })
    }));
    println!("  Store::scan, which pins each item, {pinned:.1} ns a record");
    report.at_most("memory of the order, a record", bytes, 20.0, "bytes");
    seeks(&store, &shuffled(&keys, 7)[..SEEKS], report);
    follow(&store, &keys, report);
}

fn seeks(store: &Store, keys: &[[u8; 16]], report: &mut Report) {
    let figure = best((0..ROUNDS).map(|_| {
        per_operation(SEEKS, || {
            for _ in 0..SEEKS {
                black_box(store.view().unwrap());
            }
        })
    }));
    report.at_most("a view, when nothing was written", figure, 1000.0, "ns");
    let view = store.view().unwrap();
    let figure = best((0..ROUNDS).map(|_| {
        per_operation(SEEKS, || {
            for key in keys {
                black_box(view.get(key).unwrap().unwrap()[0]);
            }
        })
    }));
    report.at_most("a random get of a view", figure, 600.0, "ns");
    let mut cursor = view.cursor(.., Direction::Ascending).unwrap();
    let figure = best((0..ROUNDS).map(|_| {
        per_operation(SEEKS, || {
            for key in keys {
                cursor.seek(key).unwrap();
                for (key, value) in cursor.next_pairs(10) {
                    black_box(key[0] ^ value[0]);
                }
            }
        })
    }));
    report.at_most("seek and read 10", figure, 2000.0, "ns");
    let figure = best((0..ROUNDS).map(|_| {
        per_operation(SEEKS, || {
            for key in keys {
                for item in store.scan(key..).take(10) {
                    let (key, value) = item.unwrap();
                    black_box(key[0] ^ value[0]);
                }
            }
        })
    }));
    report.at_most("a scan from a key, 10 records of it", figure, 2000.0, "ns");
}

/// Scans between writes.
fn follow(store: &Store, keys: &[[u8; 16]], report: &mut Report) {
    let mut random = Random(8);
    let mut pairs = Vec::new();
    let mut write = |count: usize| {
        for _ in 0..count {
            let key = &keys[(random.next() % RECORDS as u64) as usize];
            store.set(key, VALUE).unwrap();
        }
    };
    for _ in 0..ROUNDS {
        pairs.push(per_operation(1000, || {
            for key in &keys[..1000] {
                write(1);
                black_box(store.scan(key..).next().unwrap().unwrap());
            }
        }));
    }
    report.at_most("a write and a scan, by turns", best(pairs.into_iter()) / 1e3, 50.0, "us");
    let mut first = f64::INFINITY;
    let mut again = f64::INFINITY;
    for _ in 0..ROUNDS {
        write(RECORDS / 10);
        first = first.min(per_operation(RECORDS, || assert_eq!(read_all(store), RECORDS)));
        again = again.min(per_operation(RECORDS, || assert_eq!(read_all(store), RECORDS)));
    }
    println!("  without the order to bring up to date, {again:.1} ns a record");
    report.at_most("full scan after writing 10%, a record", first, 60.0, "ns");
    let set = |store: &Store| {
        per_operation(RECORDS, || keys.iter().for_each(|key| store.set(key, VALUE).unwrap()))
    };
    let followed = set(store);
    println!("  a set while changes are recorded, {followed:.0} ns");
}
