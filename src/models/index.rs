//! Readers find every key while tables grow, never go back in time, and see records whole.

use std::sync::Arc;

use loom::thread;

use super::World;

use crate::index::{Index, IndexWriter};
use crate::io::{Epoch, Location, SegmentId, Segments, heap_mapping};
use crate::sync::UnsafeCell;

const KEYS: u8 = 6;
/// The lines, of three, that the keys begin at. The first key is in the line that is moved last.
const LINES: [usize; KEYS as usize] = [2, 0, 1, 1, 0, 2];
/// The versions of a key.
const VERSIONS: u8 = 3;
/// A key and value of one byte each, with their lengths.
const RECORD: usize = 10;

/// A record for each version of each key; the value is the version.
struct Records {
    segments: Arc<Segments>,
    segment: SegmentId,
    /// What the keys are called.
    names: Vec<u8>,
    /// Stand for the bytes of the records: stored to before a location is published, looked at by
    /// whoever finds it. Atomics of the index order the one before the other, or the model fails.
    bytes: Vec<UnsafeCell<()>>,
}

impl Records {
    /// Records with names that `line_of` says belong to the lines that they should.
    fn new(segments: Arc<Segments>, line_of: impl Fn(u8) -> usize) -> Records {
        let mut names: Vec<u8> = Vec::new();
        for line in LINES {
            let fits = |name: &u8| line_of(*name) == line && !names.contains(name);
            names.push((0..).find(fits).unwrap());
        }
        let mut bytes = Vec::new();
        for &key in &names {
            for version in 0..VERSIONS {
                bytes.extend_from_slice(&[0, 0, 0, 1, key, 0, 0, 0, 1, version]);
            }
        }
        let cells = (0..bytes.len() / RECORD).map(|_| UnsafeCell::new(())).collect();
        let segment = segments.install(heap_mapping(bytes)).unwrap();
        Records { segments, segment, names, bytes: cells }
    }

    fn number(key: u8, version: u8) -> usize {
        usize::from(key) * usize::from(VERSIONS) + usize::from(version)
    }

    fn location(&self, key: u8, version: u8) -> Location {
        Location::new(self.segment, Records::number(key, version) * RECORD)
    }
}

/// In both worlds.
fn explore(
    name: &'static str,
    preemptions: usize,
    model: impl Fn() + Copy + Send + Sync + 'static,
) {
    super::explore(name, World::Fences, preemptions, model);
    super::explore(name, World::FailingBarrier, preemptions, model);
}

/// The one writer, and the records.
struct Fixture {
    writer: IndexWriter,
    records: Arc<Records>,
}

/// What a reader holds.
#[derive(Clone)]
struct Reader {
    index: Arc<Index>,
    records: Arc<Records>,
}

impl Fixture {
    /// With the first version of the keys below `keys`.
    fn new(keys: u8) -> Fixture {
        let segments = Arc::new(Segments::new());
        let writer = IndexWriter::new(segments.clone());
        let line_of = |name: u8| writer.index().hash(&[name]).line(3);
        let records = Arc::new(Records::new(segments, line_of));
        let mut fixture = Fixture { writer, records };
        for key in 0..keys {
            assert!(!fixture.set(key, 0));
        }
        fixture
    }

    fn reader(&self) -> Reader {
        Reader { index: self.writer.index().clone(), records: self.records.clone() }
    }

    fn set(&mut self, key: u8, version: u8) -> bool {
        self.records.bytes[Records::number(key, version)].with_mut(|_| ());
        let name = [self.records.names[usize::from(key)]];
        let hash = self.writer.index().hash(&name);
        self.writer.reserve(hash).unwrap();
        self.writer.set(hash, &name, self.records.location(key, version))
    }

