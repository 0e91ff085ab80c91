//! The engine's handle, and when to release the interpreter lock around it.
//!
//! Two costs are weighed here. Releasing the lock lets other threads run, but a thread that
//! releases it beside busy threads gets it back only after their switch interval (5 ms): doing so
//! around a call of a microsecond makes threaded programs thousands of times slower. Keeping it
//! around a call that sleeps stops every thread for as long.
//!
//! - Reads never wait for anybody and take well under a microsecond: the lock is kept.
//! - What may sleep (a write that syncs, `sync`, `close`, `open`, and `stats`, which asks the
//!   writer) or is long (a scan's start, large values, many deletes) releases it.
//! - A write under durability "os" is a copy into memory: the lock is kept. It may however find
//!   the engine's writer lock taken by a call of the previous kind, for as long as a sync takes.
//!   That is no deadlock, because the holder of the writer lock needs the interpreter lock only
//!   after it has let go of the writer lock; but every Python thread would stand still meanwhile.
//!   So such a call is counted, and while the count is not zero a write releases the lock too.
//!   The count is exact: it is raised before the interpreter lock is released, so nobody who holds
//!   the interpreter lock can see a zero while such a call is under way. Writers outside this
//!   process cannot exist, the directory is locked.

use std::sync::atomic::{AtomicUsize, Ordering};

use kvstore::{Cursor, Direction, Durability, KeyRange, Result, Store};
use pyo3::prelude::*;

use crate::errors::exception;

/// From this many bytes on a copy into the log is long enough to let other threads run.
const LONG_COPY: usize = 256 << 10;

/// After this many steps of a loop that keeps the interpreter lock others get a turn: a few
/// milliseconds of work, which is the interpreter's own switch interval.
const STEPS_IN_A_TURN: usize = 1 << 14;

/// Lets other threads and signal handlers run when step number `step` of a long loop ends a turn.
#[inline]
pub(crate) fn take_turns(py: Python<'_>, step: usize) -> PyResult<()> {
    if step % STEPS_IN_A_TURN != STEPS_IN_A_TURN - 1 {
        return Ok(());
    }
    py.check_signals()?;
    py.detach(|| ());
    Ok(())
}

/// An open store with the durability it was opened with.
pub(crate) struct Handle {
    store: Store,
    durability: Durability,
    /// How many calls are under way that may hold the engine's writer lock for long.
    slow_calls: AtomicUsize,
}

impl Handle {
    pub(crate) fn new(store: Store, durability: Durability) -> Handle {
        Handle { store, durability, slow_calls: AtomicUsize::new(0) }
    }

    /// The engine's handle, for calls that keep the interpreter lock.
    #[inline]
    pub(crate) fn engine(&self) -> &Store {
        &self.store
    }

    /// What a write does that does not say otherwise.
    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// `ClosedError` after close, `ForkedError` in a forked child.
    #[inline]
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.store.check().map_err(|error| exception(py, error))
    }

    /// How many entries there are.
    pub(crate) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        let len = self.store.len();
        self.check(py)?; // second: a store that is closed meanwhile has no entries
        Ok(len)
    }

    pub(crate) fn set(
        &self,
        py: Python<'_>,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> PyResult<()> {
        let size = key.len() + value.len();
        self.write(py, size, durability, |store| store.set_with(key, value, durability))
    }

    pub(crate) fn delete(
        &self,
        py: Python<'_>,
        key: &[u8],
        durability: Durability,
    ) -> PyResult<bool> {
        self.write(py, key.len(), durability, |store| store.delete_with(key, durability))
    }

    /// A cursor over `range` as of now.
    pub(crate) fn cursor(
        &self,
        py: Python<'_>,
        range: KeyRange,
        direction: Direction,
    ) -> PyResult<Cursor> {
        self.slow(py, |store| store.cursor(range, direction))
    }

    /// Runs a call that may sleep or is long, without the interpreter lock.
    pub(crate) fn slow<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Store) -> Result<T> + Send,
    ) -> PyResult<T> {
        let counted = Counted::new(&self.slow_calls);
        let result = py.detach(move || {
            let _until_done = counted;
            call(&self.store)
        });
        result.map_err(|error| exception(py, error))
    }

    #[inline]
    fn write<T: Send>(
        &self,
        py: Python<'_>,
        size: usize,
        durability: Durability,
        call: impl FnOnce(&Store) -> Result<T> + Send,
    ) -> PyResult<T> {
        if durability == Durability::Sync || size >= LONG_COPY {
            return self.slow(py, call);
        }
        let result = match self.slow_calls.load(Ordering::Acquire) {
            0 => call(&self.store),
            // Not counted itself: it waits for a slow call, it is none.
            _ => py.detach(|| call(&self.store)),
        };
        result.map_err(|error| exception(py, error))
    }
}

/// One call in [`Handle::slow_calls`], until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Counted<'a> {
        count.fetch_add(1, Ordering::AcqRel);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
