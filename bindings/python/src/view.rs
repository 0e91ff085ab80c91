//! The class `View`: a store at one instant.

use std::sync::{Mutex, PoisonError};

use kvstore::{Direction, KeyRange, View as EngineView};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};

use crate::backup::back_up;
use crate::bytes::{bytes_like, to_bytes};
use crate::cursor::{Cursor, Request, Reverse, Yields};
use crate::errors::{closed, exception};
use crate::handle::take_turns;
use crate::open::DirectoryPath;
use crate::store::{mapping_view, missing};
use crate::{equality, pin};

/// A store at one instant: a `Mapping` from `bytes` to `bytes` that nothing changes.
///
/// Made by `Store.view`. What is written later does not show, and it stays valid after the store is
/// closed. `len`, `in`, `view[key]`, `iter` and `reversed` work as they do for the store, and a
/// view equals any mapping with the same entries. Any thread may use it. Its files stay mapped, and
/// on the disk once the store has replaced them, until it is closed or dropped: use it in a `with`
/// statement, or let go of it when done. Getting a value takes about three times as long as from
/// the store.
///
/// >>> store.update({b"a": b"1", b"b": b"2"})
/// >>> view = store.view()
/// >>> store.clear()
/// >>> len(view), view[b"a"], b"c" in view
/// (2, b'1', False)
/// >>> dict(view)
/// {b'a': b'1', b'b': b'2'}
#[pyclass(frozen, mapping, weakref, module = "kvstore")]
pub(crate) struct View {
    /// `None` once it is closed. Locked only to copy two pointers.
    view: Mutex<Option<EngineView>>,
}

impl View {
    pub(crate) fn new(view: EngineView) -> View {
        View { view: Mutex::new(Some(view)) }
    }

    fn is_closed(&self) -> bool {
        self.view.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The engine's view; `ClosedError` after close.
    pub(crate) fn engine(&self, py: Python<'_>) -> PyResult<EngineView> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        view.ok_or_else(|| closed(py, "the view is closed; take another one of the store"))
    }

    fn value<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let py = key.py();
        value_of(py, &self.engine(py)?, key)
    }

    fn iterate(&self, py: Python<'_>, yields: Yields, request: Request) -> PyResult<Cursor> {
        let cursor = self.engine(py)?.cursor(request.range, request.direction);
        let cursor = cursor.map_err(|error| exception(py, error))?;
        Ok(Cursor::new(cursor, yields, request.limit))
    }
}

fn value_of<'py>(
    py: Python<'py>,
    view: &EngineView,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let found = view.get(bytes_like(key, "key")?).map_err(|error| exception(py, error))?;
    found.map(|value| to_bytes(py, &value)).transpose()
}

