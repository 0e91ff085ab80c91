//! Readers find every key, and none that was deleted, while a checkpoint points slots at the copies
//! of their records, buries others, and retires the old segments, whose numbers are then used
//! again. What a checkpoint does here is in the order of `checkpoint::relocate`.

use std::sync::{Arc, OnceLock};

use loom::thread;

use super::World;

use crate::index::{Index, IndexWriter, Move, Sweep};
use crate::io::{Epoch, Location, SegmentId, SegmentSet, Segments, heap_mapping};
use crate::sync::{UnsafeCell, has_failing_barrier};

/// Keys by number, and the lines, of three, that they begin at. The lines are moved in their order.
const LINES: [usize; 6] = [2, 2, 0, 1, 0, 1];
/// Two keys with the same tag: who looks for one looks at the other as well.
const KEY: u8 = 1;
const TWIN: u8 = 0;

/// A key of three bytes and a value of one, with their lengths.
const RECORD: usize = 12;
/// The value of records that no slot ever pointed at.
const STRANGE: u8 = 255;

/// What the keys are called; found once, since an index in a model always has the same seed.
fn name(index: &Index, key: u8) -> [u8; 3] {
    static NAMES: OnceLock<Vec<[u8; 3]>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let mut names: Vec<[u8; 3]> = Vec::new();
        for (key, line) in LINES.into_iter().enumerate() {
            let fits = |name: &[u8; 3]| {
                let hash = index.hash(name);
                let is_twin = |twin: &[u8; 3]| hash.tag() == index.hash(twin).tag();
                hash.line(3) == line
                    && !names.contains(name)
                    && names.first().is_none_or(|twin| is_twin(twin) == (key == usize::from(KEY)))
            };
            let all = (0..1 << 24)
                .map(|number: u32| [number as u8, (number >> 8) as u8, (number >> 16) as u8]);
            names.push(all.into_iter().find(fits).unwrap());
        }
        names
    });
    names[usize::from(key)]
}

/// A record that some segment has: its key and version, and what stands for its bytes. They are
/// stored to when the segment is installed, and looked at by whoever finds it.
struct Record {
    key: u8,
    version: u8,
    bytes: UnsafeCell<()>,
}

/// All records there are going to be, by the number that is their value.
type Records = Arc<Vec<Record>>;

/// A segment, perhaps not installed yet: the numbers of its records, in their order.
#[derive(Clone, Copy)]
struct Part {
    first: usize,
    count: usize,
}

/// A part that is installed.
#[derive(Clone, Copy)]
struct Installed {
    id: SegmentId,
    part: Part,
}

impl Installed {
    fn set(self) -> SegmentSet {
        let mut set = SegmentSet::default();
        set.insert(self.id);
        set
    }
}

/// The one writer, who also makes the checkpoints.
struct Store {
    writer: IndexWriter,
    segments: Arc<Segments>,
    records: Records,
}

/// What a reader holds.
struct Reader {
    index: Arc<Index>,
    records: Records,
}

/// A store whose segments are to have these records, each a key and a version.
fn store<const N: usize>(parts: [&[(u8, u8)]; N]) -> (Store, [Part; N]) {
    let segments = Arc::new(Segments::new());
    let writer = IndexWriter::new(segments.clone());
    let mut records = Vec::new();
    let parts = parts.map(|part| {
        let first = records.len();
        let record = |&(key, version)| Record { key, version, bytes: UnsafeCell::new(()) };
        records.extend(part.iter().map(record));
        Part { first, count: part.len() }
    });
    (Store { writer, segments, records: Arc::new(records) }, parts)
}

impl Store {
    fn reader(&self) -> Reader {
        Reader { index: self.writer.index().clone(), records: self.records.clone() }
    }

    fn name(&self, key: u8) -> [u8; 3] {
        name(self.writer.index(), key)
    }

    fn install(&self, part: Part) -> Installed {
        let mut bytes = Vec::new();
        for number in part.first..part.first + part.count {
            self.records[number].bytes.with_mut(|_| ());
            self.append(&mut bytes, self.records[number].key, number as u8);
        }
        Installed { id: self.segments.install(heap_mapping(bytes)).unwrap(), part }
    }

    fn append(&self, bytes: &mut Vec<u8>, key: u8, value: u8) {
        bytes.extend_from_slice(&[0, 0, 0, 3]);
        bytes.extend_from_slice(&self.name(key));
        bytes.extend_from_slice(&[0, 0, 0, 1, value]);
    }

