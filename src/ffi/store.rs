//! The store handle, `kvstore`: open, close, and what concerns the store as a whole.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use crate::{Options, RecoveryReport, Store};

use super::arguments::{Out, handle};
use super::boundary::{Failure, boundary, shielded};
use super::error::{Text, boxed, kvstore_error};
use super::options::kvstore_options;
use super::status::{KVSTORE_OK, kvstore_status};

/// An open store. Any number of threads may use one handle at the same time.
pub struct kvstore {
    pub(super) store: Store,
    path: Option<Text>,
    pub(super) recovery: RecoveryTexts,
}

/// What `kvstore_recovery_report` lends to C.
pub(super) struct RecoveryTexts {
    pub(super) quarantine: Option<Text>,
    pub(super) cut_log: Option<Text>,
    pub(super) cut_reason: Option<Text>,
}

impl RecoveryTexts {
    fn of(report: &RecoveryReport) -> RecoveryTexts {
        let path = |path: &PathBuf| Text::of_bytes(path.as_os_str().as_bytes());
        RecoveryTexts {
            quarantine: report.quarantine.as_ref().and_then(path),
            cut_log: report.cut_log.as_ref().and_then(path),
            cut_reason: report.cut_reason.as_ref().and_then(|why| Text::of_bytes(why.as_bytes())),
        }
    }
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<kvstore>();
};

/// The store behind a handle.
///
/// # Safety
/// The rule for *handles* holds for as long as the result is used.
#[inline]
pub(super) unsafe fn store_of<'a>(store: *const kvstore) -> Result<&'a Store, Failure> {
    // SAFETY: passed on to the caller of this function.
    unsafe { handle_of(store) }.map(|handle| &handle.store)
}

/// Like [`store_of`], for what else the handle has.
///
/// # Safety
/// The rule for *handles* holds for as long as the result is used.
#[inline]
pub(super) unsafe fn handle_of<'a>(store: *const kvstore) -> Result<&'a kvstore, Failure> {
    const ADVICE: &str =
        "store is NULL; pass what kvstore_open() returned, and nothing after kvstore_close()";
    // SAFETY: passed on to the caller of this function.
    unsafe { handle(store, ADVICE) }
}

