//! Many threads on one store.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{contents, directory, open, open_os};
use kvstore::{Direction, Durability, ErrorKind, Options, Store};

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

#[test]
fn readers_see_every_key_and_never_go_back_in_time() {
    const KEYS: u64 = 64;
    let place = directory();
    let store = open_os(place.path());
    for key in 0..KEYS {
        store.set(key.to_be_bytes(), 0_u64.to_be_bytes()).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut newest = [0; KEYS as usize];
                while !stop.load(Ordering::Relaxed) {
                    for (key, newest) in newest.iter_mut().enumerate() {
                        let value = store.get((key as u64).to_be_bytes()).unwrap().unwrap();
                        assert!(number(&value) >= *newest);
                        *newest = number(&value);
                    }
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for round in 1..=20_000_u64 {
                        let key = round % (KEYS / 2) * 2 + writer;
                        store.set(key.to_be_bytes(), round.to_be_bytes()).unwrap();
                        // New keys beside them, so that tables grow.
                        store.set(format!("{writer}:{round}"), "").unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(contents(&store).len() as u64, KEYS + 2 * 20_000);
}

#[test]
fn a_scan_and_a_cursor_see_one_instant() {
    let place = directory();
    let store = open_os(place.path());
    for key in ["a", "m", "z"] {
        store.set(key, 0_u64.to_be_bytes()).unwrap();
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=30_000_u64 {
                for key in ["a", "m", "z"] {
                    store.set(key, round.to_be_bytes()).unwrap();
                }
                store.set(format!("filler {}", round % 500), "").unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let mut seen = Vec::new();
            let mut cursor = store.cursor(.., Direction::Descending).unwrap();
            while let Some((key, value)) = cursor.next_pair() {
                if key.len() == 1 {
                    seen.push(number(value));
                }
            }
            // Written in the order a, m, z; read here in the order z, m, a.
            assert!(seen.is_sorted() && seen[2] - seen[0] <= 1, "{seen:?}");
        }
    });
}

#[test]
fn durabilities_mix_in_one_order() {
    let place = directory();
    let store = open(place.path());
    let committed = AtomicU64::new(0);
    thread::scope(|scope| {
        for writer in 0..8_u64 {
            let (store, committed) = (&store, &committed);
            scope.spawn(move || {
                for round in 0..200_u64 {
                    let durability =
                        if (writer + round) % 2 == 0 { Durability::Os } else { Durability::Sync };
                    let key = format!("{writer}:{round}");
                    store.set_with(&key, round.to_be_bytes(), durability).unwrap();
                    assert_eq!(number(&store.get(&key).unwrap().unwrap()), round);
                    if round % 3 == 0 {
                        assert!(store.delete_with(&key, durability).unwrap());
                        assert!(!store.contains(&key).unwrap());
                    } else {
                        committed.fetch_add(1, Ordering::Relaxed);
                    }
                    if round % 50 == 0 {
                        store.sync().unwrap();
                    }
                }
            });
        }
    });
    let before = contents(&store);
    assert_eq!(before.len() as u64, committed.load(Ordering::Relaxed));
    let stats = store.stats();
    assert!(stats.groups <= stats.writes && stats.writes >= 8 * 200);
    drop(store); // as in a crash
    assert_eq!(contents(&open(place.path())), before);
}

#[test]
fn a_reader_overtaken_by_close_is_told_so_and_never_that_a_key_is_absent() {
    for _ in 0..30 {
        let place = directory();
        let store = open_os(place.path());
        for key in 0..200 {
            store.set(format!("key {key}"), "value").unwrap();
        }
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        for key in 0..200 {
                            match store.get(format!("key {key}")) {
                                Ok(value) => assert_eq!(value.as_deref().unwrap(), b"value"),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::Closed);
                                    return;
                                }
                            }
                        }
                    }
                });
            }
            scope.spawn(|| while store.set("key 7", "value").is_ok() {});
            thread::yield_now();
            store.close().unwrap();
        });
        assert_eq!(open(place.path()).len(), 200);
    }
}

#[test]
fn of_many_threads_that_open_at_once_one_wins() {
    let place = directory();
    for _ in 0..20 {
        let winners = AtomicU64::new(0);
        let barrier = std::sync::Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    let opened = Store::open(place.path());
                    winners.fetch_add(u64::from(opened.is_ok()), Ordering::Relaxed);
                    if let Err(error) = &opened {
                        assert_eq!(error.kind(), ErrorKind::Locked);
                    }
                    // Until everybody has tried.
                    barrier.wait();
                    drop(opened);
                });
            }
        });
        assert_eq!(winners.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn many_read_only_handles_read_at_once() {
    let place = directory();
    let store = open_os(place.path());
    for key in 0..1_000_u64 {
        store.set(key.to_be_bytes(), key.to_be_bytes()).unwrap();
    }
    store.close().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Options::new().read_only(true).open(place.path()).unwrap();
                let keys: Vec<_> = (0..1_000_u64).map(u64::to_be_bytes).collect();
                for (key, value) in keys.iter().zip(store.get_many(&keys).unwrap()) {
                    assert_eq!(value.as_deref(), Some(key.as_slice()));
                }
            });
        }
    });
}
