//! `open()`, its flags and options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kvstore::{CloseCheckpoint, Durability, ErrorKind, MAX_LEN, Options};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::bulk;
use crate::cursor::switch;
use crate::errors;
use crate::handle::{Handle, Patience, SLICE};
use crate::store::Store;

/// What `transaction_timeout` is by default, which is also the engine's.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the store in the directory `path`, recovering what an earlier process left.
///
/// `path` is a `str`, `bytes` or `os.PathLike`. `flag` is as in the `dbm` modules:
///
/// - `"c"` (the default): read and write, creating the directory if it is missing;
/// - `"r"`: only read, there must be a store; nothing in it changes, and several
///   processes may have it open for reading at once, though none while one writes;
/// - `"w"`: read and write, the directory must exist;
/// - `"n"`: read and write, and always empty: what is there is deleted once the directory is
///   locked. Only entries of the store go, unknown files stay. A process that is killed meanwhile
///   leaves some of the old entries; a damaged store is an error, not a reason to discard it.
///
/// `durability` is what a write has survived when it returns: `"sync"` (the default) power
/// loss, `"os"` the end of the process. `lock_timeout` is how many seconds to wait for another
/// process to close the directory, `float("inf")` to wait for as long as it takes; Ctrl-C
/// interrupts it. `transaction_timeout` is how many seconds a write waits for another thread's
/// transaction, with the same infinity and the same Ctrl-C. `max_key_len` and `max_value_len` refuse
/// longer keys and values, in bytes.
/// When the log has grown to `checkpoint_bytes` (by default 64 MiB, or the length of the snapshot if
/// that is more), a thread writes a snapshot and removes the log, beside readers and writers; 0 is
/// never. `close_checkpoint` says what `close` does with the log: `"auto"` writes a snapshot where that
/// pays, `"always"` whenever something changed, `"never"` keeps the log. `strict_recovery` refuses a
/// log whose synced part is damaged, instead of keeping what is before the damage with a
/// `DamageWarning`. Where warnings are errors that is raised, and the store is not open; but what is
/// damaged has been moved to quarantine by then.
///
/// Raises `LockedError` when another handle has the directory open for writing (`LockTimeout`
/// after a wait), `CorruptionError` when the snapshot is damaged, `StorageError` when the
/// system refuses, `UnsupportedError` when a newer version wrote the directory.
///
/// >>> with kvstore.open(directory, durability="os") as store:
/// ...     store[b"user:1"] = b"alice"
/// >>> with kvstore.open(directory, "r") as store:
/// ...     store[b"user:1"]
/// b'alice'
/// >>> with kvstore.open(directory, "n") as store:
/// ...     len(store)
/// 0
#[pyfunction]
#[pyo3(
    signature = (
        path,
        flag = Flag::Create,
        *,
        durability = Choice(Durability::Sync),
        lock_timeout = LockTimeout(Some(Duration::ZERO)),
        transaction_timeout = TransactionTimeout(Some(TRANSACTION_TIMEOUT)),
        max_key_len = None,
        max_value_len = None,
        checkpoint_bytes = None,
        close_checkpoint = Choice(CloseCheckpoint::Auto),
        strict_recovery = Strict(false)
    ),
    text_signature = "(path, flag='c', *, durability='sync', lock_timeout=0.0, \
                      transaction_timeout=5.0, max_key_len=None, max_value_len=None, \
                      checkpoint_bytes=None, close_checkpoint='auto', strict_recovery=False)"
)]
#[allow(clippy::too_many_arguments)] // it is the Python signature
pub(crate) fn open(
    py: Python<'_>,
    path: DirectoryPath,
    flag: Flag,
    durability: Choice<Durability>,
    lock_timeout: LockTimeout,
    transaction_timeout: TransactionTimeout,
    max_key_len: Option<&Bound<'_, PyAny>>,
    max_value_len: Option<&Bound<'_, PyAny>>,
    checkpoint_bytes: Option<&Bound<'_, PyAny>>,
    close_checkpoint: Choice<CloseCheckpoint>,
    strict_recovery: Strict,
) -> PyResult<Store> {
    let patience = Patience::new(transaction_timeout.0);
    let mut options = Options::new()
        .create(matches!(flag, Flag::Create | Flag::New))
        .read_only(flag == Flag::Read)
        .durability(durability.0)
        .transaction_timeout(transaction_timeout.0.unwrap_or(Duration::MAX))
        .transaction_slice(patience.slice())
        .max_key_len(limit("max_key_len", max_key_len)?)
        .max_value_len(limit("max_value_len", max_value_len)?)
        .close_checkpoint(close_checkpoint.0)
        .strict_recovery(strict_recovery.0);
    if let Some(bytes) = checkpoint_bytes {
        options = options.checkpoint_bytes(byte_count("checkpoint_bytes", bytes, u64::MAX)?);
    }
    // Flag "n" deletes through the engine, under its lock: removing files would bypass the lock,
    // and could take files that are not the store's.
    let engine = open_in_slices(py, &options, &path.0, lock_timeout)?;
    if engine.recovery_report().damaged
        && let Err(raised) = errors::warn_of_damage(py, &engine)
    {
        py.detach(|| drop(engine)); // no close: that would write
        return Err(raised);
    }
    let handle = Handle::new(engine, durability.0, patience);
    if flag == Flag::New {
        bulk::clear(py, &handle)?;
    }
    Ok(Store::new(handle))
}

