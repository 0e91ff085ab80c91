//! Batches, compare-and-set and increment: all or nothing, for whoever reads and whatever crashes.

mod common;

use std::fs;
use std::sync::Barrier;
use std::thread;

use common::reference::log_entries;
use common::{Model, contents, directory, open, open_os};
use kvstore::{Batch, CloseCheckpoint, Durability, ErrorKind, Options, Store};

/// What a log calls the header of a batch.
const BATCH: u8 = 0x11;

/// The operations in the log of the store at `path`, without marks.
fn operations(path: &std::path::Path) -> Vec<u8> {
    let log = fs::read(path.join("wal.log")).unwrap();
    let operations = log_entries(&log).into_iter().map(|(entry, _)| entry.operation);
    operations.filter(|&operation| operation != common::reference::MARK).collect()
}

#[test]
fn a_batch_takes_effect_in_its_order_and_survives() {
    for durability in [Durability::Sync, Durability::Os] {
        let place = directory();
        let store = Options::new().durability(durability).open(place.path()).unwrap();
        store.set("a", "before").unwrap();
        store.set("b", "before").unwrap();
        let mut batch = Batch::new();
        batch.set("a", "1").set("a", "2").delete("b").set("c", "").delete("c").set("c", "3");
        batch.set("", "an empty key").delete("absent").set("gone", "x").delete("gone");
        assert_eq!(batch.len(), 10);
        store.write(&batch).unwrap();
        let expected: Model = [("a", "2"), ("c", "3"), ("", "an empty key")]
            .map(|(key, value)| (key.into(), value.into()))
            .into();
        assert_eq!(contents(&store), expected);
        assert_eq!(operations(place.path()), [1, 1, BATCH, 1, 1, 2, 1, 2, 1, 1, 1, 2]);
        drop(store);
        let store = open(place.path());
        assert_eq!(contents(&store), expected);
        assert_eq!(store.recovery_report().log_records, 11);
        store.close().unwrap();
        assert_eq!(contents(&open(place.path())), expected);
    }
}

#[test]
fn a_batch_without_effect_writes_nothing() {
    let place = directory();
    let store = open(place.path());
    let mut batch = Batch::new();
    store.write(&batch).unwrap();
    batch.delete("absent").delete("absent");
    store.write(&batch).unwrap();
    assert_eq!((store.stats().log_bytes, store.stats().syncs, store.stats().writes), (0, 0, 0));
    // But what is before it becomes durable, as before a delete of an absent key.
    store.set_with("a", "1", Durability::Os).unwrap();
    store.write(Batch::new()).unwrap();
    assert_eq!(store.stats().syncs, 1);
    batch.clear();
    assert!(batch.is_empty());
    batch.set("b", "2");
    store.write(&batch).unwrap();
    assert_eq!((store.len(), store.stats().syncs, store.stats().writes), (2, 2, 2));
}

