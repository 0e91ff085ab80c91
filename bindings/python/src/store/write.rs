//! The methods of `Store` that write.

use kvstore::{Direction, Durability, KeyRange};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use super::{Store, missing};
use crate::batch::Batch;
use crate::bulk;
use crate::bytes::{bytes_like, to_bytes};
use crate::errors::exception;
use crate::open::Choice;
use crate::transaction::Transaction;
#[pymethods]
impl Store {
    /// Sets `key` to `value`.
    ///
    /// `durability` is "sync" or "os" for this write, or `None` for what the store was opened with.
    ///
    /// >>> store.set(b"user:1", b"alice")
    /// >>> store.set(b"cache:1", b"cheap to lose", durability="os")
    #[pyo3(signature = (key, value, /, *, durability=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        durability: Option<Choice<Durability>>,
    ) -> PyResult<()> {
        self.insert(key, value, durability.map_or(self.0.durability(), |choice| choice.0))
    }

    /// Deletes `key`; whether it was there.
    ///
    /// `durability` is as for `set`.
    ///
    /// >>> store.set(b"user:1", b"alice")
    /// >>> store.delete(b"user:1")
    /// True
    /// >>> store.delete(b"user:1")
    /// False
    #[pyo3(signature = (key, /, *, durability=None))]
    fn delete(
        &self,
        key: &Bound<'_, PyAny>,
        durability: Option<Choice<Durability>>,
    ) -> PyResult<bool> {
        self.remove(key, durability.map_or(self.0.durability(), |choice| choice.0))
    }

    /// Deletes `keys`; how many of them were there.
    ///
    /// Not one atomic step: a crash may leave the first of them deleted. With durability "sync"
    /// there is one sync at the end, and other threads may see the keys gone before it.
    ///
    /// >>> store.update({b"a": b"1", b"b": b"2"})
    /// >>> store.delete_many([b"a", b"missing"])
    /// 1
    #[pyo3(signature = (keys, /))]
    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        bulk::delete_many(&self.0, keys)
    }

    /// Sets every pair of `items`, a mapping or an iterable of pairs, all at once or not at all.
    ///
    /// A crash leaves all of them or none, and so does a wrong pair; nobody sees a part of them. All
    /// are gathered in memory first; `update` sets them one by one instead.
    ///
    /// >>> store.set_many({b"a": b"1", b"b": b"2"})
    /// >>> store.set_many([(b"c", b"3")])
    /// >>> len(store)
    /// 3
    #[pyo3(signature = (items, /))]
    fn set_many(&self, items: &Bound<'_, PyAny>) -> PyResult<()> {
        bulk::set_many(&self.0, items)
    }

    /// A batch: writes that are gathered, and take effect together or not at all. See `Batch`.
    ///
    /// `durability` is as for `set`.
    ///
    /// >>> store[b"old"] = b"1"
    /// >>> with store.batch() as batch:
    /// ...     batch[b"new"] = b"1"
    /// ...     del batch[b"old"]
    /// >>> dict(store)
    /// {b'new': b'1'}
    #[pyo3(signature = (*, durability=None))]
    fn batch(slf: &Bound<'_, Self>, durability: Option<Choice<Durability>>) -> PyResult<Batch> {
        let handle = &slf.get().0;
        handle.check(slf.py())?;
        let durability = durability.map_or(handle.durability(), |choice| choice.0);
        Ok(Batch::new(slf.clone().unbind(), durability))
    }

    /// Begins a transaction: reads and writes that nobody else's writes come between. See `Transaction`.
    ///
    /// `durability` is as for `set`. Waits while another thread's transaction is open, for up to the
    /// `transaction_timeout` of `kvstore.open`, and then raises `LockTimeout`.
    ///
    /// >>> store[b"stock"] = b"3"
    /// >>> with store.transaction() as transaction:
    /// ...     left = int(transaction[b"stock"])
    /// ...     if left > 0:
    /// ...         transaction[b"stock"] = b"%d" % (left - 1)
    /// >>> store[b"stock"]
    /// b'2'
    #[pyo3(signature = (*, durability=None))]
    fn transaction(
        &self,
        py: Python<'_>,
        durability: Option<Choice<Durability>>,
    ) -> PyResult<Transaction> {
        let durability = durability.map_or(self.0.durability(), |choice| choice.0);
        Transaction::begin(py, &self.0, durability)
    }

    /// Sets `key` to `new` if its value is `expected`; whether it was.
    ///
    /// `None` is a missing key: an `expected` of `None` sets only what is not there, a `new` of `None`
    /// deletes. No other write comes between the look and the write. `durability` is as for `set`.
    ///
    /// >>> store.compare_and_set(b"lock", None, b"mine")
    /// True
    /// >>> store.compare_and_set(b"lock", None, b"yours")
    /// False
    /// >>> store.compare_and_set(b"lock", b"mine", None)
    /// True
    #[pyo3(signature = (key, expected, new, /, *, durability=None))]
    fn compare_and_set(
        &self,
        key: &Bound<'_, PyAny>,
        expected: Option<&Bound<'_, PyAny>>,
        new: Option<&Bound<'_, PyAny>>,
        durability: Option<Choice<Durability>>,
    ) -> PyResult<bool> {
        let durability = durability.map_or(self.0.durability(), |choice| choice.0);
        let key_bytes = bytes_like(key, "key")?;
        let expected = expected.map(|value| bytes_like(value, "expected")).transpose()?;
        let new = new.map(|value| bytes_like(value, "new")).transpose()?;
        self.0.compare_and_set(
            key.py(),
            &key_bytes,
            expected.as_deref(),
            new.as_deref(),
            durability,
        )
    }

    /// Adds `delta` to the number that is the value of `key`; the sum. A missing key counts as 0.
    ///
    /// A number is eight bytes, big-endian, in two's complement: `n.to_bytes(8, "big", signed=True)`.
    /// A value of another length, or a sum out of range, is a `ValueError` and nothing is written; a
    /// `delta` out of that range is an `OverflowError`.
    /// No other write comes between the look and the write. `durability` is as for `set`.
    ///
    /// >>> store.increment(b"visits")
    /// 1
    /// >>> store.increment(b"visits", 41)
    /// 42
    /// >>> int.from_bytes(store[b"visits"], "big", signed=True)
    /// 42
    #[pyo3(signature = (key, delta=1, /, *, durability=None))]
    fn increment(
        &self,
        key: &Bound<'_, PyAny>,
        delta: i64,
        durability: Option<Choice<Durability>>,
    ) -> PyResult<i64> {
        let durability = durability.map_or(self.0.durability(), |choice| choice.0);
        self.0.increment(key.py(), &bytes_like(key, "key")?, delta, durability)
    }

    /// Deletes `key` and returns its value, or `default` when it is missing.
    ///
    /// One atomic step: what is deleted is what is returned.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> store.pop(b"a")
    /// b'1'
    /// >>> store.pop(b"a", None)
    #[pyo3(signature = (key, /, default=Given::Missing), text_signature = "($self, key, /, default=...)")]
    fn pop<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Given<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, key_bytes) = (key.py(), bytes_like(key, "key")?);
        while let Some(value) = self.value_of(py, &key_bytes)? {
            let expected = Some(value.as_bytes());
            if self.0.compare_and_set(py, &key_bytes, expected, None, self.0.durability())? {
                return Ok(value.into_any());
            }
        }
        match default {
            Given::Value(default) => Ok(default),
            Given::Missing => Err(missing(key)),
        }
    }

    /// Deletes the first key and returns it with its value; `KeyError` when the store is empty.
    ///
    /// Of several threads each gets another pair. The first call puts all keys in order, as a scan
    /// does; after that each takes some microseconds.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> store.popitem()
    /// (b'a', b'1')
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        loop {
            let mut cursor = self.0.cursor(py, KeyRange::all(), Direction::Ascending)?;
            // The keys at hand are tried before the store is asked again: other threads that pop
            // begin with the same key.
            let mut empty = true;
            while let Some((key, value)) = cursor.next_pair() {
                empty = false;
                let pair = [to_bytes(py, key)?, to_bytes(py, value)?];
                if self.0.compare_and_set(py, key, Some(value), None, self.0.durability())? {
                    return PyTuple::new(py, pair);
                }
            }
            cursor.check().map_err(|error| exception(py, error))?;
            if empty {
                return Err(PyKeyError::new_err("popitem(): the store is empty"));
            }
        }
    }

    /// The value of `key`, which is set to `default` first when it is missing.
    ///
    /// One atomic step: of several threads that set different defaults one wins, and all get its.
    ///
    /// >>> store.setdefault(b"a", b"1")
    /// b'1'
    /// >>> store.setdefault(b"a", b"2")
    /// b'1'
    #[pyo3(signature = (key, default, /))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (py, key_bytes) = (key.py(), bytes_like(key, "key")?);
        loop {
            if let Some(value) = self.value_of(py, &key_bytes)? {
                return Ok(value);
            }
            let value = to_bytes(py, &bytes_like(default, "default")?)?;
            let new = Some(value.as_bytes());
            if self.0.compare_and_set(py, &key_bytes, None, new, self.0.durability())? {
                return Ok(value);
            }
        }
    }

    /// Sets every pair of `other`: a mapping, an object with `keys()`, or an iterable of pairs.
    ///
    /// Not one atomic step: a crash or a wrong pair leaves those before it set. With durability
    /// "sync" there is one sync at the end, and other threads may see the values before it.
    /// Keywords are refused, as their names are `str`.
    ///
    /// >>> store.update({b"a": b"1"})
    /// >>> store.update([(b"b", b"2"), (b"c", b"3")])
    /// >>> len(store)
    /// 3
    #[pyo3(signature = (other=Given::Missing, /, **kwargs), text_signature = "($self, other=(), /, **kwargs)")]
    fn update<'py>(
        &self,
        py: Python<'py>,
        other: Given<'py>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let other = match &other {
            Given::Value(other) => Some(other),
            Given::Missing => None,
        };
        self.0.check(py)?;
        bulk::update(py, &self.0, other, kwargs)
    }

    /// Deletes every key that is there now.
    ///
    /// Not one atomic step: see `delete_many`.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> store.clear()
    /// >>> len(store)
    /// 0
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        bulk::clear(py, &self.0)
    }
}

/// An argument that may be left out where `None` means something.
pub(crate) enum Given<'py> {
    Missing,
    Value(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Given<'py>> {
        Ok(Given::Value(object.to_owned()))
    }
}
