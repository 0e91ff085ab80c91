//! The iterators that `iter`, `reversed` and `scan` return.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kvstore::Cursor as EngineCursor;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::bytes::to_bytes;

/// What an iterator yields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yields {
    Keys,
    Pairs,
}

/// An iterator over keys or pairs, in order, as of the instant at which it was made.
///
/// It stays valid after the store is closed.
#[pyclass(frozen, module = "kvstore", name = "Cursor")]
pub(crate) struct Cursor {
    yields: Yields,
    /// The interpreter lock already keeps threads apart; the mutex makes that true for the
    /// compiler as well. It must never be held while Python code may run, and allocating a tuple
    /// may run the garbage collector, which runs finalizers, which may come back here.
    state: Mutex<State>,
}

struct State {
    /// `None` at the end, so that an exhausted iterator holds no files.
    cursor: Option<EngineCursor>,
    /// How many items may still be yielded.
    left: usize,
}

impl Cursor {
    pub(crate) fn new(cursor: EngineCursor, yields: Yields, limit: Option<usize>) -> Cursor {
        let state = State { cursor: Some(cursor), left: limit.unwrap_or(usize::MAX) };
        Cursor { yields, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Half-done steps do not exist, so a panic elsewhere leaves nothing to distrust.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next key, and its value when `with_value`.
    fn next<'py>(&mut self, py: Python<'py>, with_value: bool) -> PyResult<Option<Item<'py>>> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        let pair = if self.left > 0 { cursor.next_pair() } else { None };
        let Some((key, value)) = pair else {
            self.cursor = None;
            return Ok(None);
        };
        self.left -= 1;
        let value = if with_value { Some(to_bytes(py, value)?) } else { None };
        Ok(Some((to_bytes(py, key)?, value)))
    }
}

type Item<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

#[pymethods]
impl Cursor {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let item = self.state().next(py, self.yields == Yields::Pairs)?;
        match item {
            None => Ok(None),
            Some((key, None)) => Ok(Some(key.into_any())),
            Some((key, Some(value))) => Ok(Some(PyTuple::new(py, [key, value])?.into_any())),
        }
    }

    fn __length_hint__(&self) -> usize {
        let state = self.state();
        state.cursor.as_ref().map_or(0, |cursor| cursor.remaining().min(state.left))
    }
}
