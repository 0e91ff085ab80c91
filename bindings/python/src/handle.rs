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
//!   An open transaction keeps writers waiting as well, and its own thread needs the interpreter lock
//!   to end it. So such a call, and a transaction, is counted, and while the count is not zero a
//!   write releases the lock too.
//!   The count is exact: it is raised before the interpreter lock is released, so nobody who holds
//!   the interpreter lock can see a zero while such a call is under way. Writers outside this
//!   process cannot exist, the directory is locked.
//!
//! What waits for another thread's transaction waits in slices, and looks for signals in between:
//! every call that may wait goes through [`Handle::patiently`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvstore::{Batch, Cursor, Direction, Durability, Error, ErrorKind, KeyRange, Result, Store};
use pyo3::prelude::*;

use crate::errors::{exception, lock_timeout};

/// How long a wait for a lock or a transaction may go without looking for signals: Ctrl-C interrupts
/// it after about this.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// From this many bytes on a copy into the log is long enough to let other threads run.
const LONG_COPY: usize = 256 << 10;

/// From this many operations on a batch is as long.
const LONG_BATCH: usize = 256;

/// After this many steps of a loop that keeps the interpreter lock others get a turn: a few
/// milliseconds of work, which is the interpreter's own switch interval.
pub(crate) const STEPS_IN_A_TURN: usize = 1 << 14;

/// Lets other threads and signal handlers run when step number `step` of a long loop ends a turn.
#[inline]
pub(crate) fn take_turns(py: Python<'_>, step: usize) -> PyResult<()> {
    if step % STEPS_IN_A_TURN != STEPS_IN_A_TURN - 1 {
        return Ok(());
    }
    end_turn(py)
}

/// Lets other threads and signal handlers run. Python code may run in it.
#[cold]
pub(crate) fn end_turn(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    py.detach(|| ());
    Ok(())
}

/// How long to wait for another thread's transaction.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// `None` is forever.
    timeout: Option<Duration>,
    slice: Duration,
}

impl Patience {
    pub(crate) fn new(timeout: Option<Duration>) -> Patience {
        // As many equal slices as it takes, so that the last one ends when the time is over.
        let count = timeout.map(|timeout| timeout.as_millis().div_ceil(SLICE.as_millis()).max(1));
        let count = count.and_then(|count| u32::try_from(count).ok());
        let slice = timeout.zip(count).map_or(SLICE, |(timeout, count)| timeout / count);
        Patience { timeout, slice }
    }

    /// How long the engine is to wait at a time.
    pub(crate) fn slice(self) -> Duration {
        self.slice
    }
}

/// Why a call failed that may have waited.
pub(crate) enum Failure {
    Engine(Error),
    /// What a signal handler raised.
    Raised(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Engine(error)
    }
}

impl Failure {
    /// The exception. Nothing but a transaction locks a store that is open.
    #[cold]
    fn exception(self, py: Python<'_>) -> PyErr {
        match self {
            Failure::Raised(raised) => raised,
            Failure::Engine(error) if error.kind() == ErrorKind::Locked => lock_timeout(py, error),
            Failure::Engine(error) => exception(py, error),
        }
    }
}

/// An open store with the durability it was opened with.
pub(crate) struct Handle {
    store: Store,
    durability: Durability,
    patience: Patience,
    /// How many calls are under way that may hold the engine's writer lock for long.
    slow_calls: Arc<AtomicUsize>,
}

