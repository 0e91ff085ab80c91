//! `==` between a store and another mapping.

use kvstore::{Direction, KeyRange};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyNotImplemented};

use crate::bytes::to_bytes;
use crate::handle::take_turns;
use crate::store::Store;

/// Whether `other` is a mapping with the same entries; `NotImplemented` when it is no mapping.
///
/// A handle equals itself without a look at its entries, also when it is closed.
pub(crate) fn equal<'py>(
    store: &Bound<'py, Store>,
    other: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = store.py();
    if store.is(other) {
        return answer(py, true);
    }
    let Ok(other) = other.cast::<PyMapping>() else {
        return Ok(PyNotImplemented::get(py).to_owned().into_any());
    };
    let handle = store.get().handle();
    if handle.len(py)? != other.len()? {
        return answer(py, false);
    }
    let mut entries = handle.cursor(py, KeyRange::all(), Direction::Ascending)?;
    let mut step = 0;
    while let Some((key, value)) = entries.next_pair() {
        let (key, value) = (to_bytes(py, key)?, to_bytes(py, value)?);
        match lookup(other, key.as_any())? {
            Some(found) if found.eq(value)? => take_turns(py, step)?,
            _ => return answer(py, false),
        }
        step += 1;
    }
    answer(py, true)
}

fn answer(py: Python<'_>, equal: bool) -> PyResult<Bound<'_, PyAny>> {
    Ok(equal.into_pyobject(py)?.to_owned().into_any())
}

fn lookup<'py>(
    mapping: &Bound<'py, PyMapping>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(dict) = mapping.as_any().cast_exact::<PyDict>() {
        return dict.get_item(key);
    }
    match mapping.get_item(key) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyKeyError>(key.py()) => Ok(None),
        Err(error) => Err(error),
    }
}
