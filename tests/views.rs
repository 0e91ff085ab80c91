//! Views and scans: one instant each, in order, whatever is written before, meanwhile and after.

mod common;

use std::fs;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{Model, contents, directory, open, open_os};
use kvstore::{CloseCheckpoint, Direction, Durability, ErrorKind, Options, Store, View};
use proptest::collection::vec;
use proptest::prelude::*;

/// Keys that share beginnings of up to 18 bytes, end within the first eight, at them and behind
/// them, have zeros at the end, and are prefixes of each other; the empty key among them.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just(0_usize), Just(7), Just(8), Just(9), Just(16)];
    let end = vec(prop_oneof![Just(0_u8), Just(1), Just(b'a'), Just(0xFF)], 0..3);
    (start, end).prop_map(|(len, end)| [&b"aaaaaaaabbbbbbbbcc"[..len], &end].concat())
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>),
    Delete(Vec<u8>),
    /// Sets many keys, more than one chunk holds.
    Fill(u16),
    View,
    Drop(usize),
    Check(usize),
    Range(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Prefix(Vec<u8>),
    Reopen(CloseCheckpoint),
}

fn step() -> impl Strategy<Value = Step> {
    let bound = || {
        prop_oneof![
            Just(Bound::Unbounded),
            key().prop_map(Bound::Included),
            key().prop_map(Bound::Excluded)
        ]
    };
    let checkpoint = prop_oneof![Just(CloseCheckpoint::Always), Just(CloseCheckpoint::Never)];
    prop_oneof![
        12 => key().prop_map(Step::Set),
        6 => key().prop_map(Step::Delete),
        1 => any::<u16>().prop_map(Step::Fill),
        4 => Just(Step::View),
        1 => any::<usize>().prop_map(Step::Drop),
        3 => any::<usize>().prop_map(Step::Check),
        4 => (bound(), bound()).prop_map(|(start, end)| Step::Range(start, end)),
        2 => key().prop_map(Step::Prefix),
        1 => checkpoint.prop_map(Step::Reopen),
    ]
}

/// That a view holds this, by every way to look at it.
fn assert_view(view: &View, model: &Model) {
    let pairs: Vec<_> = view.scan(..).map(Result::unwrap).collect();
    let expected = || model.iter().map(|(key, value)| (&**key, &**value));
    assert!(pairs.iter().map(|(key, value)| (&**key, &**value)).eq(expected()));
    let down: Vec<_> = view.scan(..).rev().map(Result::unwrap).collect();
    assert!(down.iter().map(|(key, value)| (&**key, &**value)).eq(expected().rev()));
    assert_eq!((view.len(), view.is_empty()), (model.len(), model.is_empty()));
    for (key, value) in model {
        assert_eq!(view.get(key).unwrap().as_deref(), Some(&**value), "{key:?}");
        assert_eq!(view.get_pinned(key).unwrap().as_deref(), Some(&**value), "{key:?}");
        let behind = [key, b"\0".as_slice()].concat();
        assert_eq!(view.contains(&behind).unwrap(), model.contains_key(&behind), "{behind:?}");
    }
}

fn assert_range(store: &Store, model: &Model, start: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) {
    let range = || (start.clone(), end.clone());
    let inside = |key: &&Vec<u8>| std::ops::RangeBounds::contains(&range(), *key);
    let expected: Vec<_> = model.iter().filter(|(key, _)| inside(key)).collect();
    let pairs: Vec<_> = store.scan(range()).map(Result::unwrap).collect();
    let found = pairs.iter().map(|(key, value)| (&**key, &**value));
    assert!(found.eq(expected.iter().map(|(key, value)| (&***key, &***value))));
    let keys: Vec<_> = store.scan(range()).keys().rev().map(Result::unwrap).collect();
    assert!(keys.iter().map(|key| &**key).eq(expected.iter().rev().map(|(key, _)| &***key)));
    // From both ends, until they meet.
    let mut scan = store.scan(range());
    let (mut from_front, mut from_back) = (Vec::new(), Vec::new());
    while let Some(item) = scan.next() {
        from_front.push(item.unwrap().0.to_vec());
        from_back.extend(scan.next_back().map(|item| item.unwrap().0.to_vec()));
    }
    from_front.extend(from_back.into_iter().rev());
    assert!(from_front.iter().eq(expected.iter().map(|(key, _)| *key)));
    assert_seeks(store, &expected, range());
}