impl Handle {
    /// `patience` is also what `store` was opened with.
    pub(crate) fn new(store: Store, durability: Durability, patience: Patience) -> Handle {
        Handle { store, durability, patience, slow_calls: Arc::default() }
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

    /// Writes all of `batch` or nothing of it.
    pub(crate) fn write_batch(
        &self,
        py: Python<'_>,
        batch: &Batch,
        durability: Durability,
    ) -> PyResult<()> {
        // Beyond a few operations it is long, and what one costs at least is that of some bytes.
        let size = batch.len() * (LONG_COPY / LONG_BATCH);
        self.write(py, size, durability, |store| store.write_with(batch, durability))
    }

    /// Sets `key` to `new` if its value is `expected`; whether it was. `None` is absence.
    pub(crate) fn compare_and_set(
        &self,
        py: Python<'_>,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> PyResult<bool> {
        let size = key.len() + expected.map_or(0, <[u8]>::len) + new.map_or(0, <[u8]>::len);
        self.write(py, size, durability, |store| {
            store.compare_and_set_with(key, expected, new, durability)
        })
    }

    /// Adds `delta` to the number at `key`; the sum.
    pub(crate) fn increment(
        &self,
        py: Python<'_>,
        key: &[u8],
        delta: i64,
        durability: Durability,
    ) -> PyResult<i64> {
        let call = |store: &Store| store.increment_with(key, delta, durability);
        self.write(py, key.len(), durability, call)
    }

    /// A cursor over `range` as of now.
    pub(crate) fn cursor(
        &self,
        py: Python<'_>,
        range: KeyRange,
        direction: Direction,
    ) -> PyResult<Cursor> {
        self.detached(py, || Ok(self.store.cursor(range, direction)?))
    }

    /// Runs a call that may sleep or is long, without the interpreter lock.
    pub(crate) fn slow<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnMut(&Store) -> Result<T> + Send,
    ) -> PyResult<T> {
        self.detached(py, || self.patiently(call))
    }

    /// As [`slow`](Handle::slow), for what is more than one call of the engine: those of them that
    /// may wait for a transaction are to go through [`patiently`](Handle::patiently).
    pub(crate) fn detached<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce() -> std::result::Result<T, Failure> + Send,
    ) -> PyResult<T> {
        let counted = self.count_slow();
        let result = py.detach(move || {
            let _until_done = counted;
            work()
        });
        result.map_err(|failure| failure.exception(py))
    }

    /// What `call` returns, which may wait for another thread's transaction. It is called again and
    /// again until the time for that is over, and signal handlers run in between.
    #[inline]
    pub(crate) fn patiently<T>(
        &self,
        mut call: impl FnMut(&Store) -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        match call(&self.store) {
            Err(error) if error.kind() == ErrorKind::Locked => self.go_on_waiting(error, call),
            result => Ok(result?),
        }
    }

    #[cold]
    #[inline(never)]
    fn go_on_waiting<T>(
        &self,
        mut error: Error,
        mut call: impl FnMut(&Store) -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        let Patience { timeout, slice } = self.patience;
        // One slice is over. What is beyond the clock's range is forever.
        let left = timeout.map(|timeout| timeout.saturating_sub(slice));
        let deadline = left.and_then(|left| Instant::now().checked_add(left));
        while deadline.is_none_or(|deadline| Instant::now() < deadline) {
            // Not when the interpreter is on its way out.
            Python::try_attach(|py| py.check_signals())
                .unwrap_or(Ok(()))
                .map_err(Failure::Raised)?;
            match call(&self.store) {
                // Nothing of it was done.
                Err(again) if again.kind() == ErrorKind::Locked => error = again,
                result => return Ok(result?),
            }
        }
        Err(error.into())
    }

    /// Counts a slow call, or a transaction, until what is returned is dropped.
    pub(crate) fn count_slow(&self) -> Counted {
        self.slow_calls.fetch_add(1, Ordering::AcqRel);
        Counted(self.slow_calls.clone())
    }

    #[inline]
    fn write<T: Send>(
        &self,
        py: Python<'_>,
        size: usize,
        durability: Durability,
        call: impl FnMut(&Store) -> Result<T> + Send,
    ) -> PyResult<T> {
        if durability == Durability::Sync || size >= LONG_COPY {
            return self.slow(py, call);
        }
        let result = match self.slow_calls.load(Ordering::Acquire) {
            0 => self.patiently(call),
            // Not counted itself: it waits for a slow call, it is none.
            _ => py.detach(|| self.patiently(call)),
        };
        result.map_err(|failure| failure.exception(py))
    }
}

/// One call in [`Handle::slow_calls`], until it is dropped.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
