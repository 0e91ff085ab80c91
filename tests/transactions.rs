//! Transactions: all or nothing, one at a time, and nobody waits for ever.

#![allow(unsafe_code, reason = "a fork in the middle of a transaction is tested")]

mod common;

use std::ops::Bound;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Model, contents, directory, open, open_os};
use kvstore::{Batch, Direction, Durability, ErrorKind, Options, Store, Transaction};
use proptest::collection::vec;
use proptest::prelude::*;

/// Longer than a test should ever wait.
const LONG: Duration = Duration::from_secs(60);

fn with_timeout(path: &std::path::Path, timeout: Duration) -> Store {
    Options::new().transaction_timeout(timeout).open(path).unwrap()
}

#[test]
fn what_is_committed_is_there_and_what_is_aborted_or_dropped_is_not() {
    for durability in [Durability::Sync, Durability::Os] {
        let place = directory();
        let store = Options::new().durability(durability).open(place.path()).unwrap();
        store.set("a", "1").unwrap();
        let mut transaction = store.transaction().unwrap();
        transaction.set("a", "2");
        transaction.set("b", "3");
        assert!(!transaction.delete("c").unwrap());
        assert_eq!(transaction.get("a").unwrap().as_deref(), Some(b"2".as_slice()));
        assert_eq!((transaction.len(), store.len()), (2, 1));
        assert_eq!(store.get("a").unwrap().as_deref(), Some(b"1".as_slice()));
        transaction.commit().unwrap();
        let expected: Model = [("a", "2"), ("b", "3")].map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(contents(&store), expected);
        for end in [Transaction::abort, drop] {
            let mut transaction = store.transaction().unwrap();
            assert!(transaction.delete("a").unwrap() && !transaction.delete("a").unwrap());
            transaction.set("b", "4");
            transaction.set("c", "5");
            assert_eq!(transaction.len(), 2);
            end(transaction);
            assert_eq!(contents(&store), expected);
        }
        store.set("plain", "again").unwrap();
        drop(store);
        assert_eq!(open(place.path()).len(), 3);
    }
}

#[test]
fn a_transaction_that_only_reads_writes_nothing() {
    let place = directory();
    let store = open(place.path());
    store.set("a", "1").unwrap();
    let before = store.stats();
    let transaction = store.transaction().unwrap();
    assert!(transaction.contains("a").unwrap() && !transaction.is_empty());
    transaction.commit().unwrap();
    assert_eq!(store.stats(), before);
}

#[test]
fn the_thread_that_has_one_open_is_refused_everything_that_would_wait_for_it() {
    let place = directory();
    let store = with_timeout(place.path(), LONG);
    let mut transaction = store.transaction().unwrap();
    transaction.set("a", "1");
    let begin = Instant::now();
    for durability in [Durability::Sync, Durability::Os] {
        let errors = [
            store.transaction().map(drop).unwrap_err(),
            store.set_with("b", "2", durability).unwrap_err(),
            store.delete_with("b", durability).unwrap_err(),
            store.write_with(Batch::new(), durability).unwrap_err(),
            store.compare_and_set_with("b", None, None, durability).unwrap_err(),
            store.increment_with("b", 1, durability).unwrap_err(),
            store.set_with("large", vec![0; 2 << 20], durability).unwrap_err(),
            store.close().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("this thread has a transaction"), "{error}");
        }
    }
    assert!(begin.elapsed() < LONG / 2, "at once");
    // What does not write goes on.
    store.sync().unwrap();
    assert_eq!((store.view().unwrap().len(), store.stats().records), (0, 0));
    transaction.commit().unwrap();
    store.set("b", "2").unwrap();
    assert_eq!(contents(&store).len(), 2);
    store.close().unwrap();
}

