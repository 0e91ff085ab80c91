//! The class `Store`: what makes it a mapping, and its life. Its other methods, most of them one line,
//! are in `read`, `write` and `manage`.

mod manage;
mod read;
mod write;

pub(crate) use write::Given;

use std::ffi::CString;

use kvstore::{Direction, Durability, ErrorKind, KeyRange};
use pyo3::exceptions::{PyKeyError, PyResourceWarning, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{PyTypeInfo, intern};

use crate::bytes::{bytes_like, to_bytes, to_small_bytes};
use crate::cursor::{Cursor, Request, Yields};
use crate::equality;
use crate::errors::{exception, path_str};
use crate::handle::Handle;

/// An open store: a `MutableMapping` from `bytes` to `bytes` in a directory.
///
/// Made by `kvstore.open`. Keys and values are bytes-like; what comes back is `bytes`. Keys are
/// in ascending byte order wherever order shows. A store may be used from any thread. Iterating
/// while writing is legal: an iterator sees the store at the instant at which it was made, and
/// goes on working after `close`.
///
/// `len`, `in`, `s[key]`, `s[key] = value`, `del s[key]`, `iter` and `reversed` work as they do
/// for a `dict`, but a key that is not bytes-like is a `TypeError`. As a `dict` does, a store
/// equals any mapping with the same entries, and is not hashable.
///
/// Use it in a `with` statement or call `close`. A store that is dropped open loses nothing,
/// but its directory stays locked until the interpreter lets go of it, and the next open has to
/// replay the log; a `ResourceWarning` says so. In a process made by `os.fork` every call raises
/// `ForkedError`, and neither closing nor dropping the store does anything to the parent's.
///
/// >>> store[b"user:1"] = b"alice"
/// >>> store[b"user:1"]
/// b'alice'
/// >>> b"user:2" in store
/// False
/// >>> dict(store)
/// {b'user:1': b'alice'}
/// >>> del store[b"user:1"]
/// >>> len(store)
/// 0
#[pyclass(frozen, mapping, weakref, module = "kvstore")]
pub(crate) struct Store(Handle);

impl Store {
    pub(crate) fn new(handle: Handle) -> Store {
        Store(handle)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }

    #[inline(always)]
    fn value<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match key.cast_exact::<PyBytes>() {
            Ok(bytes) => self.value_of(key.py(), bytes.as_bytes()),
            Err(_) => self.value_of_other(key),
        }
    }

    /// The shortest way from a key to its value: in a loop of lookups the processor begins to
    /// load the next key while it waits for this one's record only if few instructions, and no
    /// wrongly predicted branch, lie between the two. Inlining this, and leaving all that is rare
    /// to functions that are not, takes a tenth off such a loop.
    #[inline(always)]
    fn value_of<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut copied = None;
        let found = self.0.engine().get_with(key, |value| copied = to_small_bytes(py, value));
        if copied.is_some() {
            return Ok(copied);
        }
        match found {
            Ok(None) => Ok(None),
            Ok(Some(())) => self.large_value_of(py, key),
            Err(error) => Err(exception(py, error)),
        }
    }

    #[cold]
    #[inline(never)]
    fn large_value_of<'py>(
        &self,
        py: Python<'py>,
        key: &[u8],
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let copied = self.0.engine().get_with(key, |value| to_bytes(py, value));
        copied.map_err(|error| exception(py, error))?.transpose()
    }

    #[cold]
    #[inline(never)]
    fn value_of_other<'py>(
        &self,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.value_of(key.py(), &bytes_like(key, "key")?)
    }

    fn remove(&self, key: &Bound<'_, PyAny>, durability: Durability) -> PyResult<bool> {
        self.0.delete(key.py(), &bytes_like(key, "key")?, durability)
    }

    fn insert(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        durability: Durability,
    ) -> PyResult<()> {
        let (key_bytes, value) = (bytes_like(key, "key")?, bytes_like(value, "value")?);
        self.0.set(key.py(), &key_bytes, &value, durability)
    }

    fn iterate(&self, py: Python<'_>, yields: Yields, request: Request) -> PyResult<Cursor> {
        let cursor = self.0.cursor(py, request.range, request.direction)?;
        Ok(Cursor::new(cursor, yields, request.limit))
    }
}