/// Opens the store in a directory, and recovers what an earlier process left there.
///
///     kvstore *store;
///     kvstore_error *error;
///     if (kvstore_open("data", NULL, &store, &error) != KVSTORE_OK) {
///         fprintf(stderr, "%s\n", kvstore_error_message(error));
///         kvstore_error_free(error);
///         return 1;
///     }
///
/// directory is a path in the encoding of the file system. options may be NULL for the defaults,
/// and may be freed afterwards. *out becomes the handle, which kvstore_close() frees, or NULL.
/// What recovery found is told by kvstore_recovery_report().
///
/// KVSTORE_OK; KVSTORE_ERR_LOCKED when the directory is open elsewhere, also in this process;
/// KVSTORE_ERR_CORRUPT when the snapshot is damaged or not one, with its path and offset;
/// KVSTORE_ERR_UNSUPPORTED when a newer version wrote the directory; KVSTORE_ERR_IO when a system
/// call fails, with its errno, for example ENOENT without KVSTORE_OPTION_CREATE, ENOTDIR or
/// EACCES; KVSTORE_ERR_NO_SPACE; KVSTORE_ERR_INVALID_ARGUMENT; KVSTORE_ERR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_open(
    directory: *const c_char,
    options: *const kvstore_options,
    out: *mut *mut kvstore,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out =
        unsafe { Out::new(out, ptr::null_mut(), "out is NULL; pass the address of a kvstore *") };
    let body = || {
        out.require()?;
        if directory.is_null() {
            return Err(Failure::Argument("directory is NULL; pass the path of a directory"));
        }
        // SAFETY: not NULL (checked), and the rule for strings, kept by the caller.
        let directory = unsafe { CStr::from_ptr(directory) };
        if directory.is_empty() {
            return Err(Failure::Argument(
                "directory is an empty string; pass the path of a directory, \".\" for the current one",
            ));
        }
        let directory = Path::new(OsStr::from_bytes(directory.to_bytes()));
        // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
        let store = match unsafe { options.as_ref() } {
            Some(options) => options.inner.open(directory)?,
            None => Options::new().open(directory)?,
        };
        let path = Text::of_bytes(store.path().as_os_str().as_bytes());
        let recovery = RecoveryTexts::of(store.recovery_report());
        let handle = boxed(kvstore { store, path, recovery });
        if handle.is_null() {
            return Err(Failure::OutOfMemory { bytes: size_of::<kvstore>() });
        }
        out.set(handle);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Closes a store and frees the handle, whatever is returned. NULL is allowed: KVSTORE_OK.
///
/// No other call may be using the handle, and none may use it afterwards (caveat 2). Cursors,
/// pins, buffers and values stay valid. Writes a snapshot and leaves an empty log, unless
/// KVSTORE_OPTION_CLOSE_CHECKPOINT says otherwise; on a large store that can take seconds. If
/// that fails, the log stays, and the next open replays it.
///
/// KVSTORE_OK; KVSTORE_ERR_IO, KVSTORE_ERR_NO_SPACE, KVSTORE_ERR_TOO_LARGE or
/// KVSTORE_ERR_OUT_OF_MEMORY when the snapshot could not be written, and nothing is lost;
/// KVSTORE_ERR_CORRUPT when a record can no longer be read, in memory or on disk: the next open
/// keeps what is before it in the log, and the rest in quarantine; KVSTORE_ERR_POISONED when an
/// earlier write failed for good, so nothing was written now; KVSTORE_ERR_LOCKED, or on the thread
/// that has it KVSTORE_ERR_INVALID_ARGUMENT, when a kvstore_transaction is open: nothing was closed but
/// the handle, and the directory stays locked until the transaction ends; KVSTORE_ERR_FORKED in a forked
/// child, where it writes nothing, leaves the parent's lock alone and frees the handle only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_close(
    store: *mut kvstore,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        if store.is_null() {
            return Ok(KVSTORE_OK);
        }
        // SAFETY: made by `boxed` in `kvstore_open`, and freed only here, once: the rule for
        // handles, kept by the caller.
        let handle = unsafe { Box::from_raw(store) };
        // Should one of these panic, the other still runs.
        let result = shielded(None, || Some(handle.store.close()));
        drop(handle);
        match result {
            Some(result) => result?,
            None => return Err(Failure::Panic("closing the store panicked".to_owned())),
        }
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// The directory of a store, as the bytes that the system uses for it. NULL for NULL. The string
/// belongs to the handle and is valid until kvstore_close().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_path(store: *const kvstore) -> *const c_char {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    let path = unsafe { store.as_ref() }.and_then(|handle| handle.path.as_ref());
    path.map_or(ptr::null(), Text::as_ptr)
}

/// Makes every write that has returned as durable as KVSTORE_DURABILITY_SYNC.
///
/// KVSTORE_OK, also for a store that was opened read-only, where there is nothing to do;
/// KVSTORE_ERR_IO when the disk refuses: what had not been synced before may be lost in a crash,
/// and the store takes no more writes; KVSTORE_ERR_POISONED when that happened earlier;
/// KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_sync(
    store: *mut kvstore,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        unsafe { store_of(store) }?.sync()?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Writes everything that was written so far to a new snapshot and removes the log that had it,
/// while other threads go on reading and writing. Does nothing if there is nothing new. A thread of
/// the library does the same when the log is long: see KVSTORE_OPTION_CHECKPOINT_BYTES.
///
/// KVSTORE_OK; KVSTORE_ERR_NO_SPACE, KVSTORE_ERR_IO, KVSTORE_ERR_OUT_OF_MEMORY or
/// KVSTORE_ERR_CORRUPT: nothing is lost, the log is kept, the store goes on, and the next one tries
/// again; KVSTORE_ERR_POISONED, KVSTORE_ERR_READ_ONLY, KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_checkpoint(
    store: *mut kvstore,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        unsafe { store_of(store) }?.checkpoint()?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// The number of keys in the store, into *out. It costs no search.
///
/// KVSTORE_OK, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_len(
    store: *const kvstore,
    out: *mut u64,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, 0, "out is NULL; pass the address of a uint64_t") };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let store = unsafe { store_of(store) }?;
        out.require()?;
        store.check()?;
        out.set(store.len() as u64);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}