/// Opens `path`, waiting for its lock in slices so that signal handlers run between them.
fn open_in_slices(
    py: Python<'_>,
    options: &Options,
    path: &PathBuf,
    timeout: LockTimeout,
) -> PyResult<kvstore::Store> {
    let start = Instant::now();
    loop {
        let left = match timeout.0 {
            Some(timeout) => timeout.saturating_sub(start.elapsed()),
            None => Duration::MAX,
        };
        let attempt = options.clone().lock_timeout(left.min(SLICE));
        let error = match py.detach(|| attempt.open(path)) {
            Ok(engine) => return Ok(engine),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Locked || timeout.0 == Some(Duration::ZERO) {
            return Err(errors::exception(py, error));
        }
        if left <= SLICE {
            return Err(errors::lock_timeout(py, error));
        }
        py.check_signals()?;
    }
}

/// The `flag` argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    Read,
    Write,
    Create,
    New,
}

impl<'py> FromPyObject<'_, 'py> for Flag {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Flag> {
        let flags = [("r", Flag::Read), ("w", Flag::Write), ("c", Flag::Create), ("n", Flag::New)];
        choose("flag", &flags, &object)
    }
}

/// An argument that names one of a few values.
#[derive(Clone, Copy)]
pub(crate) struct Choice<T>(pub(crate) T);

impl<'py> FromPyObject<'_, 'py> for Choice<Durability> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let names = [("sync", Durability::Sync), ("os", Durability::Os)];
        choose("durability", &names, &object).map(Choice)
    }
}

impl<'py> FromPyObject<'_, 'py> for Choice<CloseCheckpoint> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let names = [
            ("auto", CloseCheckpoint::Auto),
            ("always", CloseCheckpoint::Always),
            ("never", CloseCheckpoint::Never),
        ];
        choose("close_checkpoint", &names, &object).map(Choice)
    }
}

/// The value that `object` names, or an error that lists the names.
fn choose<T: Copy>(what: &str, choices: &[(&str, T)], object: &Bound<'_, PyAny>) -> PyResult<T> {
    let string = object.cast::<PyString>().ok();
    let name = string.map(|string| string.to_cow()).transpose()?;
    let found = choices.iter().find(|choice| name.as_deref() == Some(choice.0));
    if let Some(&(_, value)) = found {
        return Ok(value);
    }
    let names: Vec<_> = choices.iter().map(|choice| format!("'{}'", choice.0)).collect();
    let message = format!("{what} must be one of {}, not {}", names.join(", "), object.repr()?);
    Err(match name {
        Some(_) => PyValueError::new_err(message),
        None => PyTypeError::new_err(message),
    })
}

/// The `lock_timeout` argument; `None` is forever.
#[derive(Clone, Copy)]
pub(crate) struct LockTimeout(Option<Duration>);

impl<'py> FromPyObject<'_, 'py> for LockTimeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<LockTimeout> {
        seconds("lock_timeout", &object).map(LockTimeout)
    }
}

/// The `transaction_timeout` argument; `None` is forever.
#[derive(Clone, Copy)]
pub(crate) struct TransactionTimeout(Option<Duration>);

impl<'py> FromPyObject<'_, 'py> for TransactionTimeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<TransactionTimeout> {
        seconds("transaction_timeout", &object).map(TransactionTimeout)
    }
}

/// The `strict_recovery` argument.
#[derive(Clone, Copy)]
pub(crate) struct Strict(bool);

impl<'py> FromPyObject<'_, 'py> for Strict {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Strict> {
        switch("strict_recovery", &object).map(Strict)
    }
}

/// A time in seconds; `None` is forever.
fn seconds(what: &str, given: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let message = || -> PyResult<String> {
        Ok(format!("{what} must be a number of seconds, 0 or more, not {}", given.repr()?))
    };
    let Ok(seconds) = given.extract::<f64>() else {
        return Err(PyTypeError::new_err(message()?));
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(message()?));
    }
    // What is too long for a `Duration` is forever.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// A length limit in bytes; `None` is the format's.
fn limit(what: &str, given: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    given.map_or(Ok(MAX_LEN), |given| byte_count(what, given, MAX_LEN))
}

/// A number of bytes, at most `most`.
fn byte_count(what: &str, given: &Bound<'_, PyAny>, most: u64) -> PyResult<u64> {
    let error = match given.extract::<u64>() {
        Ok(bytes) if bytes <= most => return Ok(bytes),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let repr = given.repr()?;
    let message = format!("{what} must be None or an int from 0 to {most}, not {repr}");
    Err(match error {
        Some(error) if error.is_instance_of::<PyTypeError>(given.py()) => {
            PyTypeError::new_err(message)
        }
        _ => PyValueError::new_err(message),
    })
}

/// The `path` argument.
pub(crate) struct DirectoryPath(PathBuf);

impl DirectoryPath {
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for DirectoryPath {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<DirectoryPath> {
        // `os.fsencode` takes exactly what paths may be, and names it in its TypeError.
        let encoded = object.py().import("os")?.call_method1("fsencode", (object,))?;
        let bytes = encoded.cast::<PyBytes>()?.as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            let repr = object.repr()?;
            let message = format!("path must name a directory, without null bytes, not {repr}");
            return Err(PyValueError::new_err(message));
        }
        Ok(DirectoryPath(OsString::from_vec(bytes.to_vec()).into()))
    }
}
