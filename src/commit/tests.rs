//! Groups, order and failed syncs, over a file whose syncs can be held up or made to fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Alarm, Answer, Change, Clock, Committer, Gate, Request, Write, Writer};
use crate::error::{ErrorKind, Result};
use crate::index::{Index, IndexWriter};
use crate::io::{Access, Epoch, File, Mapping, RawFile, Segments, Step, fork_count, heap_mapping};
use crate::record::{Mark, Operation};
use crate::wal::{Allocation, Log, Resume, scan};

/// A log in memory.
#[derive(Default)]
struct FakeFile {
    len: AtomicU64,
    full: AtomicBool,
    failing: AtomicBool,
    panicking: AtomicBool,
    /// While true, syncs wait.
    held: Mutex<bool>,
    /// How many may pass all the same.
    passes: Mutex<usize>,
    released: Condvar,
    syncs: AtomicU64,
    mapping: Mutex<Option<Arc<Mapping>>>,
}

impl FakeFile {
    fn hold(&self, held: bool) {
        *self.held.lock() = held;
        self.released.notify_all();
    }

    /// Lets the sync that waits go on, and holds the next.
    fn let_one_through(&self) {
        let _held = self.held.lock();
        *self.passes.lock() += 1;
        self.released.notify_all();
    }

    fn takes_a_pass(&self) -> bool {
        let mut passes = self.passes.lock();
        let found = *passes > 0;
        *passes -= usize::from(found);
        found
    }

    /// The operations in the log.
    fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        let mapping = self.mapping.lock().clone().unwrap();
        let end = scan(&mapping, |_, operation, _| {
            found.push(operation);
            Ok(())
        });
        assert_eq!(end.unwrap().garbage, 0);
        found
    }
}

impl RawFile for Arc<FakeFile> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Relaxed))
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64, _step: Option<Step>) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    fn allocate(&self, _from: u64, len: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn release(&self, _from: u64, _len: u64) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    fn truncate(&self, _len: u64, _step: Step) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }

    fn sync_data(&self, _step: Step) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let mut held = self.held.lock();
        while *held && !self.takes_a_pass() {
            self.released.wait(&mut held);
        }
        assert!(!self.panicking.load(Ordering::Relaxed), "as the test wants it");
        if self.failing.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn map(&self, _path: &Path, _: u64, len: u64, _: Access) -> io::Result<Arc<Mapping>> {
        let mapping = heap_mapping(vec![0; len as usize]);
        *self.mapping.lock() = Some(mapping.clone());
        Ok(mapping)
    }
}

/// A committer, and its index, which a held sync would otherwise keep out of reach.
struct Fixture {
    committer: Committer,
    index: Arc<Index>,
}

fn fixture(file: &Arc<FakeFile>) -> Fixture {
    let segments = Arc::new(Segments::new());
    let mark = Mark { generation: 1, base: 0 };
    let resume = Resume::empty(mark);
    let file = File::new(PathBuf::from("memory/wal.log"), Box::new(file.clone()));
    let log =
        Log::resume(Arc::new(file), resume, segments.clone(), Allocation::below(u64::MAX), false)
            .unwrap();
    let writer = IndexWriter::new(segments);
    let index = writer.index().clone();
    let clock = Clock::resume(0);
    let alarm = Alarm::never();
    let writer = Writer { log: Some(log), index: writer, clock, writes: 0, groups: 0, alarm };
    let gate = Gate::new(fork_count());
    Fixture { committer: Committer::new(writer, gate, Duration::ZERO), index }
}

impl Fixture {
    fn write(&self, change: Change, key: &str, synced: bool) -> Result<bool> {
        let hash = self.index.hash(key.as_bytes());
        let write = Write { change, key: key.as_bytes(), value: b"", hash };
        if !synced {
            return self.committer.commit(write);
        }
        self.committer.commit_synced(Request::Write(write)).map(Answer::flag)
    }

    fn is_visible(&self, key: &str) -> bool {
        let hash = self.index.hash(key.as_bytes());
        self.index.find(hash, key.as_bytes(), &Epoch.enter()).is_some()
    }

    /// Waits until `count` writes are staged.
    fn until_staged(&self, count: usize) {
        while self.committer.staged() < count {
            thread::yield_now();
        }
    }
}