#[test]
fn other_threads_wait_for_it_to_end() {
    let place = directory();
    let store = with_timeout(place.path(), LONG);
    let (begun, ended) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut transaction = store.transaction().unwrap();
            begun.wait();
            thread::sleep(Duration::from_millis(100));
            transaction.set("a", "1");
            ended.store(true, Ordering::SeqCst);
            transaction.commit().unwrap();
        });
        begun.wait();
        let waiters: [fn(&Store); 6] = [
            |store| store.set("set", "").unwrap(),
            |store| store.set_with("unsynced", "", Durability::Os).unwrap(),
            |store| store.write(Batch::new().set("batch", "").clone()).unwrap(),
            |store| assert!(!store.compare_and_set("a", None, None).unwrap()),
            |store| assert_eq!(store.increment("n", 1).unwrap(), 1),
            |store| assert!(store.transaction().unwrap().contains("a").unwrap()),
        ];
        for waiter in waiters {
            let (store, ended) = (&store, &ended);
            scope.spawn(move || {
                waiter(store);
                assert!(ended.load(Ordering::SeqCst), "it did not wait");
            });
        }
        // Readers do not.
        assert!(store.get("a").unwrap().is_none() || ended.load(Ordering::SeqCst));
    });
    assert_eq!(store.len(), 5);
}

#[test]
fn who_waits_too_long_is_told_and_nothing_is_written() {
    let place = directory();
    let timeout = Duration::from_millis(30);
    let store = with_timeout(place.path(), timeout);
    let transaction = store.transaction().unwrap();
    thread::scope(|scope| {
        let waiters = (0..12).map(|number| {
            let store = &store;
            scope.spawn(move || {
                let begin = Instant::now();
                let error = match number % 6 {
                    0 => store.set("b", "2").unwrap_err(),
                    1 => store.set_with("b", "2", Durability::Os).unwrap_err(),
                    2 => store.write(Batch::new()).unwrap_err(),
                    3 => store.increment("n", 1).unwrap_err(),
                    4 => store.transaction().map(drop).unwrap_err(),
                    _ => store.close().unwrap_err(),
                };
                assert_eq!(error.kind(), ErrorKind::Locked);
                assert!(error.to_string().contains("transaction"), "{error}");
                assert!(begin.elapsed() >= timeout && begin.elapsed() < LONG);
            })
        });
        waiters.collect::<Vec<_>>().into_iter().for_each(|waiter| waiter.join().unwrap());
        // Who opens a view is not held up by a close that waits.
        let closing = scope.spawn(|| store.close().unwrap_err().kind());
        while !closing.is_finished() {
            store.view().unwrap();
        }
        assert_eq!(closing.join().unwrap(), ErrorKind::Locked);
    });
    transaction.commit().unwrap();
    assert_eq!(store.stats().writes, 0);
    store.set("b", "2").unwrap();
    store.close().unwrap();
    assert_eq!(store.transaction().map(drop).unwrap_err().kind(), ErrorKind::Closed);
    let store = Options::new().read_only(true).open(place.path()).unwrap();
    assert_eq!(store.transaction().map(drop).unwrap_err().kind(), ErrorKind::ReadOnly);
}

#[test]
fn who_waits_in_slices_is_sent_back_early_with_the_same_error() {
    let place = directory();
    let options = Options::new().transaction_timeout(LONG);
    let store = options.transaction_slice(Duration::from_millis(20)).open(place.path()).unwrap();
    let transaction = store.transaction().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let begin = Instant::now();
            let error = store.set("a", "1").unwrap_err();
            assert!(begin.elapsed() < LONG / 2);
            error
        });
        let error = waiter.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("for longer than 60s"), "{error}");
    });
    drop(transaction);
    assert!(store.is_empty());
}

#[test]
fn a_close_waits_for_a_transaction_that_scans_and_commits() {
    let place = directory();
    let store = with_timeout(place.path(), LONG);
    store.set("a", "1").unwrap();
    let begun = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut transaction = store.transaction().unwrap();
            begun.wait();
            thread::sleep(Duration::from_millis(50));
            assert_eq!(transaction.scan(..).count(), 1);
            transaction.set("b", "2");
            transaction.commit().unwrap();
        });
        begun.wait();
        store.close().unwrap();
    });
    assert_eq!(contents(&open(place.path())).len(), 2);
}

