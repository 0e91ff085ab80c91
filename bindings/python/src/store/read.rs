//! The methods of `Store` that read.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyMemoryView};

use super::{Store, mapping_view};
use crate::bytes::bytes_like;
use crate::cursor::{Cursor, Request, Reverse, Yields};
use crate::errors::exception;
use crate::view::View;
use crate::{bulk, pin};
#[pymethods]
impl Store {
    /// The value of `key`, or `default` when it is missing.
    ///
    /// >>> store.get(b"missing")
    /// >>> store.get(b"missing", b"")
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
    /// Far faster than a loop: the engine fetches across many keys at once.
    ///
    /// >>> store.update({b"a": b"1", b"b": b"2"})
    /// >>> store.get_many([b"b", b"missing", b"a"])
    /// [b'2', None, b'1']
    #[pyo3(signature = (keys, default=None, /))]
    fn get_many<'py>(
        &self,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let none = || keys.py().None().into_bound(keys.py());
        bulk::get_many(&self.0, keys, default.unwrap_or_else(none))
    }

    /// A read-only `memoryview` of the value of `key`, or `None` when it is missing.
    ///
    /// Nothing is copied. The view stays valid, and stays the same, when the key is set or
    /// deleted and when the store is closed; it keeps the file it lies in mapped.
    ///
    /// >>> store[b"image"] = bytes(1000)
    /// >>> view = store.get_view(b"image")
    /// >>> view.nbytes, view.readonly
    /// (1000, True)
    #[pyo3(signature = (key, /))]
    fn get_view<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let py = key.py();
        let pinned = self.0.engine().get_pinned(bytes_like(key, "key")?);
        let pinned = pinned.map_err(|error| exception(py, error))?;
        pinned.map(|value| pin::view(py, value)).transpose()
    }

    /// An iterator over the pairs with `start <= key < stop`, as of now.
    ///
    /// `None` is unbounded. `prefix` keeps the keys that begin with it, `reverse` gives them in
    /// descending order, `limit` gives at most so many.
    ///
    /// >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3", b"c": b"4"})
    /// >>> list(store.scan(prefix=b"b:"))
    /// [(b'b:1', b'2'), (b'b:2', b'3')]
    /// >>> list(store.scan(b"b", reverse=True, limit=1))
    /// [(b'c', b'4')]
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
    /// >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3"})
    /// >>> list(store.scan_keys(prefix=b"b:"))
    /// [b'b:1', b'b:2']
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

    /// The store as it is now, to be read for as long as it is held, whatever is written meanwhile.
    ///
    /// The first call, or first scan, puts all keys in order, which takes about a tenth of a
    /// microsecond for each; after that a view of a store that was not written to costs next to
    /// nothing. See `View`.
    ///
    /// >>> store[b"balance"] = b"100"
    /// >>> with store.view() as view:
    /// ...     store[b"balance"] = b"0"
    /// ...     view[b"balance"]
    /// b'100'
    fn view(&self, py: Python<'_>) -> PyResult<View> {
        self.0.slow(py, kvstore::Store::view).map(View::new)
    }

    /// A set-like view of the keys, in ascending order.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.keys())
    /// [b'a', b'b']
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().0.check(slf.py())?;
        mapping_view(slf.as_any(), "KeysView")
    }

    /// A view of the values, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.values())
    /// [b'1', b'2']
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().0.check(slf.py())?;
        mapping_view(slf.as_any(), "ValuesView")
    }

    /// A set-like view of the pairs, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.items())
    /// [(b'a', b'1'), (b'b', b'2')]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().0.check(slf.py())?;
        mapping_view(slf.as_any(), "ItemsView")
    }
}