/// That a cursor goes on at each key, and between keys, in both directions.
fn assert_seeks(
    store: &Store,
    expected: &[(&Vec<u8>, &Vec<u8>)],
    range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
) {
    let mut up = store.cursor(range.clone(), Direction::Ascending).unwrap();
    let mut down = store.cursor(range, Direction::Descending).unwrap();
    let targets = expected.iter().flat_map(|(key, _)| {
        [key.to_vec(), [key, b"\0".as_slice()].concat(), key[..key.len() / 2].to_vec()]
    });
    for target in targets.take(60) {
        up.seek(&target).unwrap();
        let mut rest = expected.iter().filter(|(key, _)| **key >= target);
        assert_eq!(up.remaining(), rest.clone().count(), "{target:?}");
        assert_eq!(up.next_pair().map(|(key, _)| key), rest.next().map(|(key, _)| &***key));
        down.seek(&target).unwrap();
        let mut rest = expected.iter().rev().filter(|(key, _)| **key <= target);
        assert_eq!(down.remaining(), rest.clone().count(), "{target:?}");
        assert_eq!(down.next_pair().map(|(key, _)| key), rest.next().map(|(key, _)| &***key));
    }
}

#[test]
fn views_and_scans_agree_with_a_map_at_every_step() {
    let config =
        ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in vec(step(), 80))| {
        let place = directory();
        let mut store = open_os(place.path());
        let (mut model, mut views) = (Model::new(), Vec::<(View, Model)>::new());
        for (number, step) in steps.into_iter().enumerate() {
            let value = number.to_string().into_bytes();
            match step {
                Step::Set(key) => {
                    store.set(&key, &value).unwrap();
                    model.insert(key, value);
                }
                Step::Delete(key) => {
                    assert_eq!(store.delete(&key).unwrap(), model.remove(&key).is_some());
                }
                Step::Fill(seed) => {
                    for number in 0..1500_u32 {
                        let key = number.wrapping_mul(u32::from(seed) | 1).to_be_bytes().to_vec();
                        store.set(&key, &value).unwrap();
                        model.insert(key, value.clone());
                    }
                }
                Step::View => views.push((store.view().unwrap(), model.clone())),
                Step::Drop(which) if !views.is_empty() => {
                    views.remove(which % views.len());
                }
                Step::Check(which) if !views.is_empty() => {
                    let (view, model) = &views[which % views.len()];
                    assert_view(&view.clone(), model);
                }
                Step::Drop(_) | Step::Check(_) => {}
                Step::Range(start, end) => assert_range(&store, &model, &start, &end),
                Step::Prefix(prefix) => {
                    let keys: Vec<_> = store.scan_prefix(&prefix).keys().collect();
                    let expected = model.keys().filter(|key| key.starts_with(&prefix));
                    assert!(keys.iter().map(|key| &**key.as_ref().unwrap()).eq(expected));
                }
                Step::Reopen(checkpoint) => {
                    store.close().unwrap();
                    let options = Options::new().durability(Durability::Os);
                    store = options.close_checkpoint(checkpoint).open(place.path()).unwrap();
                }
            }
        }
        store.close().unwrap();
        views.iter().for_each(|(view, model)| assert_view(view, model));
        assert_eq!(contents(&open_os(place.path())), model);
    });
}

