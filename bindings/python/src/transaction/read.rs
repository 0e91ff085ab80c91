//! The methods of `Transaction` that read.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::Transaction;
use crate::cursor::{Cursor, Request, Reverse, Yields};
use crate::handle::take_turns;
use crate::store::mapping_view;

#[pymethods]
impl Transaction {
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

    /// The values of `keys`, in their order, with `default` for those that are missing.
    ///
    /// >>> store.update({b"a": b"1", b"b": b"2"})
    /// >>> with store.transaction() as transaction:
    /// ...     transaction[b"a"] = b"10"
    /// ...     transaction.get_many([b"b", b"missing", b"a"])
    /// [b'2', None, b'10']
    #[pyo3(signature = (keys, default=None, /))]
    fn get_many<'py>(
        &self,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = keys.py();
        self.check(py)?;
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let values = PyList::empty(py);
        for (step, key) in keys.try_iter()?.enumerate() {
            match self.value(&key?)? {
                Some(value) => values.append(value)?,
                None => values.append(&default)?,
            }
            take_turns(py, step)?;
        }
        Ok(values)
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
        slf.get().check(slf.py())?;
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
        slf.get().check(slf.py())?;
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
        slf.get().check(slf.py())?;
        mapping_view(slf.as_any(), "ItemsView")
    }
}