#[test]
fn a_commit_that_is_refused_leaves_nothing_and_ends_the_transaction() {
    let place = directory();
    let store = Options::new().max_value_len(3).open(place.path()).unwrap();
    let mut transaction = store.transaction().unwrap();
    transaction.set("a", "1");
    transaction.set("b", "long");
    assert_eq!(transaction.commit().unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(store.is_empty());
    store.set("c", "1").unwrap();
}

#[test]
fn it_can_be_committed_on_another_thread() {
    let place = directory();
    let store = with_timeout(place.path(), LONG);
    let mut transaction = store.transaction().unwrap();
    transaction.set("a", "1");
    thread::scope(|scope| {
        scope.spawn(move || {
            transaction.set("b", "2");
            transaction.commit().unwrap();
        });
    });
    store.set("c", "3").unwrap();
    assert_eq!(store.len(), 3);
}

#[test]
fn a_panic_in_a_transaction_aborts_it() {
    let place = directory();
    let store = open(place.path());
    let panicked = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut transaction = store.transaction().unwrap();
            transaction.set("a", "1");
            panic!("as the test wants it");
        });
        thread.join().is_err()
    });
    assert!(panicked);
    store.set("b", "2").unwrap();
    assert_eq!(contents(&store).len(), 1);
}

#[test]
fn a_forked_child_can_neither_use_nor_hang_in_one() {
    let place = directory();
    let store = open(place.path());
    store.set("a", "1").unwrap();
    let mut transaction = store.transaction().unwrap();
    transaction.set("b", "2");
    // SAFETY: the child runs on, with one thread, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: a system call; a child that hangs is killed, which the parent notices.
        unsafe { libc::alarm(20) };
        let scanned = transaction.scan(..).next().unwrap().map(drop).unwrap_err().kind();
        let refused = [
            transaction.get("a").map(drop).unwrap_err().kind(),
            transaction.get("b").map(drop).unwrap_err().kind(),
            transaction.delete("b").map(drop).unwrap_err().kind(),
            scanned,
            store.transaction().map(drop).unwrap_err().kind(),
            transaction.commit().unwrap_err().kind(),
        ];
        let code = i32::from(refused != [ErrorKind::Forked; 6]);
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
    transaction.commit().unwrap();
    assert_eq!(contents(&store).len(), 2);
}

