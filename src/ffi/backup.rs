//! Backups: `kvstore_backup` and its kin.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use crate::BackupProgress;

use super::arguments::path_of;
use super::boundary::{Failure, Outcome, boundary};
use super::error::kvstore_error;
use super::status::{KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};
use super::view::{kvstore_view, view_of};

/// How far a backup has come: what its callback is told. It belongs to the library and is valid
/// during the call of the callback only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_backup_progress {
    /// How much of this struct the library fills; a later version may fill more.
    pub struct_size: usize,
    /// Records that are checked, and written or about to be.
    pub records_done: u64,
    /// Records there are.
    pub records_total: u64,
    /// Bytes of those.
    pub bytes_done: u64,
    /// Bytes there will be: an estimate, exact at the end.
    pub bytes_total: u64,
}

const _: () = {
    assert!(size_of::<kvstore_backup_progress>() == 40);
    assert!(align_of::<kvstore_backup_progress>() == 8);
};

/// What a caller may pass to be told, and to stop the backup by a result that is not 0.
type Callback = Option<unsafe extern "C" fn(*mut c_void, *const kvstore_backup_progress) -> i32>;

const NO_DIRECTORY: &str =
    "directory is NULL or empty; pass the path of a directory that does not exist yet";

/// Runs `back_up`, with a function that tells the caller.
///
/// # Safety
/// `callback` is NULL, or may be called with `context`, from this thread, during the call.
unsafe fn told(
    callback: Callback,
    context: *mut c_void,
    back_up: impl FnOnce(&mut dyn FnMut(&BackupProgress) -> ControlFlow<()>) -> crate::Result<()>,
) -> Outcome {
    let mut tell = |progress: &BackupProgress| {
        let Some(callback) = callback else { return ControlFlow::Continue(()) };
        let told = kvstore_backup_progress {
            struct_size: size_of::<kvstore_backup_progress>(),
            records_done: progress.records_done,
            records_total: progress.records_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
        };
        // SAFETY: by the promise of the caller; `told` lives until it returns.
        match unsafe { callback(context, &raw const told) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    back_up(&mut tell)?;
    Ok(KVSTORE_OK)
}

/// Writes the store as it is at one instant during the call to a new directory, while other threads
/// read and write. Works also for a store that was opened read-only, or that is
/// KVSTORE_ERR_POISONED.
///
///     status = kvstore_backup(store, "/backups/monday", &error);
///
/// directory must not exist, or be empty, and not lie in the store's own. It becomes a directory that
/// opens like any other, also in the Go store, and appears when it is whole and durable. Should the
/// process die before, nothing is there but perhaps a directory called
/// "<directory>.unfinished-<number>", which can be removed. It may be on another file system.
///
/// Every record is checked against the checksum that it was stored with. If nothing was written since
/// the store was last closed, and the file system can, the data is cloned, and takes no more
/// room until one of the two is replaced.
///
/// KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT, also when a directory that is not empty is there;
/// KVSTORE_ERR_NO_SPACE; KVSTORE_ERR_IO, also when a file is there; KVSTORE_ERR_CORRUPT when a
/// record is not what was stored; KVSTORE_ERR_TOO_LARGE for more than 2^32 - 1 records;
/// KVSTORE_ERR_OUT_OF_MEMORY; KVSTORE_ERR_FORKED. After an error nothing of it is left, and the
/// store is not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_backup(
    store: *mut kvstore,
    directory: *const c_char,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and strings, kept by the caller.
        let (store, to) = unsafe { (store_of(store)?, path_of(directory, NO_DIRECTORY)?) };
        store.backup(to)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_backup(), and calls callback(context, progress) every megabyte or few thousand
/// records and at the end, from the thread that called this, with no lock held. It returns 0
/// to go on; anything else gives the backup up. It may use the store. It must return: no
/// exception, no longjmp(). callback may be NULL.
///
/// The results of kvstore_backup(), and KVSTORE_ERR_CANCELLED when callback stopped it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_backup_with(
    store: *mut kvstore,
    directory: *const c_char,
    callback: Option<
        unsafe extern "C" fn(context: *mut c_void, progress: *const kvstore_backup_progress) -> i32,
    >,
    context: *mut c_void,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and strings, kept by the caller.
        let (store, to) = unsafe { (store_of(store)?, path_of(directory, NO_DIRECTORY)?) };
        // SAFETY: what the header says of the callback, kept by the caller.
        unsafe { told(callback, context, |tell| store.backup_with(to, tell)) }
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_backup_with(), of what a view holds. The store may be closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_backup(
    view: *const kvstore_view,
    directory: *const c_char,
    callback: Option<
        unsafe extern "C" fn(context: *mut c_void, progress: *const kvstore_backup_progress) -> i32,
    >,
    context: *mut c_void,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || -> Result<kvstore_status, Failure> {
        // SAFETY: the rules for handles and strings, kept by the caller.
        let (view, to) = unsafe { (view_of(view)?, path_of(directory, NO_DIRECTORY)?) };
        // SAFETY: what the header says of the callback, kept by the caller.
        unsafe { told(callback, context, |tell| view.backup_with(to, tell)) }
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}
