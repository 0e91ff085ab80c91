//! What scenario tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod check;
pub mod disks;
pub mod hostile;
pub mod mutation;
pub mod reading;
pub mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kvstore::{Durability, Options, Store};

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A temporary directory for a store, removed when dropped.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn open(path: &Path) -> Store {
    Store::open(path).unwrap()
}

pub fn open_os(path: &Path) -> Store {
    Options::new().durability(Durability::Os).open(path).unwrap()
}

/// Everything in the store, read by a scan and, key by key, by gets.
pub fn contents(store: &Store) -> Model {
    let mut found = Model::new();
    let mut last: Option<Vec<u8>> = None;
    for item in store.scan(..) {
        let (key, value) = item.unwrap();
        assert!(last.as_deref().is_none_or(|last| last < &*key), "keys ascend");
        last = Some(key.to_vec());
        assert_eq!(store.get(&key).unwrap().as_deref(), Some(&*value), "get agrees with scan");
        found.insert(key.to_vec(), value.to_vec());
    }
    assert_eq!(store.len(), found.len(), "len agrees with scan");
    found
}

/// The names in a directory, sorted.
pub fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// One thing in a directory: its path there, what it is, and its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    path: PathBuf,
    inode: u64,
    mode: u32,
    length: u64,
    /// When the content and when anything else of it was last changed.
    changed: [(i64, i64); 2],
    content: Vec<u8>,
}

/// The directory and everything below it: equal before and after only if nothing was changed, and
/// nothing replaced by the same.
pub fn tree(path: &Path) -> Vec<Found> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let content = if metadata.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let mut found = vec![Found {
        path: path.to_path_buf(),
        inode: metadata.ino(),
        mode: metadata.mode(),
        length: metadata.len(),
        changed: [
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
        ],
        content,
    }];
    if metadata.is_dir() {
        for name in names(path) {
            found.extend(tree(&path.join(name)));
        }
    }
    found
}

/// A copy of a directory that the Go store wrote.
pub fn golden(name: &str) -> tempfile::TempDir {
    let copy = directory();
    for file in names(&golden_path(name)) {
        fs::copy(golden_path(name).join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

pub fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden").join(name)
}

/// What a correct reader finds in a golden directory. The files are JSON objects of hex strings,
/// which need no more of a parser than this.
pub fn golden_contents(name: &str) -> Model {
    let text = fs::read_to_string(golden_path(&format!("{name}.json"))).unwrap();
    let strings: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
    strings.chunks(2).map(|pair| (unhex(pair[0]), unhex(pair[1]))).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