#[pymethods]
impl View {
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        self.value(key)?.ok_or_else(|| missing(key))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = key.py();
        let found = self.engine(py)?.contains(bytes_like(key, "key")?);
        found.map_err(|error| exception(py, error))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.engine(py)?.len())
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
        let (py, view) = (slf.py(), slf.get());
        let entries = || {
            let cursor = view.engine(py)?.cursor(KeyRange::all(), Direction::Ascending);
            cursor.map_err(|error| exception(py, error))
        };
        equality::equal(slf.as_any(), other, || view.__len__(py), entries)
    }

    /// As other mappings that compare by their entries, a view is not hashable.
    #[classattr]
    #[pyo3(name = "__hash__")]
    const HASH: Option<Py<PyAny>> = None;

    fn __repr__(&self, py: Python<'_>) -> String {
        match self.engine(py) {
            Ok(view) => format!("<kvstore.View of {} keys>", view.len()),
            Err(_) => "<kvstore.View closed>".to_owned(),
        }
    }

    /// Returns the view itself.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().engine(slf.py())?;
        Ok(slf.clone())
    }

    /// Closes the view.
    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exc_type, exc_value, traceback);
        self.close();
    }

    /// Refuses: another process does not have these files mapped.
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a kvstore.View cannot be pickled or copied: share it between threads as it is, or \
             use dict(view)",
        ))
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        self.is_closed()
    }

    /// The value of `key`, or `default` when it is missing.
    ///
    /// >>> with store.view() as view:
    /// ...     view.get(b"missing", b"")
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
    /// >>> with store.view() as view:
    /// ...     view.get_many([b"b", b"missing", b"a"])
    /// [b'2', None, b'1']
    #[pyo3(signature = (keys, default=None, /))]
    fn get_many<'py>(
        &self,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = keys.py();
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let (view, values) = (self.engine(py)?, PyList::empty(py));
        for (step, key) in keys.try_iter()?.enumerate() {
            match value_of(py, &view, &key?)? {
                Some(value) => values.append(value)?,
                None => values.append(&default)?,
            }
            take_turns(py, step)?;
        }
        Ok(values)
    }

    /// A read-only `memoryview` of the value of `key`, or `None` when it is missing.
    ///
    /// Nothing is copied, and it stays valid when the view is closed; it keeps the file it lies in
    /// mapped.
    ///
    /// >>> store[b"image"] = bytes(1000)
    /// >>> with store.view() as view:
    /// ...     image = view.get_view(b"image")
    /// >>> image.nbytes, image.readonly
    /// (1000, True)
    #[pyo3(signature = (key, /))]
    fn get_view<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let py = key.py();
        let pinned = self.engine(py)?.get_pinned(bytes_like(key, "key")?);
        let pinned = pinned.map_err(|error| exception(py, error))?;
        pinned.map(|value| pin::view(py, value)).transpose()
    }

    /// An iterator over the pairs with `start <= key < stop`.
    ///
    /// `None` is unbounded. `prefix` keeps the keys that begin with it, `reverse` gives them in
    /// descending order, `limit` gives at most so many. It goes on after the view is closed.
    ///
    /// >>> store.update({b"a": b"1", b"b:1": b"2", b"b:2": b"3"})
    /// >>> with store.view() as view:
    /// ...     list(view.scan(prefix=b"b:", reverse=True, limit=1))
    /// [(b'b:2', b'3')]
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
    /// >>> store.update({b"a": b"1", b"b": b"2"})
    /// >>> with store.view() as view:
    /// ...     list(view.scan_keys(b"b"))
    /// [b'b']
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

    /// A set-like view of the keys, in ascending order.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.view().keys())
    /// [b'a', b'b']
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().engine(slf.py())?;
        mapping_view(slf.as_any(), "KeysView")
    }

    /// A view of the values, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.view().values())
    /// [b'1', b'2']
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().engine(slf.py())?;
        mapping_view(slf.as_any(), "ValuesView")
    }

    /// A set-like view of the pairs, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.view().items())
    /// [(b'a', b'1'), (b'b', b'2')]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().engine(slf.py())?;
        mapping_view(slf.as_any(), "ItemsView")
    }

    /// Writes what the view holds to the new directory `path`, as `Store.backup` does. The store may
    /// be closed.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> view = store.view()
    /// >>> store[b"a"] = b"2"
    /// >>> view.backup(directory, print)
    /// BackupProgress(records_done=1, records_total=1, bytes_done=34, bytes_total=34)
    /// >>> with kvstore.open(directory) as copy:
    /// ...     dict(copy)
    /// {b'a': b'1'}
    #[pyo3(signature = (path, progress=None))]
    fn backup(
        &self,
        py: Python<'_>,
        path: DirectoryPath,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        back_up(py, &self.engine(py)?, path.as_path(), progress)
    }

    /// Lets go of the files. Closing again does nothing; everything else raises `ClosedError` from
    /// then on, but iterators and memoryviews that were made before stay valid.
    ///
    /// >>> view = store.view()
    /// >>> view.close()
    /// >>> view.closed
    /// True
    fn close(&self) {
        // Taken out first: unmapping files may take a while, and needs no lock.
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(view);
    }
}
