//! The commit queue: every write gets its own outcome, in the order of the log, once it is
//! durable and not before; after a failed sync everybody is told, and nobody waits for ever.
//!
//! A wait that nobody ends is a deadlock, which loom reports.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use parking_lot::Mutex;

use super::{World, explore};
use crate::commit::{Alarm, Answer, Change, Clock, Committer, Gate, Request, Write, Writer};
use crate::error::{ErrorKind, Result};
use crate::index::{Index, IndexWriter};
use crate::io::{Access, Epoch, File, Mapping, RawFile, Segments, Step, fork_count, heap_mapping};
use crate::record::{Mark, Operation};
use crate::wal::{Allocation, Log, Resume, scan};

/// The value of writes that are not synced: visible before they are durable.
const UNSYNCED: &[u8] = b"unsynced";

/// A log in memory, which is looked at whenever it is synced.
#[derive(Default)]
struct Disk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mapping: Option<Arc<Mapping>>,
    index: Option<Arc<Index>>,
    syncs: usize,
    /// The sync of this number fails, the first being 1.
    failing: usize,
    /// Keys whose entries are on the disk.
    durable: Vec<Vec<u8>>,
}

/// An entry of the log.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    operation: Operation,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Disk {
    /// The entries of the log in their order, without marks.
    fn entries(&self) -> Vec<Entry> {
        let mapping = self.state.lock().mapping.clone();
        let mut entries = Vec::new();
        let Some(mapping) = mapping else { return entries };
        let end = scan(&mapping, |_, operation, entry| {
            let run = entry.run;
            if operation != Operation::Mark {
                let (key, value) = (run.key.to_vec(), run.value.to_vec());
                entries.push(Entry { operation, key, value });
            }
            Ok(())
        });
        assert_eq!(end.unwrap().garbage, 0);
        entries
    }

    fn is_durable(&self, key: &[u8]) -> bool {
        self.state.lock().durable.iter().any(|durable| durable == key)
    }
}

