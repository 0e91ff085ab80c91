//! The methods of `Transaction` that write.

use kvstore::{Direction, KeyRange};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::Transaction;
use crate::bulk;
use crate::bytes::{bytes_like, to_bytes};
use crate::errors::exception;
use crate::store::{Given, missing};

#[pymethods]
impl Transaction {
    /// Sets `key` to `value`, for others when the transaction is committed.
    ///
    /// A key or value that is too long for the store is refused by the commit.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.set(b"user:1", b"alice")
    /// >>> store[b"user:1"]
    /// b'alice'
    #[pyo3(signature = (key, value, /))]
    pub(super) fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put(key.py(), &bytes_like(key, "key")?, &bytes_like(value, "value")?)
    }

    /// Deletes `key`, for others when the transaction is committed; whether it was there.
    ///
    /// >>> store[b"user:1"] = b"alice"
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.delete(b"user:1"), transaction.delete(b"user:1")
    /// (True, False)
    #[pyo3(signature = (key, /))]
    pub(super) fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.remove(key.py(), &bytes_like(key, "key")?)
    }

    /// Sets every pair of `items`, a mapping or an iterable of pairs. A wrong pair leaves none of them
    /// set.
    ///
    /// All are gathered in memory first; `update` sets them one by one instead.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.set_many({b"a": b"1", b"b": b"2"})
    /// ...     len(transaction)
    /// 2
    #[pyo3(signature = (items, /))]
    fn set_many(&self, items: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = items.py();
        self.check(py)?;
        let mut pairs = Vec::new();
        bulk::each_pair(items, "set_many", |key, value| {
            let (key, value) = (bytes_like(key, "key")?, bytes_like(value, "value")?);
            pairs.push((key.into_owned(), value.into_owned()));
            Ok(())
        })?;
        self.with(py, |transaction| {
            for (key, value) in pairs {
                transaction.set(key, value);
            }
            Ok(())
        })
    }

    /// Deletes `keys`; how many of them were there. A wrong key leaves all of them in place.
    ///
    /// >>> store.update({b"a": b"1", b"b": b"2"})
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.delete_many([b"a", b"missing"])
    /// 1
    #[pyo3(signature = (keys, /))]
    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = keys.py();
        self.check(py)?;
        let objects: Vec<_> = bulk::list_of(keys)?.iter().collect();
        let keys =
            objects.iter().map(|key| bytes_like(key, "key")).collect::<PyResult<Vec<_>>>()?;
        self.with(py, |transaction| {
            let mut deleted = 0;
            for key in &keys {
                let existed = transaction.delete(key).map_err(|error| exception(py, error))?;
                deleted += usize::from(existed);
            }
            Ok(deleted)
        })
    }

    /// Sets `key` to `new` if its value is `expected`, with what the transaction has written; whether
    /// it was.
    ///
    /// `None` is a missing key: an `expected` of `None` sets only what is not there, a `new` of `None`
    /// deletes.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.compare_and_set(b"lock", None, b"mine")
    /// ...     transaction.compare_and_set(b"lock", None, b"yours")
    /// True
    /// False
    #[pyo3(signature = (key, expected, new, /))]
    fn compare_and_set(
        &self,
        key: &Bound<'_, PyAny>,
        expected: Option<&Bound<'_, PyAny>>,
        new: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        let expected = expected.map(|value| bytes_like(value, "expected")).transpose()?;
        let new = new.map(|value| bytes_like(value, "new")).transpose()?;
        self.with(py, |transaction| {
            let set = transaction.compare_and_set(key, expected.as_deref(), new.as_deref());
            set.map_err(|error| exception(py, error))
        })
    }

    /// Adds `delta` to the number that is the value of `key`, with what the transaction has written; the
    /// sum. A missing key counts as 0.
    ///
    /// Numbers and errors are those of `Store.increment`.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.increment(b"visits")
    /// ...     transaction.increment(b"visits", 41)
    /// 1
    /// 42
    #[pyo3(signature = (key, delta=1, /))]
    fn increment(&self, key: &Bound<'_, PyAny>, delta: i64) -> PyResult<i64> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        self.with(py, |transaction| {
            transaction.increment(key, delta).map_err(|error| exception(py, error))
        })
    }

    /// Deletes `key` and returns its value, or `default` when it is missing.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.pop(b"a"), transaction.pop(b"a", None)
    /// (b'1', None)
    #[pyo3(signature = (key, /, default=Given::Missing), text_signature = "($self, key, /, default=...)")]
    fn pop<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Given<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, key_bytes) = (key.py(), bytes_like(key, "key")?);
        if let Some(value) = self.value_of(py, &key_bytes)? {
            self.remove(py, &key_bytes)?;
            return Ok(value.into_any());
        }
        match default {
            Given::Value(default) => Ok(default),
            Given::Missing => Err(missing(key)),
        }
    }

    /// Deletes the first key and returns it with its value; `KeyError` when there is none.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.popitem()
    /// (b'a', b'1')
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let first = self.with(py, |transaction| {
            // The first time, all keys are put in order.
            let first = py.detach(|| transaction.pop_first());
            first.map_err(|error| exception(py, error))
        })?;
        let Some((key, value)) = first else {
            return Err(PyKeyError::new_err("popitem(): the transaction sees no key"));
        };
        PyTuple::new(py, [to_bytes(py, &key)?, to_bytes(py, &value)?])
    }

    /// The value of `key`, which is set to `default` first when it is missing.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.setdefault(b"a", b"1"), transaction.setdefault(b"a", b"2")
    /// (b'1', b'1')
    #[pyo3(signature = (key, default, /))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (py, key) = (key.py(), bytes_like(key, "key")?);
        if let Some(value) = self.value_of(py, &key)? {
            return Ok(value);
        }
        let value = to_bytes(py, &bytes_like(default, "default")?)?;
        self.put(py, &key, value.as_bytes())?;
        Ok(value)
    }

    /// Sets every pair of `other`: a mapping, an object with `keys()`, or an iterable of pairs.
    ///
    /// A wrong pair leaves those before it set. Keywords are refused, as their names are `str`.
    ///
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.update({b"a": b"1"})
    /// ...     transaction.update([(b"b", b"2"), (b"c", b"3")])
    /// >>> len(store)
    /// 3
    #[pyo3(signature = (other=Given::Missing, /, **kwargs), text_signature = "($self, other=(), /, **kwargs)")]
    fn update<'py>(
        &self,
        py: Python<'py>,
        other: Given<'py>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        self.check(py)?;
        let mut set = |key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>| self.set(key, value);
        if let Given::Value(other) = &other {
            bulk::each_pair(other, "update", &mut set)?;
        }
        match kwargs {
            Some(named) => bulk::each_pair(named.as_any(), "update", &mut set),
            None => Ok(()),
        }
    }

    /// Deletes every key.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> with store.transaction() as transaction:
    /// ...     transaction.clear()
    /// >>> len(store)
    /// 0
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |transaction| {
            let cleared = py.detach(|| {
                let mut cursor = transaction.cursor(KeyRange::all(), Direction::Ascending)?;
                while let Some((key, _)) = cursor.next_pair() {
                    transaction.delete(key)?;
                }
                cursor.check()
            });
            cleared.map_err(|error| exception(py, error))
        })
    }
}
