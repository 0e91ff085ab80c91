//! The class `Batch`: writes that take effect together.

use std::mem;
use std::sync::{Mutex, MutexGuard, TryLockError};

use kvstore::{Batch as EngineBatch, Durability};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use crate::bytes::bytes_like;
use crate::store::Store;

/// Sets and deletes that take effect together or not at all.
///
/// Made by `Store.batch`. It gathers what is added to it, and `commit` writes it: whatever crashes,
/// all of it is there afterwards or nothing, and nobody sees a part of it. Of several operations on
/// one key the last one counts. In a `with` statement it is committed at the end, and discarded if
/// an exception leaves the block. `len(batch)` is how many operations it holds.
///
/// Reads of the store do not see what is in the batch; a transaction's do. Use it from one thread
/// at a time.
///
/// >>> with store.batch() as batch:
/// ...     batch[b"account:1"] = b"90"
/// ...     batch[b"account:2"] = b"110"
/// >>> dict(store)
/// {b'account:1': b'90', b'account:2': b'110'}
#[pyclass(frozen, module = "kvstore")]
pub(crate) struct Batch {
    store: Py<Store>,
    durability: Durability,
    /// Locked for a whole commit, during which the interpreter lock is not held: never waited for.
    operations: Mutex<EngineBatch>,
}

impl Batch {
    pub(crate) fn new(store: Py<Store>, durability: Durability) -> Batch {
        Batch { store, durability, operations: Mutex::default() }
    }

    fn operations(&self) -> PyResult<MutexGuard<'_, EngineBatch>> {
        match self.operations.try_lock() {
            Ok(operations) => Ok(operations),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err(
                "the batch is being committed by another thread: give each thread its own",
            )),
        }
    }
}

#[pymethods]
impl Batch {
    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set(key, value)
    }

    /// As `delete`: a key that is missing is no `KeyError`, as nobody knows before the commit.
    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.delete(key)
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.operations()?.len())
    }

    /// A batch is true also when it is empty: it is no container.
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self) -> String {
        match self.operations() {
            Ok(operations) => format!("<kvstore.Batch of {} operations>", operations.len()),
            Err(_) => "<kvstore.Batch being committed>".to_owned(),
        }
    }

    /// Returns the batch itself.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// Commits the batch, or discards it after an exception.
    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        if exc_type.is_none() { self.commit(py) } else { self.clear() }
    }

    /// Refuses: its operations belong to a store that is open here.
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a kvstore.Batch cannot be pickled or copied"))
    }

    /// Adds: set `key` to `value`.
    ///
    /// A key or value that is too long for the store is refused when the batch is committed.
    ///
    /// >>> batch = store.batch()
    /// >>> batch.set(b"user:1", b"alice")
    /// >>> len(batch)
    /// 1
    #[pyo3(signature = (key, value, /))]
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (key, value) = (bytes_like(key, "key")?, bytes_like(value, "value")?);
        self.operations()?.set(key, value);
        Ok(())
    }

    /// Adds: delete `key`, which need not be there.
    ///
    /// >>> batch = store.batch()
    /// >>> batch.delete(b"user:1")
    #[pyo3(signature = (key, /))]
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let key = bytes_like(key, "key")?;
        self.operations()?.delete(key);
        Ok(())
    }

    /// Takes all operations out.
    ///
    /// >>> batch = store.batch()
    /// >>> batch.set(b"user:1", b"alice")
    /// >>> batch.clear()
    /// >>> len(batch)
    /// 0
    fn clear(&self) -> PyResult<()> {
        self.operations()?.clear();
        Ok(())
    }

    /// Writes all operations at once; the batch is then empty, to be filled again.
    ///
    /// If it raises, nothing was written and the operations are still there, except after an
    /// `IndeterminateError`: then all of it survives or nothing, and nobody can tell which.
    ///
    /// >>> batch = store.batch()
    /// >>> batch.set(b"user:1", b"alice")
    /// >>> batch.commit()
    /// >>> store[b"user:1"], len(batch)
    /// (b'alice', 0)
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let mut operations = self.operations()?;
        let handle = self.store.get().handle();
        handle.write_batch(py, &operations, self.durability)?;
        // Lets go of the memory: a batch of a loading program can be large.
        drop(mem::take(&mut *operations));
        Ok(())
    }
}
