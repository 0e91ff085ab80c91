//! Batches beside readers: nobody ever sees a part of one.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{contents, directory, open, open_os};
use kvstore::{Batch, ErrorKind, Store};

const KEYS: u64 = 600;

/// Batches that set every key to the same number, and back and forth add keys and take them away,
/// while `readers` look, each with the number of the round.
fn beside_batches(rounds: u64, look: impl Fn(&Store, &AtomicBool) + Sync) {
    let place = directory();
    let store = open_os(place.path());
    let mut batch = Batch::new();
    for key in 0..KEYS {
        batch.set(key.to_be_bytes(), 0_u64.to_be_bytes());
    }
    store.write(&batch).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(|| look(&store, &stop)));
        for round in 1..=rounds {
            batch.clear();
            for key in 0..KEYS {
                // What is never to be seen, and then what is.
                batch.set(key.to_be_bytes(), u64::MAX.to_be_bytes());
            }
            for key in 0..KEYS {
                batch.set(key.to_be_bytes(), round.to_be_bytes());
                let extra = (KEYS + key).to_be_bytes();
                if round % 2 == 1 {
                    batch.set(extra, round.to_be_bytes())
                } else {
                    batch.delete(extra)
                };
            }
            store.write(&batch).unwrap();
            if readers.iter().any(|reader| reader.is_finished()) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value.try_into().unwrap())
}

#[test]
fn whoever_has_seen_one_write_of_a_batch_sees_all() {
    // What any reader has seen, whichever thread it is.
    let seen = AtomicU64::new(0);
    beside_batches(1_500, |store, stop| {
        let mut key = 0;
        while !stop.load(Ordering::Relaxed) {
            let least = seen.load(Ordering::Acquire);
            key = (key * 13 + 7) % KEYS;
            let found = number(&store.get(key.to_be_bytes()).unwrap().unwrap());
            assert!(found >= least, "{found} after {least}");
            assert_ne!(found, u64::MAX, "a write that a later one of its batch replaces");
            let again = store.get_with((KEYS - 1 - key).to_be_bytes(), number).unwrap().unwrap();
            assert!(again >= found, "{again} after {found}");
            seen.fetch_max(again, Ordering::AcqRel);
        }
    });
}

#[test]
fn get_many_sees_all_of_a_batch_or_nothing() {
    beside_batches(1_500, |store, stop| {
        let all: Vec<_> = (0..KEYS).map(u64::to_be_bytes).collect();
        let few: Vec<_> = (0..KEYS).step_by(40).map(u64::to_be_bytes).collect();
        while !stop.load(Ordering::Relaxed) {
            for keys in [&all, &few] {
                let values = store.get_many(keys).unwrap();
                let first = number(values[0].as_ref().unwrap());
                assert!(values.iter().all(|value| number(value.as_ref().unwrap()) == first));
                let mut seen = Vec::new();
                let visit = |_, value: Option<&[u8]>| seen.push(number(value.unwrap()));
                store.get_many_with(keys, visit).unwrap();
                assert!(seen.iter().all(|&value| value == seen[0] && value >= first));
            }
        }
    });
}

#[test]
fn views_and_scans_see_all_of_a_batch_or_nothing() {
    beside_batches(400, |store, stop| {
        while !stop.load(Ordering::Relaxed) {
            let least = store.get_with(3_u64.to_be_bytes(), number).unwrap().unwrap();
            let view = store.view().unwrap();
            let first = number(&view.get(0_u64.to_be_bytes()).unwrap().unwrap());
            assert!(first >= least, "a view from before what was seen");
            let expected = if first % 2 == 1 { 2 * KEYS } else { KEYS };
            assert_eq!(view.len() as u64, expected);
            for item in view.scan(..) {
                assert_eq!(number(&item.unwrap().1), first);
            }
            let mut scan = store.scan(..).map(|item| number(&item.unwrap().1));
            let first = scan.next().unwrap();
            assert!(scan.all(|value| value == first));
        }
    });
}

#[test]
fn the_number_of_keys_is_that_before_or_after_a_batch() {
    beside_batches(1_500, |store, stop| {
        while !stop.load(Ordering::Relaxed) {
            let before = store.get_with(0_u64.to_be_bytes(), number).unwrap().unwrap();
            let len = store.len() as u64;
            let after = store.get_with(0_u64.to_be_bytes(), number).unwrap().unwrap();
            assert!(len == KEYS || len == 2 * KEYS, "{len}");
            if before == after {
                assert_eq!(len, if before % 2 == 1 { 2 * KEYS } else { KEYS });
            }
        }
    });
}

#[test]
fn a_batch_of_one_thread_and_the_close_of_another_end_both() {
    for _ in 0..20 {
        let place = directory();
        let store = open_os(place.path());
        let written = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1_u64.. {
                    let mut batch = Batch::new();
                    for key in 0..50_u64 {
                        batch.set(key.to_be_bytes(), round.to_be_bytes());
                    }
                    match store.write(batch) {
                        Ok(()) => written.store(round, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed);
                            break;
                        }
                    }
                }
            });
            scope.spawn(|| {
                let keys: Vec<_> = (0..50_u64).map(u64::to_be_bytes).collect();
                loop {
                    match store.get_many(&keys) {
                        Ok(values) => {
                            let first = values[0].as_deref();
                            assert!(values.iter().all(|value| value.as_deref() == first));
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed);
                            break;
                        }
                    }
                }
            });
            while written.load(Ordering::Relaxed) < 5 {
                thread::yield_now();
            }
            store.close().unwrap();
        });
        let store = open(place.path());
        assert_eq!(store.len(), 50);
        for (_, value) in contents(&store) {
            assert_eq!(number(&value), written.load(Ordering::Relaxed));
        }
    }
}