#[test]
fn a_batch_that_breaks_a_limit_writes_nothing() {
    let place = directory();
    let store = Options::new().max_key_len(3).max_value_len(5).open(place.path()).unwrap();
    let mut batch = Batch::new();
    batch.set("a", "1").set("long", "1");
    assert_eq!(store.write(&batch).unwrap_err().kind(), ErrorKind::TooLarge);
    batch.clear();
    batch.set("a", "1").set("b", "too long");
    assert_eq!(store.write(&batch).unwrap_err().kind(), ErrorKind::TooLarge);
    batch.clear();
    // A key that is too long now can be deleted.
    batch.set("a", "1").delete("a longer key");
    store.write(&batch).unwrap();
    for new in ["too long", "1"] {
        let key = if new == "1" { "long" } else { "b" };
        let error = store.compare_and_set(key, None, Some(new.as_bytes())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
    assert_eq!(store.increment("b", 1).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(contents(&store).len(), 1);
}

#[test]
fn a_closed_and_a_read_only_store_refuse_all_of_them() {
    let place = directory();
    let store = open(place.path());
    store.set("a", "1").unwrap();
    store.close().unwrap();
    let mut batch = Batch::new();
    batch.set("b", "2");
    let kinds = |store: &Store| {
        [
            store.write(&batch).unwrap_err().kind(),
            store.compare_and_set("a", Some(b"1"), None).unwrap_err().kind(),
            store.increment("c", 1).unwrap_err().kind(),
        ]
    };
    assert_eq!(kinds(&store), [ErrorKind::Closed; 3]);
    let store = Options::new().read_only(true).open(place.path()).unwrap();
    assert_eq!(kinds(&store), [ErrorKind::ReadOnly; 3]);
    assert_eq!(contents(&store).len(), 1);
}

/// A store that has a set, a batch and another set in its log.
fn with_a_batch() -> (tempfile::TempDir, [Model; 3], Vec<u8>) {
    let place = directory();
    let store = open_os(place.path());
    store.set("a", "1").unwrap();
    let first = contents(&store);
    let mut batch = Batch::new();
    batch.set("b", "2").set("c", "a longer value").delete("a").set("d", "");
    store.write(batch).unwrap();
    let second = contents(&store);
    store.set("e", "5").unwrap();
    let third = contents(&store);
    drop(store);
    let log = fs::read(place.path().join("wal.log")).unwrap();
    let end = log_entries(&log).last().unwrap().1;
    (place, [first, second, third], log[..end].to_vec())
}

#[test]
fn a_batch_that_is_not_whole_is_cut_from_its_header_on_and_kept() {
    let (_place, states, log) = with_a_batch();
    let ends: Vec<usize> = log_entries(&log).into_iter().map(|(_, end)| end).collect();
    let [_mark, first, header, .., batch_end, last] = ends[..] else { panic!("{ends:?}") };
    let check = |bytes: &[u8], valid: usize, what: &str| {
        let place = directory();
        fs::write(place.path().join("wal.log"), bytes).unwrap();
        let expected = match valid {
            end if end < first => Model::new(),
            end if end < batch_end => states[0].clone(),
            end if end < last => states[1].clone(),
            _ => states[2].clone(),
        };
        let verified = kvstore::verify(place.path()).unwrap();
        let store = open(place.path());
        assert_eq!(contents(&store), expected, "{what}");
        let report = store.recovery_report().clone();
        if (first..batch_end).contains(&valid) {
            assert_eq!(report.cut_offset.unwrap_or(first as u64), first as u64, "{what}");
            assert_eq!(verified.logs[0].end, first as u64, "{what}");
        }
        if let Some(path) = &report.quarantine {
            let kept = fs::read(path).unwrap();
            let offset = report.cut_offset.unwrap() as usize;
            assert_eq!(kept, bytes[offset..offset + kept.len()], "{what}");
        }
        // A crash leaves that, whatever of the batch is valid.
        if valid >= header && valid < batch_end {
            assert_eq!(verified.condition, kvstore::Condition::Torn, "{what}: {verified}");
            let reason = report.cut_reason.unwrap();
            assert!(reason.contains("batch of 4 entries"), "{reason}");
        }
        store.set("after", "the cut").unwrap();
        drop(store);
        let again = open(place.path());
        assert_eq!(again.recovery_report().bytes_cut, 0, "{what}");
        assert_eq!(again.len(), expected.len() + 1, "{what}");
    };
    for cut in 0..=last {
        check(&log[..cut], cut, &format!("cut at {cut}"));
    }
    for at in first..batch_end {
        let mut torn = log[..batch_end].to_vec();
        torn[at] ^= 0x10;
        check(&torn, at.min(batch_end - 1), &format!("flipped at {at}"));
    }
}

#[test]
fn a_batch_whose_header_does_not_fit_its_entries_ends_the_log() {
    let (_place, states, log) = with_a_batch();
    let entries = log_entries(&log);
    let (start, header_end) = (entries[1].1, entries[2].1);
    let header = &entries[2].0;
    let count = u32::from_be_bytes(header.value[..4].try_into().unwrap());
    let bytes = u64::from_be_bytes(header.value[4..].try_into().unwrap());
    assert_eq!((count, bytes), (4, (entries[6].1 - header_end) as u64));
    let with = |key: &[u8], value: Vec<u8>| {
        let mut other = header.clone();
        (other.key, other.value) = (key.to_vec(), value);
        [&log[..start], &other.encode(), &log[header_end..]].concat()
    };
    let value = |count: u32, bytes: u64| [&count.to_be_bytes()[..], &bytes.to_be_bytes()].concat();
    let wrong = [
        with(b"", value(4, bytes + 1)),
        with(b"", value(4, bytes - 1)),
        with(b"", value(3, bytes)),
        with(b"", value(5, bytes)),
        with(b"", value(u32::MAX, u64::MAX)),
        with(b"", value(0, 1)),
        with(b"k", value(4, bytes)),
        with(b"", header.value[..11].to_vec()),
        with(b"", [&header.value[..], b"0"].concat()),
    ];
    for log in wrong {
        let place = directory();
        fs::write(place.path().join("wal.log"), &log).unwrap();
        let store = open(place.path());
        assert_eq!(contents(&store), states[0]);
        assert_eq!(store.recovery_report().cut_offset, Some(start as u64));
    }
    // A mark, and another batch, do not belong into one.
    for operation in [common::reference::MARK, BATCH] {
        let mut entry = entries[3].0.clone();
        entry.operation = operation;
        let log = [&log[..header_end], &entry.encode(), &log[entries[3].1..]].concat();
        let place = directory();
        fs::write(place.path().join("wal.log"), &log).unwrap();
        assert_eq!(contents(&open(place.path())), states[0]);
    }
    // What a newer version may have meant is not skipped.
    let mut entry = entries[4].0.clone();
    entry.operation = 0x2a;
    let log = [&log[..entries[3].1], &entry.encode(), &log[entries[4].1..]].concat();
    let place = directory();
    fs::write(place.path().join("wal.log"), &log).unwrap();
    let error = Store::open(place.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.offset(), Some(entries[3].1 as u64));
}

#[test]
fn repair_takes_a_batch_whole_or_not_at_all() {
    let (_place, states, log) = with_a_batch();
    let end = log_entries(&log)[6].1;
    for (bytes, expected) in [(&log[..], 2), (&log[..end - 1], 0)] {
        let (from, to) = (directory(), directory());
        fs::write(from.path().join("wal.log"), bytes).unwrap();
        let verified = kvstore::verify(from.path()).unwrap();
        assert_eq!(verified.logs[0].batches, u64::from(expected == 2));
        kvstore::repair(from.path(), to.path().join("new")).unwrap();
        assert_eq!(contents(&open(&to.path().join("new"))), states[expected]);
    }
}

#[test]
fn large_batches_cross_windows_of_the_log() {
    let place = directory();
    let keep = Options::new().close_checkpoint(CloseCheckpoint::Never).durability(Durability::Os);
    let store = keep.open(place.path()).unwrap();
    let mut model = Model::new();
    for round in 0..12_u32 {
        let mut batch = Batch::new();
        for number in 0..3_000_u32 {
            let key = format!("{}:{number}", round % 5).into_bytes();
            if number % 7 == round % 7 {
                batch.delete(&key);
                model.remove(&key);
            } else {
                let value = vec![round as u8; (number % 200) as usize];
                batch.set(&key, &value);
                model.insert(key, value);
            }
        }
        let durability = if round % 2 == 0 { Durability::Sync } else { Durability::Os };
        store.write_with(&batch, durability).unwrap();
    }
    // Above what is staged.
    let mut batch = Batch::new();
    batch.set("large", vec![7; 3 << 20]).set("beside", "it");
    store.write_with(&batch, Durability::Sync).unwrap();
    model.insert("large".into(), vec![7; 3 << 20]);
    model.insert("beside".into(), "it".into());
    assert!(contents(&store) == model);
    store.close().unwrap();
    let store = keep.open(place.path()).unwrap();
    assert_eq!(store.recovery_report().bytes_cut, 0);
    assert!(contents(&store) == model);
}

#[test]
fn many_batches_share_syncs_with_other_writes() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 30;
    let place = directory();
    let store = open(place.path());
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    match thread % 4 {
                        0 => {
                            let mut batch = Batch::new();
                            batch.set(format!("{thread}:{round}:a"), "");
                            batch.set(format!("{thread}:{round}:b"), "");
                            store.write(batch).unwrap();
                        }
                        1 => store.set(format!("{thread}:{round}"), "").unwrap(),
                        2 => drop(store.increment("sum", 1).unwrap()),
                        _ => {
                            let key = format!("{thread}:{round}");
                            assert!(store.compare_and_set(&key, None, Some(b"")).unwrap());
                        }
                    }
                }
            });
        }
    });
    let sum = i64::from_be_bytes((*store.get("sum").unwrap().unwrap()).try_into().unwrap());
    assert_eq!(sum, 2 * ROUNDS as i64);
    assert_eq!(store.len(), 2 * ROUNDS * (2 + 1 + 1) + 1);
    let stats = store.stats();
    assert!(stats.syncs < (THREADS * ROUNDS) as u64, "{stats:?}");
    let before = contents(&store);
    drop(store);
    assert!(contents(&open(place.path())) == before);
}