impl RawFile for Arc<Disk> {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64, _step: Option<Step>) -> io::Result<usize> {
        unreachable!("a log is mapped")
    }

    fn allocate(&self, _from: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn release(&self, _from: u64, _len: u64) -> io::Result<()> {
        unreachable!("the log is not closed")
    }

    fn truncate(&self, _len: u64, _step: Step) -> io::Result<()> {
        unreachable!("the log is not closed")
    }

    /// Fails the model if anything is visible that is not durable yet.
    fn sync_data(&self, _step: Step) -> io::Result<()> {
        let entries = self.entries();
        let index = self.state.lock().index.clone().unwrap();
        let undurable = entries.iter().filter(|entry| !self.is_durable(&entry.key));
        for entry in undurable.filter(|entry| entry.value != UNSYNCED) {
            assert!(!is_visible(&index, &entry.key), "{entry:?} is visible and not durable");
        }
        // Others go on meanwhile.
        thread::yield_now();
        let mut state = self.state.lock();
        state.syncs += 1;
        assert!(state.failing == 0 || state.syncs <= state.failing, "a sync after a failed one");
        if state.syncs == state.failing {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.durable = entries.into_iter().map(|entry| entry.key).collect();
        Ok(())
    }

    fn map(&self, _path: &Path, _: u64, _len: u64, _: Access) -> io::Result<Arc<Mapping>> {
        let mapping = heap_mapping(vec![0; 1024]);
        self.state.lock().mapping = Some(mapping.clone());
        Ok(mapping)
    }
}

pub(super) fn is_visible(index: &Index, key: &[u8]) -> bool {
    index.find(index.hash(key), key, &Epoch.enter()).is_some()
}

pub(super) struct Store {
    pub(super) committer: Committer,
    pub(super) index: Arc<Index>,
    disk: Arc<Disk>,
}

impl Store {
    /// An empty store, of whose syncs the one of the number `failing` fails.
    pub(super) fn new(failing: usize) -> Arc<Store> {
        let disk = Arc::new(Disk::default());
        let segments = Arc::new(Segments::new());
        let mark = Mark { generation: 1, base: 0 };
        let resume = Resume::empty(mark);
        let file = File::new(PathBuf::from("memory/wal.log"), Box::new(disk.clone()));
        let log = Log::resume(
            Arc::new(file),
            resume,
            segments.clone(),
            Allocation::below(u64::MAX),
            false,
        )
        .unwrap();
        let mut writer = IndexWriter::new(segments);
        // The index has models of its own.
        writer.presize(8).unwrap();
        let index = writer.index().clone();
        *disk.state.lock() = State { index: Some(index.clone()), failing, ..State::default() };
        let clock = Clock::resume(0);
        let alarm = Alarm::never();
        let writer = Writer { log: Some(log), index: writer, clock, writes: 0, groups: 0, alarm };
        let committer = Committer::new(writer, Gate::new(fork_count()), Duration::ZERO);
        Arc::new(Store { committer, index, disk })
    }

    fn write(&self, change: Change, key: &str, value: &str, synced: bool) -> Result<bool> {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let write = Write { change, key, value, hash: self.index.hash(key) };
        if !synced {
            return self.committer.commit(write);
        }
        self.committer.commit_synced(Request::Write(write)).map(Answer::flag)
    }

    fn set(&self, key: &str, value: &str) -> Result<bool> {
        self.write(Change::Set, key, value, true)
    }

    /// What `work` returns on threads for each of `items`; that of the first on this one.
    fn at_once<T: Copy + 'static, R: 'static>(
        self: &Arc<Store>,
        items: &[T],
        work: impl Fn(&Store, T) -> R + Copy + 'static,
    ) -> Vec<R> {
        let spawn = |&item: &T| {
            let store = self.clone();
            thread::spawn(move || work(&store, item))
        };
        let threads: Vec<_> = items[1..].iter().map(spawn).collect();
        let first = work(self, items[0]);
        [first].into_iter().chain(threads.into_iter().map(|other| other.join().unwrap())).collect()
    }
}

#[test]
fn every_synced_write_is_durable_visible_and_in_the_log_once_when_it_returns() {
    explore("synced writes", World::Fences, 3, || {
        let store = Store::new(0);
        store.at_once(&["a", "b", "c"], |store, key| {
            assert!(!store.set(key, "").unwrap());
            assert!(store.disk.is_durable(key.as_bytes()), "{key} is not durable");
            assert!(is_visible(&store.index, key.as_bytes()), "{key} is not visible");
        });
        let mut keys: Vec<_> = store.disk.entries().into_iter().map(|entry| entry.key).collect();
        keys.sort();
        assert_eq!(keys, [b"a", b"b", b"c"]);
        let writer = store.committer.lock();
        assert_eq!((writer.writes, writer.index.index().len()), (3, 3));
    });
}

#[test]
fn outcomes_are_those_of_the_order_of_the_log() {
    explore("outcomes", World::Fences, 3, || {
        let store = Store::new(0);
        let writes = [(Change::Set, "1"), (Change::Set, "2"), (Change::Delete, "")];
        let outcomes = store.at_once(&writes, |store, (change, value)| {
            store.write(change, "key", value, true).unwrap()
        });
        let mut exists = false;
        let mut told = [None; 3];
        for entry in store.disk.entries() {
            let change =
                if entry.operation == Operation::Set { Change::Set } else { Change::Delete };
            let value = str::from_utf8(&entry.value).unwrap();
            let writer = writes.iter().position(|write| *write == (change, value)).unwrap();
            assert_eq!(told[writer].replace(exists), None, "an entry is there twice");
            exists = change == Change::Set;
        }
        assert!(told[0].is_some() && told[1].is_some(), "a set is lost");
        // A delete of what is not there writes nothing.
        let expected = told.map(Option::unwrap_or_default);
        assert_eq!(outcomes, expected);
        assert_eq!(is_visible(&store.index, b"key"), exists);
    });
}

#[test]
fn writes_with_and_without_a_sync_mix() {
    explore("both durabilities", World::Fences, 3, || {
        let store = Store::new(0);
        store.at_once(&[("a", true), ("b", false), ("c", true)], |store, (key, synced)| {
            let value = if synced { "" } else { "unsynced" };
            assert!(!store.write(Change::Set, key, value, synced).unwrap());
            assert!(!synced || store.disk.is_durable(key.as_bytes()));
            assert!(is_visible(&store.index, key.as_bytes()));
        });
        assert_eq!(store.disk.entries().len(), 3);
    });
}

/// A sync fails while others are queued: whoever has success in hand is durable, nobody else is
/// visible, and all have been told.
fn a_failed_sync(failing: usize) {
    let store = Store::new(failing);
    let outcomes = store.at_once(&["a", "b", "c"], |store, key| (key, store.set(key, "")));
    let mut failed = 0;
    for (key, outcome) in outcomes {
        assert_eq!(is_visible(&store.index, key.as_bytes()), outcome.is_ok());
        assert_eq!(store.disk.is_durable(key.as_bytes()), outcome.is_ok());
        if let Err(error) = outcome {
            failed += 1;
            let told = [ErrorKind::Indeterminate, ErrorKind::Poisoned];
            assert!(told.contains(&error.kind()), "{error}");
        }
    }
    let syncs = store.disk.state.lock().syncs;
    assert_eq!(failed > 0, syncs == failing, "{failed} writes failed");
    if failed > 0 {
        assert_eq!(store.set("later", "").unwrap_err().kind(), ErrorKind::Poisoned);
    }
}

#[test]
fn a_failed_sync_is_told_to_all() {
    explore("the first sync fails", World::Fences, 3, || a_failed_sync(1));
    explore("the second sync fails", World::Fences, 3, || a_failed_sync(2));
}
