//! Directories of the Go store open here, and what is closed here the Go store would read.

mod common;

use std::fs;
use std::path::Path;

use common::{Model, contents, golden, golden_contents, names, open};
use kvstore::{Options, Store};

const GOLDEN: [&str; 4] = ["clean", "crash", "wal-only", "empty"];

#[test]
fn every_golden_directory_opens_to_exactly_its_json() {
    for name in GOLDEN {
        let copy = golden(name);
        assert_eq!(contents(&open(copy.path())), golden_contents(name), "{name}");
    }
}

#[test]
fn every_golden_directory_opens_read_only_and_stays_as_it_is() {
    for name in GOLDEN {
        let copy = golden(name);
        let before = files(copy.path());
        let store = Options::new().read_only(true).open(copy.path()).unwrap();
        assert_eq!(contents(&store), golden_contents(name), "{name}");
        store.close().unwrap();
        assert_eq!(files(copy.path()), before, "{name}");
    }
}

#[test]
fn a_golden_directory_survives_being_changed_crashed_and_closed() {
    for name in GOLDEN {
        let copy = golden(name);
        let mut model = golden_contents(name);
        for round in 0..3 {
            let store = open(copy.path());
            assert_eq!(contents(&store), model, "{name}, round {round}");
            store.set(format!("new:{round}"), "value").unwrap();
            model.insert(format!("new:{round}").into(), b"value".to_vec());
            let gone = model.keys().next().unwrap().clone();
            assert!(store.delete(&gone).unwrap());
            model.remove(&gone);
            if round == 1 {
                store.close().unwrap(); // the other rounds crash
            }
        }
        assert_eq!(contents(&open(copy.path())), model, "{name}");
    }
}

/// Reads a closed directory as the Go store does: exactly `count` entries of the snapshot, all
/// checksums right, and a log of zero bytes.
fn read_as_the_go_store(path: &Path) -> Model {
    assert_eq!(fs::metadata(path.join("wal.log")).unwrap().len(), 0);
    let bytes = fs::read(path.join("snapshot.dat")).unwrap();
    let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(u32_at(0), 0x4B56_5350);
    assert_eq!(u32_at(16), crc32fast::hash(&bytes[..16]));
    let mut found = Model::new();
    let mut at = 20;
    for _ in 0..u32_at(12) {
        let start = at;
        let mut field = || {
            let len = u32_at(at) as usize;
            let content = bytes[at + 4..at + 4 + len].to_vec();
            at += 4 + len;
            content
        };
        let (key, value) = (field(), field());
        assert_eq!(u32_at(at), crc32fast::hash(&bytes[start..at]));
        at += 4;
        assert!(found.last_key_value().is_none_or(|(last, _)| *last < key), "keys ascend");
        found.insert(key, value);
    }
    assert_eq!(at, bytes.len(), "nothing behind the entries");
    found
}

#[test]
fn a_closed_directory_is_one_the_go_store_reads() {
    let directory = common::directory();
    let store = open(directory.path());
    let mut model = Model::new();
    for number in 0..1_000_u32 {
        let key = number.wrapping_mul(2_654_435_761).to_be_bytes().to_vec();
        let value = vec![number as u8; number as usize % 300];
        store.set_with(&key, &value, kvstore::Durability::Os).unwrap();
        model.insert(key, value);
    }
    store.set("", "the empty key").unwrap();
    model.insert(Vec::new(), b"the empty key".to_vec());
    store.close().unwrap();
    assert_eq!(read_as_the_go_store(directory.path()), model);
    assert_eq!(names(directory.path()), ["LOCK", "snapshot.dat", "wal.log"]);
}

#[test]
fn opening_and_closing_a_new_directory_leaves_what_the_go_store_leaves() {
    let directory = common::directory();
    Store::open(directory.path()).unwrap().close().unwrap();
    assert_eq!(read_as_the_go_store(directory.path()), Model::new());
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    names(path).into_iter().map(|name| (name.clone(), fs::read(path.join(name)).unwrap())).collect()
}