#[test]
fn compare_and_set_compares_and_sets() {
    let place = directory();
    let store = open(place.path());
    let check = |expected: Option<&str>, new: Option<&str>, outcome: bool| {
        let swapped =
            store.compare_and_set("key", expected.map(str::as_bytes), new.map(str::as_bytes));
        assert_eq!(swapped.unwrap(), outcome);
        store.stats().writes
    };
    assert_eq!(check(Some(""), Some("1"), false), 0, "absent is not empty");
    assert_eq!(check(None, None, true), 0);
    assert_eq!(check(None, Some(""), true), 1);
    assert_eq!(check(None, Some("1"), false), 1, "empty is not absent");
    assert_eq!(check(Some(""), Some("1"), true), 2);
    assert_eq!(check(Some("1"), Some("2"), true), 3);
    assert_eq!(check(Some("1"), None, false), 3);
    assert_eq!(check(Some("2"), None, true), 4);
    assert!(!store.contains("key").unwrap());
    // What was found must be durable before it is told.
    store.set_with("key", "unsynced", Durability::Os).unwrap();
    let syncs = store.stats().syncs;
    assert!(!store.compare_and_set("key", None, Some(b"")).unwrap());
    assert_eq!(store.stats().syncs, syncs + 1);
}

#[test]
fn increment_adds_and_refuses_what_is_no_number() {
    let place = directory();
    let store = open_os(place.path());
    assert_eq!(store.increment("n", 0).unwrap(), 0);
    assert_eq!(store.get("n").unwrap().as_deref(), Some([0; 8].as_slice()));
    assert_eq!(store.increment("n", -5).unwrap(), -5);
    assert_eq!(store.increment("n", i64::MAX).unwrap(), i64::MAX - 5);
    let writes = store.stats().writes;
    let error = store.increment("n", 6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("9223372036854775802"), "{error}");
    store.set("text", "seven b").unwrap();
    let error = store.increment("text", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("key of 4 bytes has a value of 7 bytes"), "{error}");
    assert_eq!(store.stats().writes, writes + 1, "nothing was written");
    drop(store);
    assert_eq!(open(place.path()).increment("n", 5).unwrap(), i64::MAX);
}
