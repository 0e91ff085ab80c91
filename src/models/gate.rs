//! Batches beside readers: a reader that has seen one write of a batch sees all of them, and reads of
//! several keys and the number of keys are those before the batch or after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::thread;

use super::commit::{Store, is_visible};
use super::{World, explore};
use crate::commit::{Change, Operation, Operations, Passage, Request};
use crate::sync::atomic::AtomicBool;

/// Sets "a" and "b" at once.
fn write_batch(store: &Store) {
    let operation = |start| Operation { change: Change::Set, start, key_len: 1, value_len: 0 };
    let hashes = [b"a", b"b"].map(|key| store.index.hash(key));
    let operations = [operation(0), operation(1)];
    let batch = Operations { bytes: b"ab", operations: &operations, hashes: &hashes };
    store.committer.commit_request(Request::Batch(batch)).unwrap();
}

/// A get as the store does it.
fn get(store: &Store, key: &[u8]) -> bool {
    let gate = store.committer.gate();
    if !gate.is_open() {
        assert_eq!(gate.wait(), Passage::Open);
    }
    is_visible(&store.index, key)
}

/// In both worlds: what readers see must not rest on the fences of the epoch.
fn explore_both(name: &'static str, preemptions: usize, model: fn()) {
    explore(name, World::Fences, preemptions, model);
    explore(name, World::FailingBarrier, preemptions, model);
}

#[test]
fn who_has_seen_one_write_of_a_batch_sees_the_other() {
    explore_both("two gets beside a batch", 3, || {
        let store = Store::new(0);
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                let (a, b) = (get(&store, b"a"), get(&store, b"b"));
                assert!(!a || b, "half a batch");
                let a = get(&store, b"a");
                assert!(!b || a, "half a batch");
            })
        };
        write_batch(&store);
        reader.join().unwrap();
        assert!(get(&store, b"a") && get(&store, b"b"));
    });
}

#[test]
fn who_is_told_of_one_write_of_a_batch_sees_the_other() {
    explore_both("a reader tells another", 2, || {
        let store = Store::new(0);
        let told = Arc::new(AtomicBool::new(false));
        let teller = {
            let (store, told) = (store.clone(), told.clone());
            thread::spawn(move || told.store(get(&store, b"a"), Ordering::Release))
        };
        let listener = {
            let store = store.clone();
            thread::spawn(move || {
                let told = told.load(Ordering::Acquire);
                assert!(get(&store, b"b") || !told, "half a batch");
            })
        };
        write_batch(&store);
        teller.join().unwrap();
        listener.join().unwrap();
    });
}

#[test]
fn a_read_of_two_keys_sees_both_writes_of_a_batch_or_none() {
    explore_both("a read of two keys beside a batch", 3, || {
        let store = Store::new(0);
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                let look = || {
                    // Both ways round.
                    let a = is_visible(&store.index, b"a");
                    let b = is_visible(&store.index, b"b");
                    (a, b, is_visible(&store.index, b"a"))
                };
                let (a, b, again) = store.committer.gate().consistently(look).unwrap();
                assert!(a == b && b == again, "half a batch");
            })
        };
        write_batch(&store);
        reader.join().unwrap();
    });
}

#[test]
fn the_number_of_keys_is_that_before_or_after_a_batch() {
    explore_both("the number of keys beside a batch", 3, || {
        let store = Store::new(0);
        let reader = {
            let store = store.clone();
            thread::spawn(move || {
                let a = get(&store, b"a");
                let len = store.committer.gate().look(|| store.index.len());
                assert!(len == 2 || (len == 0 && !a), "{len} keys");
                assert!(len == 0 || get(&store, b"b"), "counted and not there");
            })
        };
        write_batch(&store);
        reader.join().unwrap();
    });
}
