//! Writes: `kvstore_set`, `kvstore_delete` and their variants.

use std::ffi::c_void;

use super::arguments::bytes;
use super::boundary::boundary;
use super::error::kvstore_error;
use super::options::durability_of;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// Stores a value under a key, replacing the value that was there.
///
/// When it returns KVSTORE_OK, the write is as durable as KVSTORE_OPTION_DURABILITY says, and
/// every thread sees it. Key and value are copied; both may be empty.
///
/// KVSTORE_OK; KVSTORE_ERR_TOO_LARGE beyond a limit; KVSTORE_ERR_READ_ONLY; KVSTORE_ERR_NO_SPACE;
/// KVSTORE_ERR_IO; KVSTORE_ERR_OUT_OF_MEMORY; KVSTORE_ERR_INDETERMINATE when the sync failed;
/// KVSTORE_ERR_POISONED when one failed earlier; KVSTORE_ERR_LOCKED when another thread's
/// kvstore_transaction is open for too long; KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT, also
/// when this thread has a transaction open. After any error but KVSTORE_ERR_INDETERMINATE nothing was
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_set(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key, value) = unsafe {
            (store_of(store)?, bytes(key, key_len, "key")?, bytes(value, value_len, "value")?)
        };
        store.set(key, value)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_set(), with the durability of this one write: KVSTORE_DURABILITY_SYNC or
/// KVSTORE_DURABILITY_OS, whatever the store was opened with. Any other number is
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_set_with(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key, value) = unsafe {
            (store_of(store)?, bytes(key, key_len, "key")?, bytes(value, value_len, "value")?)
        };
        store.set_with(key, value, durability_of(durability)?)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Deletes a key and its value. KVSTORE_OK if it was there, KVSTORE_NOT_FOUND if it was not,
/// which costs no write; otherwise as kvstore_set(), except that no key is beyond the limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_delete(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        Ok(existed(store.delete(key)?))
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_delete(), with the durability of this one write, as for kvstore_set_with().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_delete_with(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        Ok(existed(store.delete_with(key, durability_of(durability)?)?))
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

fn existed(existed: bool) -> kvstore_status {
    if existed { KVSTORE_OK } else { KVSTORE_NOT_FOUND }
}
