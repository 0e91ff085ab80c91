//! Python objects to byte slices and back.

use std::borrow::Cow;

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// From this size on a failed allocation is a `MemoryError` rather than a panic: below it memory
/// is as good as exhausted anyway, above it a single value may simply be too large.
const FALLIBLE_FROM: usize = 1 << 20;

/// The bytes of a key or a value; `what` names it in messages.
///
/// `bytes` are borrowed: they never change, so the slice may be used while the interpreter lock
/// is released. Everything else is copied, also what claims to be read-only: a read-only
/// `memoryview` of a `bytearray` still changes when the `bytearray` does.
#[inline]
pub(crate) fn bytes_like<'a>(object: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    match object.cast_exact::<PyBytes>() {
        Ok(bytes) => Ok(Cow::Borrowed(bytes.as_bytes())),
        Err(_) => other_bytes_like(object, what),
    }
}

#[cold]
fn other_bytes_like<'a>(object: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Cow::Borrowed(bytes.as_bytes()));
    }
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!(
            "{what} must be bytes-like, not str: use {what}.encode()"
        )));
    }
    let buffer = PyUntypedBuffer::get(object).map_err(|error| {
        if !error.is_instance_of::<PyTypeError>(object.py()) {
            return error;
        }
        let name = object.get_type().name().map(|name| name.to_string());
        PyTypeError::new_err(format!(
            "{what} must be bytes-like (bytes, bytearray, memoryview or another buffer), not {}",
            name.as_deref().unwrap_or("an object of unknown type")
        ))
    })?;
    copy_of(&buffer, what).map(Cow::Owned)
}

#[allow(unsafe_code)]
fn copy_of(buffer: &PyUntypedBuffer, what: &str) -> PyResult<Vec<u8>> {
    if !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err(format!(
            "{what} must be contiguous in memory: use bytes({what})"
        )));
    }
    let len = buffer.len_bytes();
    if len == 0 {
        return Ok(Vec::new()); // the pointer of an empty buffer may be null
    }
    // SAFETY: the exporter keeps `len` bytes from `buf_ptr` readable until the buffer is released,
    // and C-contiguous means that they are all of it. They are copied before anything else runs,
    // with the interpreter lock held, so no Python code changes them meanwhile.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), len) }.to_vec())
}

/// A `bytes` object with a copy of `slice`.
#[inline]
pub(crate) fn to_bytes<'py>(py: Python<'py>, slice: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    match to_small_bytes(py, slice) {
        Some(bytes) => Ok(bytes),
        None => PyBytes::new_with(py, slice.len(), |target| {
            target.copy_from_slice(slice);
            Ok(())
        }),
    }
}

/// A `bytes` object with a copy of `slice`, or `None` when that is so long that the allocation
/// may fail: for where a `Result` costs too much.
#[inline]
pub(crate) fn to_small_bytes<'py>(py: Python<'py>, slice: &[u8]) -> Option<Bound<'py, PyBytes>> {
    (slice.len() < FALLIBLE_FROM).then(|| PyBytes::new(py, slice))
}
