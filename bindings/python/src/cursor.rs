//! The iterators that `iter`, `reversed`, `scan` and `scan_keys` return.

use std::collections::VecDeque;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kvstore::{Cursor as EngineCursor, Direction, KeyRange};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::bytes::{bytes_like, to_bytes};
use crate::errors::exception;
use crate::handle::{STEPS_IN_A_TURN, end_turn};

/// How many records are fetched together once an iterator is under way: enough for their cache misses to
/// overlap and for the lock to cost nothing, few enough for the bytes to be near when they are used.
const MOST: usize = 64;

/// How many are fetched first: who wants one record pays for no more than these.
const FIRST: usize = 4;

/// No further record is fetched ahead when those at hand have so many bytes: of large values there
/// is never more than one in memory that nobody has asked for.
const ENOUGH_BYTES: usize = 32 << 10;

/// What an iterator yields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yields {
    Keys,
    Pairs,
}

/// The arguments of `scan` and `scan_keys`.
pub(crate) struct Request {
    pub(crate) range: KeyRange,
    pub(crate) direction: Direction,
    pub(crate) limit: Option<usize>,
}

impl Request {
    pub(crate) fn new(
        start: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        prefix: Option<&Bound<'_, PyAny>>,
        reverse: Reverse,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Request> {
        let start = start.map(|key| bytes_like(key, "start")).transpose()?;
        let stop = stop.map(|key| bytes_like(key, "stop")).transpose()?;
        let bounds = (start.map_or(Unbounded, Included), stop.map_or(Unbounded, Excluded));
        let mut range = KeyRange::from(bounds);
        if let Some(prefix) = prefix {
            range = range.and_prefix(bytes_like(prefix, "prefix")?);
        }
        let limit = limit.map(scan_limit).transpose()?;
        let direction = if reverse.0 { Direction::Descending } else { Direction::Ascending };
        Ok(Request { range, direction, limit })
    }

    /// Everything, in this direction.
    pub(crate) fn all(direction: Direction) -> Request {
        Request { range: KeyRange::all(), direction, limit: None }
    }
}

/// The `reverse` argument.
#[derive(Clone, Copy)]
pub(crate) struct Reverse(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Reverse {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Reverse> {
        switch("reverse", &object).map(Reverse)
    }
}

/// An argument that is on or off; what is merely true or false may have been meant for another one.
pub(crate) fn switch(what: &str, given: &Bound<'_, PyAny>) -> PyResult<bool> {
    given.extract().or_else(|_| {
        Err(PyTypeError::new_err(format!("{what} must be a bool, not {}", given.repr()?)))
    })
}

fn scan_limit(limit: &Bound<'_, PyAny>) -> PyResult<usize> {
    limit.extract::<usize>().map_err(|error| {
        let Ok(repr) = limit.repr() else { return error };
        let message =
            format!("limit must be None or an int, 0 or more and below 2**64, not {repr}");
        match error.is_instance_of::<PyTypeError>(limit.py()) {
            true => PyTypeError::new_err(message),
            false => PyValueError::new_err(message),
        }
    })
}

/// An iterator over keys or pairs, in order, as of the instant at which it was made.
///
/// It stays valid after the store is closed.
#[pyclass(frozen, module = "kvstore", name = "Cursor")]
pub(crate) struct Cursor {
    yields: Yields,
    /// The interpreter lock already keeps threads apart; the mutex makes that true for the
    /// compiler as well. It must never be held while Python code may run, and allocating a tuple
    /// may run the garbage collector, which runs finalizers, which may come back here. Allocating
    /// bytes runs nothing.
    state: Mutex<State>,
}

struct State {
    /// `None` at the end, so that an exhausted iterator holds no files.
    cursor: Option<EngineCursor>,
    /// How many items may still be fetched.
    left: usize,
    /// How many are to be fetched next.
    batch: usize,
    /// How many were fetched since others had a turn: `list`, `dict` and the like go over an iterator
    /// without the interpreter's own switches.
    in_turn: usize,
    /// Fetched, and not yet yielded. The engine's bytes are copied in one go.
    ready: VecDeque<Item>,
    /// What to raise when these have been yielded.
    failure: Option<PyErr>,
}

/// A key, and its value where that is wanted.
type Item = (Py<PyBytes>, Option<Py<PyBytes>>);

impl Cursor {
    pub(crate) fn new(cursor: EngineCursor, yields: Yields, limit: Option<usize>) -> Cursor {
        let left = limit.unwrap_or(usize::MAX);
        let ready = VecDeque::new();
        let state =
            State { cursor: Some(cursor), left, batch: FIRST, in_turn: 0, ready, failure: None };
        Cursor { yields, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Half-done steps do not exist, so a panic elsewhere leaves nothing to distrust.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[inline]
    fn next(&mut self, py: Python<'_>, with_value: bool) -> PyResult<Option<Item>> {
        if self.ready.is_empty() {
            self.fetch(py, with_value)?;
        }
        Ok(self.ready.pop_front())
    }

    /// Fetches the next items, if there are any.
    #[cold]
    #[inline(never)]
    fn fetch(&mut self, py: Python<'_>, with_value: bool) -> PyResult<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(cursor) = &mut self.cursor else { return Ok(()) };
        // First all records, then the objects: what is between two records delays the next one's
        // way from memory.
        let count = self.batch.min(self.left);
        let (mut pairs, mut bytes) = (Vec::with_capacity(count), 0);
        for (key, value) in cursor.next_pairs(count) {
            let value = with_value.then_some(value);
            bytes += key.len() + value.map_or(0, <[u8]>::len);
            pairs.push((key, value));
            if bytes >= ENOUGH_BYTES {
                break;
            }
        }
        self.left -= pairs.len();
        self.in_turn += pairs.len();
        for (key, value) in pairs {
            let copied = to_bytes(py, key).and_then(|key| {
                let value = value.map(|value| to_bytes(py, value)).transpose()?;
                Ok((key.unbind(), value.map(Bound::unbind)))
            });
            match copied {
                Ok(item) => self.ready.push_back(item),
                // Only what is large can fail, and that is the last of its batch.
                Err(failure) => self.failure = Some(failure),
            }
        }
        self.batch = MOST.min(self.batch * 2);
        if !self.ready.is_empty() {
            return Ok(());
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let ended = cursor.check();
        self.cursor = None;
        self.ready = VecDeque::new();
        ended.map_err(|error| exception(py, error))
    }
}

/// A pair as a tuple, which the garbage collector does not look at: two `bytes` cannot be part of a
/// cycle, and it would find that out itself, one pass over all of them later.
#[inline]
#[allow(unsafe_code)]
fn pair(py: Python<'_>, key: Py<PyBytes>, value: Py<PyBytes>) -> PyResult<Bound<'_, PyAny>> {
    let pair = PyTuple::new(py, [key, value])?;
    // SAFETY: the interpreter lock is held, and this is an exact tuple that is tracked, as new ones
    // are. Untracked is what the collector makes of a tuple like this at its first look; nothing
    // can put another object into it.
    unsafe { pyo3::ffi::PyObject_GC_UnTrack(pair.as_ptr().cast()) };
    Ok(pair.into_any())
}

#[pymethods]
impl Cursor {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[inline]
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.state();
        if state.ready.is_empty() && state.in_turn >= STEPS_IN_A_TURN {
            state.in_turn = 0;
            drop(state);
            end_turn(py)?;
            state = self.state();
        }
        let item = state.next(py, self.yields == Yields::Pairs)?;
        drop(state);
        match item {
            None => Ok(None),
            Some((key, None)) => Ok(Some(key.into_bound(py).into_any())),
            Some((key, Some(value))) => pair(py, key, value).map(Some),
        }
    }

    fn __length_hint__(&self) -> usize {
        let state = self.state();
        let to_come = state.cursor.as_ref().map_or(0, |cursor| cursor.remaining().min(state.left));
        state.ready.len() + to_come
    }
}