#[test]
fn a_view_is_of_one_instant_whatever_many_threads_write() {
    let place = directory();
    let store = open_os(place.path());
    // Each writer raises its keys in turn, so that at any instant they differ by one at most.
    const KEYS: usize = 40;
    let keys: Vec<Vec<String>> =
        (0..2).map(|writer| (0..KEYS).map(|key| format!("{key:03}:{writer}")).collect()).collect();
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    thread::scope(|scope| {
        for keys in &keys {
            let (store, stop, written) = (&store, &stop, &written);
            scope.spawn(move || {
                for round in 0_u64.. {
                    for key in keys {
                        store.set(key, round.to_be_bytes()).unwrap();
                    }
                    // What comes and goes makes chunks and tables change.
                    let passing = format!("{}:{}", round % 700, keys[0]);
                    if round.is_multiple_of(2) {
                        store.set(passing, "").unwrap();
                    } else {
                        store.delete(format!("{}:{}", (round - 1) % 700, keys[0])).unwrap();
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let mut last = vec![0; keys.len()];
        let mut views = 0;
        // However the processors are shared out, both sides get to do something.
        while views < 3_000 || written.load(Ordering::Relaxed) < 100 {
            views += 1;
            let view = store.view().unwrap();
            for (keys, last) in keys.iter().zip(&mut last) {
                let rounds = keys.iter().rev().filter_map(|key| view.get(key).unwrap());
                let rounds: Vec<u64> =
                    rounds.map(|value| u64::from_be_bytes((*value).try_into().unwrap())).collect();
                let Some((newest, oldest)) = rounds.last().zip(rounds.first()) else { continue };
                assert!(rounds.is_sorted() && newest - oldest <= 1, "{rounds:?}");
                assert!(newest >= last, "views go back in time");
                *last = *newest;
            }
            assert_eq!(view.scan(..).count(), view.len());
        }
        stop.store(true, Ordering::Relaxed);
    });
    contents(&store);
}

#[test]
fn a_write_that_has_returned_is_in_the_next_view() {
    let place = directory();
    let store = open_os(place.path());
    thread::scope(|scope| {
        for writer in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..500_u64 {
                    let key = format!("{writer}");
                    store.set(&key, round.to_be_bytes()).unwrap();
                    let view = store.view().unwrap();
                    assert_eq!(*view.get(&key).unwrap().unwrap(), round.to_be_bytes());
                    store.delete(&key).unwrap();
                    assert!(!store.view().unwrap().contains(&key).unwrap());
                }
            });
        }
    });
}

#[test]
fn a_view_outlives_growth_close_and_the_directory() {
    let place = directory();
    let store = open_os(place.path());
    store.set("key", "before").unwrap();
    let early = store.view().unwrap();
    for number in 0..30_000_u32 {
        store.set(number.to_be_bytes(), [7; 60]).unwrap();
    }
    store.set("key", "after").unwrap();
    let late = store.view().unwrap();
    let other = late.clone();
    store.close().unwrap();
    drop((store, place));
    assert_eq!((early.len(), late.len()), (1, 30_001));
    assert_eq!(early.get("key").unwrap().unwrap(), b"before".as_slice());
    let sum =
        thread::spawn(move || other.scan(..).map(|item| item.unwrap().1.len()).sum::<usize>());
    assert_eq!(sum.join().unwrap(), 30_000 * 60 + 5);
}

#[test]
fn a_read_only_store_has_views() {
    let place = directory();
    let store = open_os(place.path());
    for key in ["b", "a", "c"] {
        store.set(key, key).unwrap();
    }
    store.close().unwrap();
    let store = open_os(place.path());
    store.set("d", "d").unwrap();
    store.delete("b").unwrap();
    drop(store); // snapshot and log
    let store = Options::new().read_only(true).open(place.path()).unwrap();
    let view = store.view().unwrap();
    assert!(view.keys().map(Result::unwrap).eq([b"a", b"c", b"d"].map(|key| key.as_slice())));
    assert_eq!(store.view().unwrap().len(), 3);
}

#[test]
fn nobody_pays_for_the_order_before_it_is_asked_for_and_close_gives_it_back() {
    let place = directory();
    let store = open_os(place.path());
    for number in 0..1_000_u32 {
        store.set(number.to_be_bytes(), "value").unwrap();
    }
    assert_eq!(store.stats().view_bytes, 0);
    let view = store.view().unwrap();
    let bytes = store.stats().view_bytes;
    assert!((16_000..20_000).contains(&bytes), "{bytes}");
    store.set("another", "value").unwrap();
    assert!(store.stats().view_bytes > bytes, "what is to be followed is counted");
    store.close().unwrap();
    assert_eq!(store.stats().view_bytes, 0);
    assert_eq!(view.len(), 1_000);
    assert_eq!(store.view().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.scan(..).next().unwrap().map(drop).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_group_whose_sync_is_under_way_is_in_no_view() {
    let place = directory();
    let store = open(place.path());
    store.set("0", 0_u64.to_be_bytes()).unwrap();
    let acknowledged = AtomicU64::new(0);
    let begun = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=200_u64 {
                begun.store(round, Ordering::SeqCst);
                store.set("0", round.to_be_bytes()).unwrap();
                acknowledged.store(round, Ordering::SeqCst);
            }
        });
        loop {
            let least = acknowledged.load(Ordering::SeqCst);
            let view = store.view().unwrap();
            let most = begun.load(Ordering::SeqCst);
            let value = view.get("0").unwrap().unwrap();
            let seen = u64::from_be_bytes((*value).try_into().unwrap());
            assert!((least..=most).contains(&seen), "{least} {seen} {most}");
            assert_eq!(store.get("0").unwrap().unwrap().len(), 8);
            if seen == 200 {
                break;
            }
        }
    });
}