    fn offset(&self, at: Installed, key: u8, version: u8) -> Option<usize> {
        let records = &self.records[at.part.first..at.part.first + at.part.count];
        let wanted = |record: &Record| (record.key, record.version) == (key, version);
        records.iter().position(wanted).map(|number| number * RECORD)
    }

    fn location(&self, at: Installed, key: u8, version: u8) -> Option<Location> {
        Some(Location::new(at.id, self.offset(at, key, version)?))
    }

    fn set(&mut self, at: Installed, key: u8, version: u8) {
        let (name, location) = (self.name(key), self.location(at, key, version).unwrap());
        let hash = self.writer.index().hash(&name);
        self.writer.reserve(hash).unwrap();
        self.writer.set(hash, &name, location);
    }

    /// With the record of that version as the entry of the delete.
    fn delete(&mut self, at: Installed, key: u8, version: u8) {
        let (name, location) = (self.name(key), self.location(at, key, version).unwrap());
        let hash = self.writer.index().hash(&name);
        self.writer.reserve(hash).unwrap();
        assert!(self.writer.delete(hash, &name, location));
    }

    /// Points the slots of what `copy` has of `old` there.
    fn relocate(&mut self, old: Installed, copy: Installed) {
        let records = &self.records[copy.part.first..copy.part.first + copy.part.count];
        let moved = |record: &Record| {
            let hash = self.writer.index().hash(&self.name(record.key));
            let from = self.location(old, record.key, record.version)?;
            let to = self.offset(copy, record.key, record.version)?;
            Some(Move::new(hash, from, to as u64))
        };
        let moves: Vec<Move> = records.iter().filter_map(moved).collect();
        self.writer.relocate(&moves, copy.id);
    }

    fn sweep(&mut self, old: Installed) {
        assert!(self.writer.sweep(&mut Sweep::default(), &old.set(), usize::MAX).unwrap());
    }

    /// Retires a segment, and uses its number again, if nobody can still have it in mind, for a
    /// segment with a record of `key` in every place.
    fn retire(&mut self, old: Installed, key: u8) {
        self.segments.retire(old.set());
        self.segments.unmap_retired();
        let mut strange = Vec::new();
        for _ in 0..old.part.count {
            self.append(&mut strange, key, STRANGE);
        }
        // Without a number left nobody can be misled.
        let _installed = self.segments.install(heap_mapping(strange)).is_some();
    }

    /// The end of a model: with no reader left, all that was retired is free, so its number too.
    fn check_free(&self, old: Installed) {
        self.segments.unmap_retired();
        if !has_failing_barrier() {
            let ids = self.segments.all();
            assert!(ids.contains(old.id) || self.segments.are_free(old.set()));
        }
    }
}

impl Reader {
    fn version(&self, key: u8) -> Option<u8> {
        let guard = Epoch.enter();
        let name = name(&self.index, key);
        let value = self.index.find(self.index.hash(&name), &name, &guard)?;
        assert_ne!(value[0], STRANGE, "a number means what it meant when its location was read");
        let record = &self.records[usize::from(value[0])];
        record.bytes.with(|_| ());
        assert_eq!(record.key, key);
        Some(record.version)
    }

