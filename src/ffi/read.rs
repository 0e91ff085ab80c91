//! Reads that return nothing to free: `kvstore_contains` and `kvstore_get_into`.

use std::ffi::c_void;
use std::ptr;

use super::arguments::{Out, bytes};
use super::boundary::{Failure, boundary};
use super::error::kvstore_error;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// Whether the store has a key: KVSTORE_OK or KVSTORE_NOT_FOUND; or KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_contains(
    store: *const kvstore,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        Ok(if store.contains(key)? { KVSTORE_OK } else { KVSTORE_NOT_FOUND })
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Copies the value of a key into the caller's buffer: the fastest way to read small values.
///
///     char buffer[256];
///     size_t len;
///     status = kvstore_get_into(store, "user:1", 6, buffer, sizeof buffer, &len, NULL);
///
/// *value_len becomes the length of the value, in bytes. If that is more than capacity, nothing
/// is copied and the result is KVSTORE_ERR_BUFFER_TOO_SMALL: pass NULL for error to make this
/// outcome cheap. (NULL, 0) is a valid buffer, so this is also the way to ask for a length.
///
/// KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_BUFFER_TOO_SMALL, KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT. *value_len is 0 unless the key was found.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_get_into(
    store: *const kvstore,
    key: *const c_void,
    key_len: usize,
    buffer: *mut c_void,
    capacity: usize,
    value_len: *mut usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(value_len, 0, "value_len is NULL; pass the address of a size_t") };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        out.require()?;
        if buffer.is_null() && capacity != 0 {
            return Err(Failure::NullBytes { what: "buffer", len: capacity });
        }
        // The closure returns a number, not a failure: that fits into a register.
        let found = store.get_with(key, |value| {
            if value.len() <= capacity && !value.is_empty() {
                // SAFETY: the value fits into the buffer (checked), which is not NULL (checked:
                // capacity is not 0) and writable by the rule for outputs, kept by the caller. It
                // does not overlap the value: the caller does not write to the store's files.
                unsafe { ptr::copy_nonoverlapping(value.as_ptr(), buffer.cast(), value.len()) };
            }
            value.len()
        })?;
        let Some(needed) = found else { return Ok(KVSTORE_NOT_FOUND) };
        out.set(needed);
        if needed > capacity {
            return Err(Failure::BufferTooSmall { needed, capacity });
        }
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}