    /// With the record of `version` as the entry of the delete.
    fn delete(&mut self, key: u8, version: u8) -> bool {
        self.records.bytes[Records::number(key, version)].with_mut(|_| ());
        let name = [self.records.names[usize::from(key)]];
        let hash = self.writer.index().hash(&name);
        self.writer.reserve(hash).unwrap();
        self.writer.delete(hash, &name, self.records.location(key, version))
    }
}

impl Reader {
    fn version(&self, key: u8) -> Option<u8> {
        let guard = Epoch.enter();
        let name = [self.records.names[usize::from(key)]];
        let value = self.index.find(self.index.hash(&name), &name, &guard)?;
        let version = value[0];
        self.records.bytes[Records::number(key, version)].with(|_| ());
        Some(version)
    }
}

#[test]
fn every_key_is_found_while_its_table_grows() {
    explore("a table grows", 3, || {
        // A table of three lines, full.
        let mut fixture = Fixture::new(4);
        let reader = fixture.reader();
        let reader = thread::spawn(move || {
            for key in [0, 3, 1, 2] {
                assert_eq!(reader.version(key), Some(0));
            }
        });
        // Grown; a line is moved with each write until the predecessor is retired.
        for key in [4, 5] {
            assert!(!fixture.set(key, 0));
        }
        assert!(fixture.set(5, 1));
        assert!(fixture.set(5, 2));
        reader.join().unwrap();
        let reader = fixture.reader();
        assert!((0..5).all(|key| reader.version(key) == Some(0)));
        assert_eq!((reader.version(5), reader.index.len()), (Some(2), 6));
    });
}

#[test]
fn versions_of_a_key_are_seen_in_their_order_while_its_table_grows() {
    explore("versions in order", 3, || {
        let mut fixture = Fixture::new(4);
        let reader = fixture.reader();
        let reader = thread::spawn(move || {
            let seen = [(); 3].map(|()| reader.version(0).expect("the key is never absent"));
            assert!(seen.is_sorted(), "{seen:?}");
        });
        assert!(!fixture.set(4, 0));
        assert!(fixture.set(0, 1));
        assert!(fixture.set(0, 2));
        reader.join().unwrap();
    });
}

#[test]
fn a_deleted_key_does_not_come_back_from_the_table_that_was_grown_out_of() {
    explore("a key deleted while its table grows", 3, || {
        let mut fixture = Fixture::new(4);
        let reader = fixture.reader();
        let reader = thread::spawn(move || {
            // In the order that the writer brings them about.
            let states = [Some(0), None, Some(2)];
            let state = |_| states.iter().position(|state| *state == reader.version(0)).unwrap();
            let seen: Vec<_> = (0..3).map(state).collect();
            assert!(seen.is_sorted(), "{seen:?}");
        });
        assert!(!fixture.set(4, 0));
        assert!(fixture.delete(0, 1));
        assert!(!fixture.delete(0, 1), "it is deleted");
        assert!(!fixture.set(0, 2));
        reader.join().unwrap();
        assert_eq!(fixture.reader().version(0), Some(2));
    });
}

#[test]
fn two_readers_find_a_key_while_its_table_grows() {
    explore("two readers of a growing table", 2, || {
        let mut fixture = Fixture::new(4);
        let readers = [0, 3].map(|key| {
            let reader = fixture.reader();
            thread::spawn(move || assert_eq!(reader.version(key), Some(0)))
        });
        for key in [4, 5] {
            assert!(!fixture.set(key, 0));
        }
        assert!(fixture.set(5, 1));
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn an_index_is_emptied_beside_a_reader() {
    explore("an index is emptied", 3, || {
        // While its table grows, so that the predecessor goes with it.
        let mut fixture = Fixture::new(5);
        let reader = fixture.reader();
        let reader = thread::spawn(move || {
            let seen = [(); 2].map(|()| reader.version(1));
            assert!(matches!(seen, [Some(0), _] | [None, None]), "{seen:?}");
        });
        fixture.writer.clear();
        fixture.records.segments.retire_all();
        reader.join().unwrap();
        assert_eq!(fixture.reader().version(1), None);
    });
}