/// Threads that move amounts between accounts, whose sum everybody sees unchanged.
#[test]
fn transfers_beside_readers_keep_the_sum() {
    const ACCOUNTS: u64 = 10;
    const EACH: i64 = 100;
    let place = directory();
    let store = open_os(place.path());
    for account in 0..ACCOUNTS {
        assert_eq!(store.increment(account.to_be_bytes(), EACH).unwrap(), EACH);
    }
    let number = |value: &[u8]| i64::from_be_bytes(value.try_into().unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers = [1_u64, 2, 3].map(|thread| {
            let store = &store;
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let (from, to) = (round * thread % ACCOUNTS, (round * 7 + thread) % ACCOUNTS);
                    let mut transaction = store.transaction().unwrap();
                    let amount = (round % 5) as i64;
                    for (account, change) in [(from, -amount), (to, amount)] {
                        let key = account.to_be_bytes();
                        let before = number(&transaction.get(key).unwrap().unwrap());
                        transaction.set(key, (before + change).to_be_bytes());
                    }
                    if round % 9 == 0 {
                        transaction.abort();
                    } else {
                        transaction.commit().unwrap();
                    }
                }
            })
        });
        scope.spawn(|| {
            let keys: Vec<_> = (0..ACCOUNTS).map(u64::to_be_bytes).collect();
            while !stop.load(Ordering::Relaxed) {
                let values = store.get_many(&keys).unwrap();
                let sum: i64 = values.iter().map(|value| number(value.as_ref().unwrap())).sum();
                assert_eq!(sum, ACCOUNTS as i64 * EACH);
                let scan = store.scan(..).map(|item| number(&item.unwrap().1));
                assert_eq!(scan.sum::<i64>(), ACCOUNTS as i64 * EACH);
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        stop.store(true, Ordering::Relaxed);
    });
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, u8),
    Delete(u8),
    Scan(Bound<u8>, Bound<u8>, usize),
    /// A cursor, of which so many are read, and then on from the key.
    Cursor(Bound<u8>, Bound<u8>, bool, usize, u8),
    End(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let bound = || {
        prop_oneof![
            Just(Bound::Unbounded),
            (0..16_u8).prop_map(Bound::Included),
            (0..16_u8).prop_map(Bound::Excluded)
        ]
    };
    prop_oneof![
        6 => (0..16_u8, any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        4 => (0..16_u8).prop_map(Step::Delete),
        4 => (bound(), bound(), 0..20_usize).prop_map(|(from, to, front)| Step::Scan(from, to, front)),
        4 => (bound(), bound(), any::<bool>(), 0..20_usize, 0..16_u8)
            .prop_map(|(from, to, down, first, key)| Step::Cursor(from, to, down, first, key)),
        1 => any::<bool>().prop_map(Step::End),
    ]
}

/// What a scan of a map comes to: `front` items from the front, and then the others from the back.
fn from_both_ends<T>(mut items: impl DoubleEndedIterator<Item = T>, front: usize) -> Vec<T> {
    let mut found: Vec<T> = items.by_ref().take(front).collect();
    found.extend(items.rev());
    found
}

proptest! {
    #[test]
    fn a_transaction_reads_what_a_map_would(steps in vec(step(), 1..80)) {
        let place = directory();
        let store = open_os(place.path());
        let mut committed = Model::new();
        let mut model = Model::new();
        let mut transaction = store.transaction().unwrap();
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    transaction.set([key], [value]);
                    model.insert(vec![key], vec![value]);
                }
                Step::Delete(key) => {
                    let existed = model.remove([key].as_slice()).is_some();
                    prop_assert_eq!(transaction.delete([key]).unwrap(), existed);
                }
                Step::Scan(from, to, front) => {
                    let inside = |key: &u8| {
                        std::ops::RangeBounds::contains(&(from, to), key)
                    };
                    let expected = model.iter().filter(|(key, _)| inside(&key[0]));
                    let expected = from_both_ends(expected, front);
                    let range = (from.map(|key| [key]), to.map(|key| [key]));
                    let found = transaction.scan(range).map(Result::unwrap);
                    let found = from_both_ends(found, front);
                    let found = found.iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
                    let expected = expected.into_iter().map(|(key, value)| (key.clone(), value.clone()));
                    prop_assert!(found.eq(expected));
                }
                Step::Cursor(from, to, down, first, key) => {
                    let inside = |key: &u8| {
                        std::ops::RangeBounds::contains(&(from, to), key)
                    };
                    let mut expected: Vec<_> =
                        model.iter().filter(|(key, _)| inside(&key[0])).collect();
                    if down {
                        expected.reverse();
                    }
                    let direction = if down { Direction::Descending } else { Direction::Ascending };
                    let range = (from.map(|key| [key]), to.map(|key| [key]));
                    let mut cursor = transaction.cursor(range, direction).unwrap();
                    prop_assert_eq!(cursor.remaining(), expected.len());
                    for (key, value) in expected.iter().take(first) {
                        prop_assert_eq!(cursor.next_pair(), Some((&key[..], &value[..])));
                    }
                    prop_assert_eq!(cursor.remaining(), expected.len().saturating_sub(first));
                    cursor.seek([key]).unwrap();
                    expected.retain(|(at, _)| if down { at[0] <= key } else { at[0] >= key });
                    prop_assert_eq!(cursor.remaining(), expected.len());
                    // It has what was written when it was opened, and nothing after that.
                    transaction.delete([key]).unwrap();
                    for (key, value) in &expected {
                        prop_assert_eq!(cursor.next_pair(), Some((&key[..], &value[..])));
                    }
                    prop_assert!(cursor.next_pair().is_none());
                    model.remove([key].as_slice());
                }
                Step::End(commit) => {
                    if commit {
                        transaction.commit().unwrap();
                        committed = model.clone();
                    } else {
                        drop(transaction);
                        model = committed.clone();
                    }
                    prop_assert_eq!(&contents(&store), &committed);
                    transaction = store.transaction().unwrap();
                }
            }
            prop_assert_eq!(transaction.len(), model.len());
            for key in 0..16_u8 {
                let value = transaction.get([key]).unwrap();
                prop_assert_eq!(value.as_deref(), model.get([key].as_slice()).map(Vec::as_slice));
            }
        }
    }
}
