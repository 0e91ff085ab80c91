//! Values without a copy: `kvstore_get_pinned` and `kvstore_pin`.

use std::ffi::c_void;
use std::ptr;

use crate::PinnedValue;

use super::arguments::{Out, bytes};
use super::boundary::{Failure, Outcome, boundary, shielded};
use super::error::{boxed, kvstore_error};
use super::slice::kvstore_slice;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// Keeps the bytes of one value in memory. May be released from any thread, and after
/// kvstore_close().
pub struct kvstore_pin {
    /// Held for its destructor.
    _value: PinnedValue,
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<kvstore_pin>();
};

/// Gives `value` to the caller: the pin, and what it pins.
pub(super) fn give(
    value: PinnedValue,
    pin: &Out<*mut kvstore_pin>,
    slice: &Out<kvstore_slice>,
) -> Outcome {
    // Where the bytes are does not depend on where the `PinnedValue` is: it lends bytes of a mapped
    // file, which stays mapped for as long as it lives.
    let bytes = kvstore_slice::of(&value);
    let owner = boxed(kvstore_pin { _value: value });
    if owner.is_null() {
        return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_pin>() });
    }
    pin.set(owner);
    slice.set(bytes);
    Ok(KVSTORE_OK)
}

pub(super) const NO_PIN: &str = "pin is NULL; pass the address of a kvstore_pin *";
pub(super) const NO_SLICE: &str = "value is NULL; pass a kvstore_slice";

/// Looks at the value of a key without copying it.
///
///     kvstore_pin *pin;
///     kvstore_slice value;
///     if (kvstore_get_pinned(store, "user:1", 6, &pin, &value, NULL) == KVSTORE_OK) {
///         use(value.data, value.len);
///         kvstore_pin_release(pin);
///     }
///
/// The bytes stay valid and unchanged until kvstore_pin_release(), whatever is written meanwhile
/// and also after kvstore_close(); they must not be written to: they are the store's file. A pin
/// keeps a whole file mapped, so release it when done.
///
/// KVSTORE_OK, KVSTORE_NOT_FOUND, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK pin is NULL and value {NULL, 0}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_get_pinned(
    store: *const kvstore,
    key: *const c_void,
    key_len: usize,
    pin: *mut *mut kvstore_pin,
    value: *mut kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let (pin, slice) = unsafe {
        (Out::new(pin, ptr::null_mut(), NO_PIN), Out::new(value, kvstore_slice::NONE, NO_SLICE))
    };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        pin.require()?;
        slice.require()?;
        match store.get_pinned(key)? {
            Some(value) => give(value, &pin, &slice),
            None => Ok(KVSTORE_NOT_FOUND),
        }
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Releases a pin; its bytes must not be used any more. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_pin_release(pin: *mut kvstore_pin) {
    if !pin.is_null() {
        // SAFETY: made by `boxed` in `kvstore_get_pinned`, and freed only here, once: the rule
        // for handles, kept by the caller.
        let pin = unsafe { Box::from_raw(pin) };
        shielded((), || drop(pin));
    }
}
