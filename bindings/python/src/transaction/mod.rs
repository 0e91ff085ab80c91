//! The class `Transaction`: reads and writes that nobody else's writes come between. What makes it a
//! mapping, and its life, are here; its other methods are in `read` and `write`.

mod read;
mod write;

use std::sync::{Mutex, MutexGuard, TryLockError};

use kvstore::{
    Cursor as EngineCursor, Direction, Durability, KeyRange, Transaction as EngineTransaction,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::{bytes_like, to_bytes};
use crate::cursor::{Cursor, Request, Yields};
use crate::equality;
use crate::errors::{closed, exception};
use crate::handle::{Counted, Handle};
use crate::store::missing;

/// Reads and writes that take effect together, as if at one instant, or not at all: a
/// `MutableMapping` from `bytes` to `bytes`, as a store is.
///
/// Made by `Store.transaction`. In a `with` statement it is committed at the end, and aborted if an
/// exception leaves the block; one that is dropped is aborted. Reads through it see what it has
/// written; others see that after the commit, all at once. While it is open every other write to
/// the store waits, and `Store.transaction` as well, for up to the `transaction_timeout` of
/// `kvstore.open`, and then raises `LockTimeout`: keep it short. The thread that began it would
/// wait for itself; its writes that do not go through the transaction are a `ValueError` at once.
/// The coroutines of an event loop are one thread: do not `await` while one is open. Use it from one
/// thread at a time. After its end everything raises `ClosedError`.
///
/// >>> store[b"from"] = b"100"
/// >>> with store.transaction() as transaction:
/// ...     balance = int(transaction[b"from"])
/// ...     transaction[b"from"] = b"%d" % (balance - 30)
/// ...     transaction[b"to"] = b"30"
/// ...     transaction[b"from"], store[b"from"]
/// (b'70', b'100')
/// >>> dict(store)
/// {b'from': b'70', b'to': b'30'}
#[pyclass(frozen, mapping, weakref, module = "kvstore")]
pub(crate) struct Transaction {
    durability: Durability,
    /// Locked while the interpreter lock is not held as well: never waited for.
    open: Mutex<Option<Open>>,
}

struct Open {
    /// Dropped first.
    transaction: EngineTransaction,
    /// Other threads' writes wait until it is over, without the interpreter lock: this thread needs
    /// it to come to an end.
    counted: Counted,
}

impl Transaction {
    pub(crate) fn begin(
        py: Python<'_>,
        handle: &Handle,
        durability: Durability,
    ) -> PyResult<Transaction> {
        let counted = handle.count_slow();
        let transaction = handle.slow(py, kvstore::Store::transaction)?;
        let open = Mutex::new(Some(Open { transaction, counted }));
        Ok(Transaction { durability, open })
    }

    fn open(&self) -> PyResult<MutexGuard<'_, Option<Open>>> {
        match self.open.try_lock() {
            Ok(open) => Ok(open),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(PyRuntimeError::new_err("another thread is using the transaction just now"))
            }
        }
    }

    /// What `call` makes of the transaction; `ClosedError` after its end.
    fn with<T>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut EngineTransaction) -> PyResult<T>,
    ) -> PyResult<T> {
        match self.open()?.as_mut() {
            Some(open) => call(&mut open.transaction),
            None => Err(ended(py)),
        }
    }

    /// `ClosedError` after its end.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |_| Ok(()))
    }

    fn value<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.value_of(key.py(), &bytes_like(key, "key")?)
    }

    fn value_of<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.with(py, |transaction| {
            let found = transaction.get(key).map_err(|error| exception(py, error))?;
            found.map(|value| to_bytes(py, &value)).transpose()
        })
    }

    fn put(&self, py: Python<'_>, key: &[u8], value: &[u8]) -> PyResult<()> {
        self.with(py, |transaction| {
            transaction.set(key, value);
            Ok(())
        })
    }

    fn remove(&self, py: Python<'_>, key: &[u8]) -> PyResult<bool> {
        self.with(py, |transaction| transaction.delete(key).map_err(|error| exception(py, error)))
    }

    fn cursor(
        &self,
        py: Python<'_>,
        range: KeyRange,
        direction: Direction,
    ) -> PyResult<EngineCursor> {
        self.with(py, |transaction| {
            // The first time, all keys are put in order.
            let cursor = py.detach(|| transaction.cursor(range, direction));
            cursor.map_err(|error| exception(py, error))
        })
    }

    fn iterate(&self, py: Python<'_>, yields: Yields, request: Request) -> PyResult<Cursor> {
        let cursor = self.cursor(py, request.range, request.direction)?;
        Ok(Cursor::new(cursor, yields, request.limit))
    }

    fn end(&self) -> PyResult<Option<Open>> {
        Ok(self.open()?.take())
    }
}

#[cold]
fn ended(py: Python<'_>) -> PyErr {
    closed(py, "the transaction has ended; begin another one")
}

#[pymethods]
impl Transaction {
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        self.value(key)?.ok_or_else(|| missing(key))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set(key, value)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.delete(key)? { Ok(()) } else { Err(missing(key)) }
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        self.with(py, |transaction| transaction.contains(key).map_err(|error| exception(py, error)))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |transaction| Ok(transaction.len()))
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Cursor> {
        self.iterate(py, Yields::Keys, Request::all(Direction::Ascending))
    }

    /// The keys in descending order.
    fn __reversed__(&self, py: Python<'_>) -> PyResult<Cursor> {
        self.iterate(py, Yields::Keys, Request::all(Direction::Descending))
    }

    fn __eq__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let entries = || this.cursor(py, KeyRange::all(), Direction::Ascending);
        equality::equal(slf.as_any(), other, || this.__len__(py), entries)
    }

    /// As every mutable mapping, a transaction is not hashable.
    #[classattr]
    #[pyo3(name = "__hash__")]
    const HASH: Option<Py<PyAny>> = None;

    fn __repr__(&self) -> String {
        let state = match self.open() {
            Ok(open) if open.is_none() => "ended",
            _ => "open",
        };
        format!("<kvstore.Transaction {state}>")
    }

    /// Returns the transaction itself.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().check(slf.py())?;
        Ok(slf.clone())
    }

    /// Commits the transaction, or aborts it after an exception; nothing if it has ended before.
    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        if exc_type.is_none() && !self.closed() { self.commit(py) } else { self.abort() }
    }

    /// Refuses: it is the turn of this process to write.
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a kvstore.Transaction cannot be pickled or copied"))
    }

    /// Whether it was committed or aborted.
    #[getter]
    fn closed(&self) -> bool {
        self.open().is_ok_and(|open| open.is_none())
    }

    /// Carries out all that was written, at once, and ends the transaction.
    ///
    /// If it raises, the transaction has ended without effect, except after an
    /// `IndeterminateError`: then all of it survives or nothing, and nobody can tell which.
    ///
    /// >>> transaction = store.transaction()
    /// >>> transaction[b"a"] = b"1"
    /// >>> transaction.commit()
    /// >>> store[b"a"]
    /// b'1'
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let Open { transaction, counted } = self.end()?.ok_or_else(|| ended(py))?;
        let durability = self.durability;
        let committed = py.detach(move || {
            let _until_done = counted;
            transaction.commit_with(durability)
        });
        committed.map_err(|error| exception(py, error))
    }

    /// Ends the transaction without any effect. Again, or after a commit, this does nothing.
    ///
    /// >>> transaction = store.transaction()
    /// >>> transaction[b"a"] = b"1"
    /// >>> transaction.abort()
    /// >>> len(store)
    /// 0
    fn abort(&self) -> PyResult<()> {
        self.end().map(drop)
    }
}