#[test]
fn writes_that_come_during_a_sync_share_the_next_one() {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    file.hold(true);
    thread::scope(|scope| {
        scope.spawn(|| store.write(Change::Set, "first", true).unwrap());
        while file.syncs.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        for number in 0..10 {
            let (store, key) = (&store, format!("key {number}"));
            scope.spawn(move || store.write(Change::Set, &key, true).unwrap());
        }
        store.until_staged(10);
        file.hold(false);
    });
    assert_eq!(file.syncs.load(Ordering::Relaxed), 2);
    let writer = store.committer.lock();
    assert_eq!((writer.writes, writer.groups, writer.index.index().len()), (11, 2, 11));
    drop(writer);
    // A mark opens the log, and one goes before the group that follows a sync.
    let mut expected = vec![Operation::Mark, Operation::Set, Operation::Mark];
    expected.resize(13, Operation::Set);
    assert_eq!(file.operations(), expected);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    file.hold(true);
    thread::scope(|scope| {
        scope.spawn(|| store.write(Change::Set, "key", true).unwrap());
        while file.syncs.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert!(!store.is_visible("key"));
        file.hold(false);
    });
    assert!(store.is_visible("key"));
}

#[test]
fn outcomes_of_a_group_are_those_of_its_order() {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    assert!(!store.write(Change::Set, "a", true).unwrap());
    file.hold(true);
    thread::scope(|scope| {
        let lead = scope.spawn(|| store.write(Change::Set, "lead", true));
        while file.syncs.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        let mut staged = 0;
        let mut stage = |change, key: &'static str| {
            let store = &store;
            let handle = scope.spawn(move || store.write(change, key, true));
            staged += 1;
            store.until_staged(staged);
            handle
        };
        let outcomes = [
            stage(Change::Delete, "absent"),
            stage(Change::Set, "b"),
            stage(Change::Delete, "b"),
            stage(Change::Delete, "b"),
            stage(Change::Delete, "a"),
            stage(Change::Set, "a"),
        ];
        file.hold(false);
        let outcomes = outcomes.map(|outcome| outcome.join().unwrap().unwrap());
        assert_eq!(outcomes, [false, false, true, false, true, false]);
        lead.join().unwrap().unwrap();
    });
    assert!(store.is_visible("a") && !store.is_visible("b"));
}

#[test]
fn a_failed_sync_is_final() {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    store.write(Change::Set, "before", true).unwrap();
    file.hold(true);
    file.failing.store(true, Ordering::Relaxed);
    thread::scope(|scope| {
        let lead = scope.spawn(|| store.write(Change::Set, "lead", true));
        while file.syncs.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        let queued = [(); 3].map(|()| scope.spawn(|| store.write(Change::Set, "q", true)));
        store.until_staged(3);
        file.hold(false);
        for outcome in [lead].into_iter().chain(queued) {
            let error = outcome.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Indeterminate);
            assert!(error.to_string().contains("wal.log"), "{error}");
        }
    });
    // The kernel would now let a sync succeed that has lost the pages: none is attempted.
    file.failing.store(false, Ordering::Relaxed);
    for synced in [true, false] {
        let error = store.write(Change::Set, "later", synced).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
    }
    assert_eq!(file.syncs.load(Ordering::Relaxed), 2);
    assert!(store.is_visible("before"), "reads go on");
    assert!(!store.is_visible("lead") && !store.is_visible("q"));
}

#[test]
fn a_full_disk_refuses_the_write_and_nothing_else() {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    file.full.store(true, Ordering::Relaxed);
    for synced in [true, false] {
        let error = store.write(Change::Set, "key", synced).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
    assert!(!store.is_visible("key"));
    file.full.store(false, Ordering::Relaxed);
    store.write(Change::Set, "key", true).unwrap();
    assert_eq!(file.operations(), [Operation::Mark, Operation::Set]);
}

/// Has the leader of a group panic: the first one, which commits its own write, or its
/// successor, which commits those that gathered meanwhile.
fn a_panicking_leader(successor: bool) {
    let file = Arc::new(FakeFile::default());
    let store = fixture(&file);
    store.write(Change::Set, "before", true).unwrap();
    file.hold(true);
    thread::scope(|scope| {
        let lead = scope.spawn(|| store.write(Change::Set, "lead", true));
        while file.syncs.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        let queued = [(); 3].map(|()| scope.spawn(|| store.write(Change::Set, "q", true)));
        store.until_staged(3);
        if successor {
            // The leader's sync is let through; that of its successor is held again.
            file.let_one_through();
            while file.syncs.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
        }
        file.panicking.store(true, Ordering::Relaxed);
        file.hold(false);
        let lead = lead.join();
        assert_eq!(lead.is_err(), !successor, "its panic goes on");
        let mut panicked = 0;
        for outcome in queued {
            match outcome.join() {
                Ok(outcome) => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Indeterminate),
                Err(_) => panicked += 1,
            }
        }
        assert_eq!(panicked, usize::from(successor));
    });
    file.panicking.store(false, Ordering::Relaxed);
    // What the panic left of the log is not known: nothing may follow it.
    for synced in [true, false] {
        let error = store.write(Change::Set, "later", synced).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    assert!(store.is_visible("before") && !store.is_visible("q") && !store.is_visible("later"));
}

#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    a_panicking_leader(false);
    a_panicking_leader(true);
}
