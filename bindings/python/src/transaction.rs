//! The class `Transaction`: reads and writes that nobody else's writes come between.

use std::sync::{Mutex, MutexGuard, TryLockError};

use kvstore::{Direction, Durability, Transaction as EngineTransaction};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::{bytes_like, to_bytes};
use crate::cursor::{Cursor, Request, Reverse, Yields};
use crate::errors::{closed, exception};
use crate::handle::{Counted, Handle};
use crate::store::{mapping_view, missing};

/// Reads and writes that take effect together, as if at one instant, or not at all.
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
#[pyclass(frozen, weakref, module = "kvstore")]
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

    fn value<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        self.with(py, |transaction| {
            let found = transaction.get(&key).map_err(|error| exception(py, error))?;
            found.map(|value| to_bytes(py, &value)).transpose()
        })
    }

    fn iterate(&self, py: Python<'_>, yields: Yields, request: Request) -> PyResult<Cursor> {
        let Request { range, direction, limit } = request;
        let cursor = self.with(py, |transaction| {
            // The first time, all keys are put in order.
            let cursor = py.detach(|| transaction.cursor(range, direction));
            cursor.map_err(|error| exception(py, error))
        })?;
        Ok(Cursor::new(cursor, yields, limit))
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

    /// A transaction is true also when it sees no key: it is no container.
    fn __bool__(&self) -> bool {
        true
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Cursor> {
        self.iterate(py, Yields::Keys, Request::all(Direction::Ascending))
    }

    /// The keys in descending order.
    fn __reversed__(&self, py: Python<'_>) -> PyResult<Cursor> {
        self.iterate(py, Yields::Keys, Request::all(Direction::Descending))
    }

    fn __repr__(&self) -> String {
        let state = match self.open() {
            Ok(open) if open.is_none() => "ended",
            _ => "open",
        };
        format!("<kvstore.Transaction {state}>")
    }

    /// Returns the transaction itself.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().with(slf.py(), |_| Ok(()))?;
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

    /// The value of `key`, or `default` when it is missing.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.get(b"missing", b"")
    /// b''
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.value(key)?.map(Bound::into_any).or(default))
    }

    /// Sets `key` to `value`, for others when the transaction is committed.
    ///
    /// A key or value that is too long for the store is refused by the commit.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.set(b"user:1", b"alice")
    /// >>> store[b"user:1"]
    /// b'alice'
    #[pyo3(signature = (key, value, /))]
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (key_bytes, value) = (bytes_like(key, "key")?, bytes_like(value, "value")?);
        self.with(key.py(), |transaction| {
            transaction.set(key_bytes, value);
            Ok(())
        })
    }

    /// Deletes `key`, for others when the transaction is committed; whether it was there.
    ///
    /// >>> store[b"user:1"] = b"alice"
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.delete(b"user:1"), transaction.delete(b"user:1")
    /// (True, False)
    #[pyo3(signature = (key, /))]
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        self.with(py, |transaction| transaction.delete(key).map_err(|error| exception(py, error)))
    }

    /// An iterator over the pairs with `start <= key < stop`, with what was written so far.
    ///
    /// The arguments are as for `Store.scan`. It goes on after the transaction has ended.
    ///
    /// >>> store.update({b"a": b"1", b"c": b"3"})
    /// >>> with store.transaction() as transaction:
    /// ...     transaction[b"b"] = b"2"
    /// ...     del transaction[b"c"]
    /// ...     list(transaction.scan())
    /// [(b'a', b'1'), (b'b', b'2')]
    #[pyo3(
        signature = (start=None, stop=None, *, prefix=None, reverse=Reverse(false), limit=None),
        text_signature = "($self, start=None, stop=None, *, prefix=None, reverse=False, limit=None)"
    )]
    fn scan(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: Reverse,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cursor> {
        let request = Request::new(start, stop, prefix, reverse, limit)?;
        self.iterate(py, Yields::Pairs, request)
    }

    /// An iterator over the keys alone of what `scan` with the same arguments goes over.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction[b"a"] = b"1"
    /// ...     list(transaction.scan_keys(b"a"))
    /// [b'a']
    #[pyo3(
        signature = (start=None, stop=None, *, prefix=None, reverse=Reverse(false), limit=None),
        text_signature = "($self, start=None, stop=None, *, prefix=None, reverse=False, limit=None)"
    )]
    fn scan_keys(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: Reverse,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cursor> {
        let request = Request::new(start, stop, prefix, reverse, limit)?;
        self.iterate(py, Yields::Keys, request)
    }

    /// A set-like view of the keys, in ascending order, with what the transaction has written.
    ///
    /// >>> store[b"b"] = b"2"
    /// >>> with store.transaction() as transaction:
    /// ...     del transaction[b"b"]
    /// ...     transaction[b"a"] = b"1"
    /// ...     list(transaction.keys())
    /// [b'a']
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().with(slf.py(), |_| Ok(()))?;
        mapping_view(slf.as_any(), "KeysView")
    }

    /// A view of the values, in ascending order of their keys, with what the
    /// transaction has written.
    ///
    /// >>> store[b"b"] = b"2"
    /// >>> with store.transaction() as transaction:
    /// ...     del transaction[b"b"]
    /// ...     transaction[b"a"] = b"1"
    /// ...     list(transaction.values())
    /// [b'1']
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().with(slf.py(), |_| Ok(()))?;
        mapping_view(slf.as_any(), "ValuesView")
    }

    /// A set-like view of the pairs, in ascending order of their keys, with what the
    /// transaction has written.
    ///
    /// >>> store[b"b"] = b"2"
    /// >>> with store.transaction() as transaction:
    /// ...     del transaction[b"b"]
    /// ...     transaction[b"a"] = b"1"
    /// ...     list(transaction.items())
    /// [(b'a', b'1')]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().with(slf.py(), |_| Ok(()))?;
        mapping_view(slf.as_any(), "ItemsView")
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