#[pymethods]
impl Store {
    #[inline]
    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        match self.value(key)? {
            Some(value) => Ok(value),
            None => Err(missing(key)),
        }
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.insert(key, value, self.0.durability())
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.remove(key, self.0.durability())? {
            true => Ok(()),
            false => Err(missing(key)),
        }
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let found = self.0.engine().contains(bytes_like(key, "key")?);
        found.map_err(|error| exception(key.py(), error))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.len(py)
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
        let (py, handle) = (slf.py(), &slf.get().0);
        let entries = || handle.cursor(py, KeyRange::all(), Direction::Ascending);
        equality::equal(slf.as_any(), other, || handle.len(py), entries)
    }

    /// As every mutable mapping, a store is not hashable.
    #[classattr]
    #[pyo3(name = "__hash__")]
    const HASH: Option<Py<PyAny>> = None;

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let engine = self.0.engine();
        let state = match (engine.is_closed(), engine.is_read_only()) {
            (true, _) => "closed",
            (false, true) => "open for reading",
            (false, false) => "open",
        };
        Ok(format!("<kvstore.Store {} {state}>", self.path(py)?.repr()?))
    }

    /// Returns the store itself.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().0.check(slf.py())?;
        Ok(slf.clone())
    }

    /// Closes the store, also after an exception, which a forked child's `ForkedError` does not
    /// replace.
    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        let forked = |error: kvstore::Error| error.kind() == ErrorKind::Forked;
        if !exc_type.is_none() && self.0.engine().check().is_err_and(forked) {
            return Ok(());
        }
        self.close(py)
    }

    /// Refuses: a copy would be a second handle on a directory that only one may have.
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a kvstore.Store cannot be pickled or copied: pass its path and open it there, \
             after closing it here",
        ))
    }

    /// The directory of the store.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        path_str(py, self.0.engine().path())
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        self.0.engine().is_closed()
    }

    /// Whether the store was opened with flag "r".
    #[getter]
    fn readonly(&self) -> bool {
        self.0.engine().is_read_only()
    }

    /// Closes the store: writes a snapshot where that pays and unlocks the directory.
    ///
    /// Closing again does nothing. Everything else raises `ClosedError` from then on; iterators
    /// and memoryviews that were made before stay valid.
    ///
    /// >>> store.close()
    /// >>> store.closed
    /// True
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.slow(py, kvstore::Store::close)
    }
}

/// A store that nobody closed, as for a file that nobody closed: a `ResourceWarning`.
impl Drop for Store {
    fn drop(&mut self) {
        if self.0.engine().check().is_err() {
            return; // closed, or inherited by a forked child, which has nothing to close
        }
        Python::try_attach(|py| {
            // An object can die while an exception is on its way, which must not be disturbed.
            let pending = PyErr::take(py);
            let path = self.0.engine().path().display().to_string();
            let message = format!("unclosed kvstore.Store {path:?}").replace('\0', "");
            let message = CString::new(message).unwrap_or_default();
            let category = PyResourceWarning::type_object(py);
            if let Err(error) = PyErr::warn(py, &category, &message, 1) {
                error.write_unraisable(py, None); // warnings were made errors
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

#[cold]
pub(crate) fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

/// A view class of `kvstore._views` over `mapping`, a store, or a view or transaction of one.
pub(crate) fn mapping_view<'py>(
    mapping: &Bound<'py, PyAny>,
    class: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = mapping.py();
    py.import(intern!(py, "kvstore._views"))?.getattr(class)?.call1((mapping,))
}
