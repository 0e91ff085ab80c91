//! Checkpoints beside threads that write, read and hold views, each of which knows what it must see.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Model, contents, open};
use kvstore::{Batch, Durability, Options, Store};

/// What a writer has under the keys that are its own: the version of each, by number.
type Own = BTreeMap<u64, u64>;

fn own_key(thread: u64, number: u64) -> String {
    format!("{thread}/key:{:08}", number.wrapping_mul(2_654_435_761) % 100_000_000)
}

/// A value says whose it is, and all of it depends on that.
fn own_value(thread: u64, number: u64, version: u64) -> String {
    let head = format!("{number}.{version}.");
    let filling = (thread * 31 + number * 7 + version) % 100;
    format!("{head}{}", format!("{filling:02}").repeat(filling as usize))
}

fn own(thread: u64, model: &Own) -> Model {
    let pair = |(&number, &version): (&u64, &u64)| {
        (own_key(thread, number).into(), own_value(thread, number, version).into())
    };
    model.iter().map(pair).collect()
}

fn collected(scan: kvstore::Scan) -> Model {
    let pairs: Vec<_> = scan.map(|item| item.unwrap()).collect();
    assert!(pairs.is_sorted_by(|(a, _), (b, _)| **a < **b), "keys ascend");
    pairs.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// The newest version that somebody has seen of each writer's keys, and of the key that is set in all
/// of a writer's batches.
#[derive(Default)]
struct Seen(BTreeMap<Vec<u8>, u64>);

impl Seen {
    /// Every value is whole, and none is older than one seen before. A batch sets both its marks.
    fn check(&mut self, found: &Model) {
        for (key, value) in found {
            let text = str::from_utf8(value).unwrap();
            let mut parts = text.splitn(3, '.').map(|part| part.parse::<u64>());
            let [number, version] = [(); 2].map(|()| parts.next().unwrap().unwrap());
            let thread = u64::from(key[0] - b'0');
            assert_eq!(text, own_value(thread, number, version));
            if !key.ends_with(b"mark") {
                assert_eq!(key, own_key(thread, number).as_bytes());
            }
            let seen = self.0.entry(key.clone()).or_default();
            assert!(version >= *seen, "{key:?}: {version} after {seen}");
            *seen = version;
        }
        for (key, value) in found.iter().filter(|(key, _)| key.ends_with(b"/a mark")) {
            let other = [&key[..1], b"/z mark"].concat();
            assert_eq!(found.get(&other), Some(value), "all of a batch or nothing");
        }
    }
}

/// Sets, deletes and batches of its keys in no particular order until told to stop. After each round
/// it finds what it has written, by get and in a view, and the views of earlier rounds as they were.
fn write_own(store: &Store, thread: u64, stop: &AtomicBool) -> Own {
    const KEYS: u64 = 400;
    let mut state = thread + 1;
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut model, mut held) = (Own::new(), Vec::new());
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let mut batch = Batch::new();
        let mark = own_value(thread, 0, round);
        batch.set(format!("{thread}/a mark"), &mark);
        for step in 0..60 {
            let (number, version) = (random(KEYS), round * 100 + step);
            let (key, value) = (own_key(thread, number), own_value(thread, number, version));
            let deletes = random(4) == 0;
            // The last twenty are in a batch.
            let existed = match (deletes, step < 40) {
                (false, true) => store.set(&key, &value).map(|()| None),
                (false, false) => Ok(batch.set(&key, &value)).map(|_| None),
                (true, true) => store.delete(&key).map(Some),
                (true, false) => Ok(batch.delete(&key)).map(|_| None),
            };
            let before =
                if deletes { model.remove(&number) } else { model.insert(number, version) };
            assert!(existed.unwrap().is_none_or(|existed| existed == before.is_some()));
        }
        batch.set(format!("{thread}/z mark"), &mark);
        store.write(batch).unwrap();
        for number in 0..KEYS {
            let expected = model.get(&number).map(|version| own_value(thread, number, *version));
            let found = store.get(own_key(thread, number)).unwrap();
            assert_eq!(found.as_deref(), expected.as_ref().map(|value| value.as_bytes()));
        }
        held.push((store.view().unwrap(), own(thread, &model)));
        for (view, expected) in &held {
            assert_eq!(collected(view.scan_prefix(format!("{thread}/key"))), *expected);
        }
        // So that some are held for long.
        if held.len() > 4 {
            held.remove(random(5) as usize);
        }
    }
    model
}

/// Writers, readers, scans and views that are held beside a loop of checkpoints. Each writer has keys
/// of its own, so it knows what it must find there; others know what they have seen before.
#[test]
fn everybody_goes_on_while_checkpoints_run() {
    const THREADS: u64 = 3;
    const CHECKPOINTS: u64 = 80;
    let directory = common::directory();
    let options = Options::new().durability(Durability::Os).checkpoint_bytes(0);
    let store = options.open(directory.path()).unwrap();
    let stop = AtomicBool::new(false);
    let look = || {
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            seen.check(&collected(store.scan(..)));
            for (key, version) in &mut seen.0 {
                let Some(value) = store.get(key).unwrap() else { continue };
                let text = str::from_utf8(&value).unwrap();
                let newer = text.split('.').nth(1).unwrap().parse().unwrap();
                assert!(newer >= *version, "{key:?}: {newer} after {version}");
                *version = newer;
            }
        }
    };
    let expected = thread::scope(|scope| {
        let _stops = StopOnDrop(&stop);
        let (store, stop) = (&store, &stop);
        let looking = scope.spawn(look);
        let write = |thread| scope.spawn(move || write_own(store, thread, stop));
        let writing: Vec<_> = (0..THREADS).map(write).collect();
        let (mut held, mut seen) = (Vec::new(), Seen::default());
        while store.stats().checkpoints < CHECKPOINTS {
            assert!(writing.iter().all(|thread| !thread.is_finished()) && !looking.is_finished());
            let view = store.view().unwrap();
            let found = collected(view.scan(..));
            seen.check(&found);
            held.push((view, found));
            store.checkpoint().unwrap();
            for (view, found) in &held {
                assert_eq!(collected(view.scan(..)), *found);
                for (key, value) in found.iter().step_by(7) {
                    assert_eq!(view.get(key).unwrap().as_deref(), Some(value.as_slice()));
                }
            }
            if held.len() > 3 {
                held.remove(0);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let models = writing.into_iter().map(|thread| thread.join().unwrap());
        let all = (0..).zip(models).flat_map(|(thread, model)| own(thread, &model));
        all.collect::<Model>()
    });
    let mut found = contents(&store);
    drop(store);
    assert_eq!(contents(&open(directory.path())), found);
    found.retain(|key, _| !key.ends_with(b"mark"));
    assert_eq!(found, expected);
}

/// Has the threads of a scope end also when an assertion fails there, which else waits for them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
