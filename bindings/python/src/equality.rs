//! `==` between a store, or a view or transaction of one, and another mapping.

use kvstore::Cursor;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyNotImplemented};

use crate::bytes::to_bytes;
use crate::errors::exception;
use crate::handle::take_turns;

/// Whether `other` is a mapping with the same entries as `this`, which has `len` of them;
/// `NotImplemented` when it is no mapping.
///
/// A handle equals itself without a look at its entries, also when it is closed.
pub(crate) fn equal<'py>(
    this: &Bound<'py, PyAny>,
    other: &Bound<'py, PyAny>,
    len: impl FnOnce() -> PyResult<usize>,
    entries: impl FnOnce() -> PyResult<Cursor>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if this.is(other) {
        return answer(py, true);
    }
    let Ok(other) = other.cast::<PyMapping>() else {
        return Ok(PyNotImplemented::get(py).to_owned().into_any());
    };
    if len()? != other.len()? {
        return answer(py, false);
    }
    let mut entries = entries()?;
    let mut step = 0;
    while let Some((key, value)) = entries.next_pair() {
        let (key, value) = (to_bytes(py, key)?, to_bytes(py, value)?);
        match lookup(other, key.as_any())? {
            Some(found) if found.eq(value)? => take_turns(py, step)?,
            _ => return answer(py, false),
        }
        step += 1;
    }
    entries.check().map_err(|error| exception(py, error))?;
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
