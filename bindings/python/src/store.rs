//! The class `Store`: every method, most of them one line.

use std::ffi::CString;

use kvstore::{Direction, Durability, ErrorKind, KeyRange};
use pyo3::exceptions::{PyKeyError, PyResourceWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyString, PyTuple};
use pyo3::{PyTypeInfo, intern};

use crate::bytes::{bytes_like, to_bytes, to_small_bytes};
use crate::cursor::{Cursor, Yields};
use crate::errors::{exception, path_str};
use crate::handle::Handle;
use crate::open::Choice;
use crate::{bulk, equality, pin};

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

    fn keys_from(&self, py: Python<'_>, direction: Direction) -> PyResult<Cursor> {
        let cursor = self.0.cursor(py, KeyRange::all(), direction)?;
        Ok(Cursor::new(cursor, Yields::Keys, None))
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
        self.keys_from(py, Direction::Ascending)
    }

    /// The keys in descending order.
    fn __reversed__(&self, py: Python<'_>) -> PyResult<Cursor> {
        self.keys_from(py, Direction::Descending)
    }

    fn __eq__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        equality::equal(slf, other)
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
    #[pyo3(signature = (start=None, stop=None, *, prefix=None, reverse=false, limit=None))]
    fn scan(
        &self,
        py: Python<'_>,
        start: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: bool,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cursor> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = start.map(|key| bytes_like(key, "start")).transpose()?;
        let stop = stop.map(|key| bytes_like(key, "stop")).transpose()?;
        let bounds = (start.map_or(Unbounded, Included), stop.map_or(Unbounded, Excluded));
        let mut range = KeyRange::from(bounds);
        if let Some(prefix) = prefix {
            range = range.and_prefix(bytes_like(prefix, "prefix")?);
        }
        let limit = limit.map(scan_limit).transpose()?;
        let direction = if reverse { Direction::Descending } else { Direction::Ascending };
        let cursor = self.0.cursor(py, range, direction)?;
        Ok(Cursor::new(cursor, Yields::Pairs, limit))
    }

    /// A set-like view of the keys, in ascending order.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.keys())
    /// [b'a', b'b']
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "KeysView")
    }

    /// A view of the values, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.values())
    /// [b'1', b'2']
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ValuesView")
    }

    /// A set-like view of the pairs, in ascending order of their keys.
    ///
    /// >>> store.update({b"b": b"2", b"a": b"1"})
    /// >>> list(store.items())
    /// [(b'a', b'1'), (b'b', b'2')]
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(slf, "ItemsView")
    }

    /// Deletes `key` and returns its value, or `default` when it is missing.
    ///
    /// Of several threads that pop the same key exactly one gets it. A value that another thread
    /// sets meanwhile may be deleted unseen.
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
        if let Some(value) = self.value(key)?
            && self.remove(key, self.0.durability())?
        {
            return Ok(value.into_any());
        }
        match default {
            Given::Value(default) => Ok(default),
            Given::Missing => Err(missing(key)),
        }
    }

    /// Deletes the first key and returns it with its value; `KeyError` when the store is empty.
    ///
    /// Of several threads each gets another pair. Finding the first key takes a pass over all of
    /// them, so this is no way to empty a large store.
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
                if self.0.delete(py, key, self.0.durability())? {
                    return PyTuple::new(py, pair);
                }
            }
            if empty {
                return Err(PyKeyError::new_err("popitem(): the store is empty"));
            }
        }
    }

    /// The value of `key`, which is set to `default` first when it is missing.
    ///
    /// Not one atomic step: a value that another thread sets meanwhile may be overwritten.
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
        if let Some(value) = self.value(key)? {
            return Ok(value);
        }
        let value = to_bytes(key.py(), &bytes_like(default, "default")?)?;
        self.insert(key, value.as_any(), self.0.durability())?;
        Ok(value)
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
        let durability = self.0.durability();
        self.0.slow(py, |engine| bulk::delete_all(engine, durability))
    }

    /// Makes every write so far as durable as under "sync".
    ///
    /// >>> store.set(b"a", b"1", durability="os")
    /// >>> store.sync()
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.0.slow(py, kvstore::Store::sync)
    }

    /// Counters: records, sizes in bytes, and how many writes, groups and syncs there were.
    ///
    /// >>> store.stats()["records"]
    /// 0
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.0.slow(py, |engine| {
            let stats = engine.stats();
            engine.check().map(|()| stats)
        })?;
        let dict = PyDict::new(py);
        dict.set_item("records", stats.records)?;
        dict.set_item("log_bytes", stats.log_bytes)?;
        dict.set_item("snapshot_bytes", stats.snapshot_bytes)?;
        dict.set_item("index_bytes", stats.index_bytes)?;
        dict.set_item("groups", stats.groups)?;
        dict.set_item("syncs", stats.syncs)?;
        dict.set_item("writes", stats.writes)?;
        Ok(dict)
    }

    /// What opening the store found and did.
    ///
    /// `clean` is whether nothing had to be replayed or cut, `snapshot_records` and `log_records`
    /// how much was read, `bytes_cut` how much of the log was no entry and was moved away,
    /// `cut_offset` where in `wal.log` that began, `damaged` whether synced data was part of it,
    /// and `quarantine` the file that keeps it.
    ///
    /// >>> store.recovery_report()["clean"]
    /// True
    fn recovery_report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.check(py)?;
        let report = self.0.engine().recovery_report();
        let quarantine = report.quarantine.as_deref().map(|path| path_str(py, path)).transpose()?;
        let dict = PyDict::new(py);
        dict.set_item("clean", report.is_clean())?;
        dict.set_item("snapshot_records", report.snapshot_records)?;
        dict.set_item("log_records", report.log_records)?;
        dict.set_item("bytes_cut", report.bytes_cut)?;
        dict.set_item("cut_offset", report.cut_offset)?;
        dict.set_item("damaged", report.damaged)?;
        dict.set_item("quarantine", quarantine)?;
        Ok(dict)
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

/// An argument that may be left out where `None` means something.
enum Given<'py> {
    Missing,
    Value(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Given<'py>> {
        Ok(Given::Value(object.to_owned()))
    }
}

#[cold]
fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

fn scan_limit(limit: &Bound<'_, PyAny>) -> PyResult<usize> {
    limit.extract::<usize>().map_err(|error| {
        let Ok(repr) = limit.repr() else { return error };
        let message = format!("limit must be None or an int, 0 or more, not {repr}");
        match error.is_instance_of::<PyTypeError>(limit.py()) {
            true => PyTypeError::new_err(message),
            false => PyValueError::new_err(message),
        }
    })
}

/// A view class of `kvstore._views` over `store`.
fn view<'py>(store: &Bound<'py, Store>, class: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = store.py();
    store.get().handle().check(py)?;
    py.import(intern!(py, "kvstore._views"))?.getattr(class)?.call1((store,))
}