#[test]
#[cfg(target_os = "linux")]
fn close_gives_back_the_order_and_the_files_that_it_kept_mapped() {
    let place = directory();
    let store = open_os(place.path());
    store.set("key", "value").unwrap();
    let view = store.view().unwrap();
    let is_mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| line.contains(place.path().to_str().unwrap()))
    };
    store.close().unwrap();
    assert!(is_mapped(), "for the view");
    drop(view);
    // A reader of another test may be about to be the last who could have looked there.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while is_mapped() {
        assert!(std::time::Instant::now() < deadline, "the handle is there, and holds nothing");
        thread::yield_now();
    }
    drop(store);
}

/// Overwrites a byte of a store's log while it is open, as failing memory or a stray program would.
fn garble(path: &Path, needle: &[u8], offset: i64) {
    let log = fs::read(path.join("wal.log")).unwrap();
    let found = log.windows(needle.len()).position(|window| window == needle).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path.join("wal.log")).unwrap();
    file.write_all_at(&[0x7F], (found as i64 + offset) as u64).unwrap();
}

#[test]
fn a_record_garbled_after_the_order_was_found_is_an_error_where_it_is_read() {
    let place = directory();
    let store = open_os(place.path());
    for number in 0..10 {
        store.set(format!("key {number}"), "a value").unwrap();
    }
    let view = store.view().unwrap();
    garble(place.path(), b"key 3", 5);
    let errors =
        |scan: kvstore::Scan<'_>| -> Vec<bool> { scan.map(|item| item.is_err()).collect() };
    let expected: Vec<bool> = (0..10).map(|number| number == 3).collect();
    assert_eq!(errors(view.scan(..)), expected);
    assert_eq!(errors(store.scan(..)), expected, "nothing was written: the order stands");
    let error = view.get("key 3").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.path().unwrap().ends_with("wal.log") && error.offset().is_some());
    for (direction, before) in [(Direction::Ascending, 3), (Direction::Descending, 6)] {
        let mut cursor = store.cursor(.., direction).unwrap();
        assert_eq!(cursor.next_pairs(100).count(), before);
        assert!(cursor.next_pair().is_none() && cursor.remaining() == 0);
        assert_eq!(cursor.check().unwrap_err().kind(), ErrorKind::Corrupt);
        cursor.seek("key 5").unwrap();
        cursor.check().unwrap();
        assert_eq!(cursor.next_pair().unwrap().0, b"key 5");
    }
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!place.path().join("snapshot.dat").exists());
}

#[test]
fn a_record_garbled_before_it_was_put_in_order_is_an_error_at_once() {
    let place = directory();
    let store = open_os(place.path());
    store.set("key 1", "a value").unwrap();
    assert_eq!(store.scan(..).count(), 1);
    store.set("key 2", "a value").unwrap();
    garble(place.path(), b"key 2", 5);
    for _ in 0..2 {
        let error = store.view().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("wal.log"), "{error}");
    }
}
