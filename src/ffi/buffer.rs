//! Copies of values: `kvstore_get` and `kvstore_buffer`.

use std::ffi::c_void;
use std::ptr;

use super::arguments::{Out, bytes};
use super::boundary::{Failure, boundary};
use super::error::kvstore_error;
use super::slice::empty;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// A copy that belongs to the caller, who frees it with kvstore_buffer_free(). The bytes may be
/// read and changed until then.
#[repr(C)]
pub struct kvstore_buffer {
    /// First byte. Not NULL in a successful result.
    pub data: *mut u8,
    /// Number of bytes.
    pub len: usize,
    /// What kvstore_buffer_free() frees. Do not use it otherwise.
    pub owner: *mut c_void,
}

const _: () = assert!(size_of::<kvstore_buffer>() == 24 && align_of::<kvstore_buffer>() == 8);

impl kvstore_buffer {
    pub(super) const NONE: kvstore_buffer =
        kvstore_buffer { data: ptr::null_mut(), len: 0, owner: ptr::null_mut() };

    /// A copy on the C heap: one allocation, which can be refused without ending the process.
    pub(super) fn copy_of(value: &[u8]) -> Result<kvstore_buffer, Failure> {
        if value.is_empty() {
            return Ok(kvstore_buffer { data: empty().cast_mut(), ..kvstore_buffer::NONE });
        }
        // SAFETY: the size is not 0.
        let owner = unsafe { libc::malloc(value.len()) };
        if owner.is_null() {
            return Err(Failure::OutOfMemory { bytes: value.len() });
        }
        let data = owner.cast::<u8>();
        // SAFETY: `data` is a fresh allocation of that many bytes, so nothing overlaps.
        unsafe { ptr::copy_nonoverlapping(value.as_ptr(), data, value.len()) };
        Ok(kvstore_buffer { data, len: value.len(), owner })
    }
}

/// Copies the value of a key.
///
///     kvstore_buffer value;
///     if (kvstore_get(store, "user:1", 6, &value, NULL) == KVSTORE_OK) {
///         fwrite(value.data, 1, value.len, stdout);
///         kvstore_buffer_free(&value);
///     }
///
/// KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK the buffer is {NULL, 0, NULL} and
/// there is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_get(
    store: *const kvstore,
    key: *const c_void,
    key_len: usize,
    out: *mut kvstore_buffer,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, kvstore_buffer::NONE, "out is NULL; pass a kvstore_buffer") };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        out.require()?;
        let Some(copy) = store.get_with(key, kvstore_buffer::copy_of)? else {
            return Ok(KVSTORE_NOT_FOUND);
        };
        out.set(copy?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Frees what a buffer holds and sets its fields to NULL and 0, so that doing it twice is
/// harmless. A NULL pointer is allowed, and so is a buffer of {NULL, 0, NULL}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_buffer_free(buffer: *mut kvstore_buffer) {
    if buffer.is_null() {
        return;
    }
    // SAFETY: the caller passes a buffer that a function of this library filled, so `owner` is
    // NULL or came from `malloc`; the fields are emptied here, so it is freed once.
    unsafe {
        libc::free((*buffer).owner);
        buffer.write(kvstore_buffer::NONE);
    }
}