    /// Looks `count` times, and sees nothing but `states`, in their order.
    fn sees(&self, key: u8, count: usize, states: &[Option<u8>]) {
        let state = |version| states.iter().position(|state| *state == version);
        let seen: Vec<_> = (0..count).map(|_| state(self.version(key))).collect();
        assert!(seen.iter().all(Option::is_some) && seen.is_sorted(), "{seen:?}");
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

#[test]
fn a_key_is_found_while_it_is_relocated_and_its_table_grows() {
    explore("a relocation while a table grows", 3, || {
        let all = [(KEY, 0), (2, 0), (3, 0), (5, 0), (4, 0)];
        let (mut store, [old, copy, log]) = store([&all, &all, &[(4, 1), (4, 2)]]);
        let old = store.install(old);
        // A table of three lines, full, and grown out of: the key is in the line moved last.
        for (key, version) in all {
            store.set(old, key, version);
        }
        let reader = store.reader();
        let reader = thread::spawn(move || reader.sees(KEY, 2, &[Some(0)]));
        let (log, copy) = (store.install(log), store.install(copy));
        store.relocate(old, copy);
        // A line is moved with each write.
        store.set(log, 4, 1);
        store.sweep(old);
        store.retire(old, KEY);
        store.set(log, 4, 2);
        reader.join().unwrap();
        assert_eq!(store.reader().version(KEY), Some(0));
        assert_eq!(store.reader().version(4), Some(2));
        store.check_free(old);
    });
}

#[test]
fn a_key_that_was_deleted_and_buried_does_not_come_back_while_its_table_grows() {
    explore("a burial while a table grows", 2, || {
        let all = [(KEY, 0), (2, 0), (3, 0), (5, 0), (4, 0), (KEY, 1)];
        let (mut store, [old, copy, log]) = store([&all, &all[1..5], &[(KEY, 2)]]);
        let old = store.install(old);
        for (key, version) in &all[..5] {
            store.set(old, *key, *version);
        }
        let reader = store.reader();
        let reader = thread::spawn(move || reader.sees(KEY, 2, &[Some(0), None, Some(2)]));
        // In the table, while the predecessor has it still.
        store.delete(old, KEY, 1);
        let (log, copy) = (store.install(log), store.install(copy));
        store.relocate(old, copy);
        store.sweep(old);
        store.retire(old, KEY);
        assert_eq!(store.reader().version(KEY), None);
        store.set(log, KEY, 2);
        reader.join().unwrap();
        assert_eq!(store.reader().version(KEY), Some(2));
        store.check_free(old);
    });
}

#[test]
fn a_key_behind_a_buried_one_is_found_when_its_old_slot_is_buried_too() {
    explore("two burials in a predecessor", 3, || {
        let all = [(KEY, 0), (KEY, 1), (2, 0), (3, 0), (4, 0)];
        let (mut store, [first, old, copy]) = store([&[(TWIN, 0), (TWIN, 1)], &all, &all[1..]]);
        let (first, old) = (store.install(first), store.install(old));
        // The one with the same tag comes first in their line, and is deleted and buried there.
        store.set(first, TWIN, 0);
        store.set(old, KEY, 0);
        store.delete(first, TWIN, 1);
        store.sweep(first);
        store.segments.retire(first.set());
        store.segments.unmap_retired();
        // A full table, and one that it is grown out of into.
        for key in [2, 3, 4] {
            store.set(old, key, 0);
        }
        let reader = store.reader();
        let reader = thread::spawn(move || reader.sees(KEY, 2, &[Some(0), Some(1)]));
        // In the table; the predecessor's slot is not needed any more.
        store.set(old, KEY, 1);
        let copy = store.install(copy);
        store.relocate(old, copy);
        store.sweep(old);
        store.retire(old, KEY);
        reader.join().unwrap();
        assert_eq!(store.reader().version(KEY), Some(1));
        assert_eq!(store.reader().version(TWIN), None);
        store.check_free(old);
    });
}

#[test]
fn a_reader_who_is_overtaken_twice_finds_its_key() {
    explore("two relocations", 4, || {
        let (mut store, parts) = store([&[(KEY, 0)], &[(KEY, 0)], &[(KEY, 0)]]);
        let first = store.install(parts[0]);
        store.set(first, KEY, 0);
        let reader = store.reader();
        let reader = thread::spawn(move || reader.sees(KEY, 1, &[Some(0)]));
        let (second, third) = (store.install(parts[1]), store.install(parts[2]));
        for (old, copy) in [(first, second), (second, third)] {
            store.relocate(old, copy);
            store.sweep(old);
            store.retire(old, KEY);
        }
        reader.join().unwrap();
        assert_eq!(store.reader().version(KEY), Some(0));
        store.check_free(second);
    });
}

#[test]
fn a_key_that_is_deleted_after_it_was_relocated_is_not_found() {
    explore("a relocation, then a delete", 3, || {
        let (mut store, [old, copy, log]) = store([&[(KEY, 0)], &[(KEY, 0)], &[(KEY, 1)]]);
        let old = store.install(old);
        store.set(old, KEY, 0);
        let reader = store.reader();
        let reader = thread::spawn(move || reader.sees(KEY, 2, &[Some(0), None]));
        let (log, copy) = (store.install(log), store.install(copy));
        store.relocate(old, copy);
        store.sweep(old);
        store.retire(old, KEY);
        store.delete(log, KEY, 1);
        reader.join().unwrap();
        assert_eq!(store.reader().version(KEY), None);
        store.check_free(old);
    });
}
