//! Engine errors to Python exceptions, and what is only warned of.

use std::ffi::CString;
use std::fmt::Write;
use std::path::Path;

use kvstore::{Error, ErrorKind, Store};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyMemoryError, PySystemError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// The exception for `error`, with everything the engine knows about it.
///
/// A call that waited in vain is told apart by its caller: see [`lock_timeout`].
#[cold]
#[inline(never)]
pub(crate) fn exception(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    let built = match error.kind() {
        ErrorKind::InvalidArgument => return PyValueError::new_err(message),
        ErrorKind::OutOfMemory => return PyMemoryError::new_err(message),
        ErrorKind::Panic | ErrorKind::BufferTooSmall => return PySystemError::new_err(message),
        ErrorKind::Io => storage_error(py, "StorageError", libc::EIO, &error),
        ErrorKind::NoSpace => storage_error(py, "StorageError", libc::ENOSPC, &error),
        ErrorKind::ReadOnly => storage_error(py, "ReadOnlyError", libc::EROFS, &error),
        ErrorKind::Poisoned => storage_error(py, "PoisonedError", libc::EIO, &error),
        ErrorKind::Indeterminate => storage_error(py, "IndeterminateError", libc::EIO, &error),
        ErrorKind::Locked => locked_error(py, "LockedError", libc::EWOULDBLOCK, &error),
        ErrorKind::Corrupt => {
            let path = error.path().map(|path| path_str(py, path)).transpose();
            path.and_then(|path| new(py, "CorruptionError", (message, path, error.offset())))
        }
        ErrorKind::Closed => new(py, "ClosedError", (message,)),
        ErrorKind::Forked => new(py, "ForkedError", (message,)),
        ErrorKind::TooLarge => new(py, "TooLargeError", (message,)),
        ErrorKind::Unsupported => new(py, "UnsupportedError", (message,)),
        _ => new(py, "Error", (message,)),
    };
    built.map_or_else(|failure| failure, PyErr::from_value)
}

/// The exception for an `open` that waited `lock_timeout` seconds for the lock, and for a write that
/// waited `transaction_timeout` seconds for a transaction.
#[cold]
pub(crate) fn lock_timeout(py: Python<'_>, error: Error) -> PyErr {
    let built = locked_error(py, "LockTimeout", libc::ETIMEDOUT, &error);
    built.map_or_else(|failure| failure, PyErr::from_value)
}

/// A `ClosedError`, for what is closed on this side of the engine.
#[cold]
pub(crate) fn closed(py: Python<'_>, message: &str) -> PyErr {
    new(py, "ClosedError", (message,)).map_or_else(|failure| failure, PyErr::from_value)
}

/// `path` as a Python `str`, undecodable bytes as surrogates, as `os.fsdecode` has them.
pub(crate) fn path_str<'py>(py: Python<'py>, path: &Path) -> PyResult<Bound<'py, PyString>> {
    Ok(path.as_os_str().into_pyobject(py)?)
}

/// An exception of a class below `OSError`; `errno` stands in where no system call failed.
fn storage_error<'py>(
    py: Python<'py>,
    class: &str,
    errno: i32,
    error: &Error,
) -> PyResult<Bound<'py, PyAny>> {
    let errno = error.os_error().unwrap_or(errno);
    let path = error.path().map(|path| path_str(py, path)).transpose()?;
    new(py, class, (errno, error.to_string(), path))
}

fn locked_error<'py>(
    py: Python<'py>,
    class: &str,
    errno: i32,
    error: &Error,
) -> PyResult<Bound<'py, PyAny>> {
    let path = error.path().map(|path| path_str(py, path)).transpose()?;
    let exception = new(py, class, (errno, error.to_string(), path))?;
    exception.setattr("pid", error.lock_holder())?;
    Ok(exception)
}

/// Warns that opening `store` found synced data damaged: a `DamageWarning`, which the caller's filters
/// may make an exception.
#[cold]
pub(crate) fn warn_of_damage(py: Python<'_>, store: &Store) -> PyResult<()> {
    let report = store.recovery_report();
    let mut message = "synced data is damaged".to_owned();
    // Writing to a `String` cannot fail.
    if let (Some(log), Some(offset)) = (&report.cut_log, report.cut_offset) {
        // A read-only open changes nothing.
        let cut = if store.is_read_only() { "left out" } else { "cut" };
        let (bytes, log) = (report.bytes_cut, log.display());
        let _ = write!(message, ": {bytes} bytes were {cut}, from offset {offset} of {log} on");
    }
    if let Some(file) = &report.quarantine {
        let _ = write!(message, ", and kept in {}", file.display());
    }
    message.push_str("; open with strict_recovery=True to refuse that instead");
    let message = CString::new(message.replace('\0', "")).unwrap_or_default();
    PyErr::warn(py, &class(py, "DamageWarning")?, &message, 1)
}

/// An instance of the class of this name in `kvstore._errors`.
fn new<'py>(
    py: Python<'py>,
    name: &str,
    args: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    class(py, name)?.call1(args)
}

/// The class of this name in `kvstore._errors`.
///
/// The classes are written in Python because `create_exception!` cannot give a class two bases.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module =
        MODULE.get_or_try_init(py, || py.import("kvstore._errors").map(Bound::unbind))?.bind(py);
    module.getattr(name)
}
