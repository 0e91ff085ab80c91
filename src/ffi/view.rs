//! The store at one instant: `kvstore_view`.

use std::ffi::c_void;
use std::ptr;

use crate::View;

use super::arguments::{Out, bytes, handle};
use super::boundary::{Failure, boundary, shielded};
use super::cursor::{kvstore_cursor, opened};
use super::error::{boxed, kvstore_error};
use super::pin::{NO_PIN, NO_SLICE, give, kvstore_pin};
use super::range::{kvstore_range, request};
use super::slice::kvstore_slice;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// The store as it was at one instant, whatever is written meanwhile. Any number of threads may use
/// one at the same time, and it stays valid after kvstore_close(), until kvstore_view_close().
pub struct kvstore_view {
    view: View,
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<kvstore_view>();
};

/// Takes a view of the store as it is at one instant during the call. *out becomes the view, which
/// kvstore_view_close() frees, or NULL.
///
///     kvstore_view *view;
///     kvstore_slice value;
///     if (kvstore_view_open(store, &view, &error) == KVSTORE_OK) {
///         if (kvstore_view_get(view, "user:1", 6, &value, NULL) == KVSTORE_OK)
///             use(value.data, value.len);
///         kvstore_view_close(view);
///     }
///
/// It needs the order of keys, so what kvstore_cursor_open() says of its cost holds here as well;
/// when nothing was written since the last view or cursor, it costs next to nothing. A view keeps
/// whole files mapped, and on the disk once they have been replaced, so close it when done.
///
/// KVSTORE_OK, KVSTORE_ERR_FORKED, KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_INVALID_ARGUMENT, or
/// KVSTORE_ERR_CORRUPT when a record can no longer be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_open(
    store: *const kvstore,
    out: *mut *mut kvstore_view,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe {
        Out::new(out, ptr::null_mut(), "out is NULL; pass the address of a kvstore_view *")
    };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let store = unsafe { store_of(store) }?;
        out.require()?;
        let view = boxed(kvstore_view { view: store.view()? });
        if view.is_null() {
            return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_view>() });
        }
        out.set(view);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Lends the value that a key had, without a copy: *value stays valid until kvstore_view_close(),
/// also after kvstore_close(). It must not be written to: it is the store's file.
///
/// KVSTORE_OK; KVSTORE_NOT_FOUND; KVSTORE_ERR_CORRUPT when a record can no longer be read; or
/// KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK value is {NULL, 0}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_get(
    view: *const kvstore_view,
    key: *const c_void,
    key_len: usize,
    value: *mut kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(value, kvstore_slice::NONE, NO_SLICE) };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        out.require()?;
        let Some(value) = view.get(key)? else { return Ok(KVSTORE_NOT_FOUND) };
        // The bytes are those of a mapped file, which the view keeps mapped.
        out.set(kvstore_slice::of(&value));
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_view_get(), for a value that is needed for longer than the view: it stays valid until
/// kvstore_pin_release().
///
/// KVSTORE_OK; KVSTORE_NOT_FOUND; KVSTORE_ERR_CORRUPT when a record can no longer be read;
/// KVSTORE_ERR_OUT_OF_MEMORY; or KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK pin is
/// NULL and value {NULL, 0}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_get_pinned(
    view: *const kvstore_view,
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
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        pin.require()?;
        slice.require()?;
        match view.get_pinned(key)? {
            Some(value) => give(value, &pin, &slice),
            None => Ok(KVSTORE_NOT_FOUND),
        }
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Whether the view has a key: KVSTORE_OK or KVSTORE_NOT_FOUND; or KVSTORE_ERR_CORRUPT when a record
/// can no longer be read, or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_contains(
    view: *const kvstore_view,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (view, key) = unsafe { (view_of(view)?, bytes(key, key_len, "key")?) };
        Ok(if view.contains(key)? { KVSTORE_OK } else { KVSTORE_NOT_FOUND })
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// The number of keys in the view, into *out. KVSTORE_OK or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_len(
    view: *const kvstore_view,
    out: *mut u64,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, 0, "out is NULL; pass the address of a uint64_t") };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let view = unsafe { view_of(view) }?;
        out.require()?;
        out.set(view.len() as u64);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Opens a cursor over the view, like kvstore_cursor_open() over a store. It does not need the view
/// any more, and is freed by kvstore_cursor_close().
///
/// KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT for a wrong struct_size or an unknown flag;
/// KVSTORE_ERR_UNSUPPORTED when a larger struct_size comes with fields that are not 0;
/// KVSTORE_ERR_OUT_OF_MEMORY; or KVSTORE_ERR_CORRUPT when a record can no longer be read. After an
/// error *out is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_cursor_open(
    view: *const kvstore_view,
    range: *const kvstore_range,
    out: *mut *mut kvstore_cursor,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe {
        Out::new(out, ptr::null_mut(), "out is NULL; pass the address of a kvstore_cursor *")
    };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (view, request) = unsafe { (view_of(view)?, request(range)?) };
        out.require()?;
        out.set(opened(request, |keys, direction| view.cursor(keys, direction))?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Frees a view; no slice that it lent must be used any more, but its cursors and pins may. NULL is
/// allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_view_close(view: *mut kvstore_view) {
    if !view.is_null() {
        // SAFETY: made by `boxed` in `kvstore_view_open`, and freed only here, once: the rule for
        // handles, kept by the caller.
        let view = unsafe { Box::from_raw(view) };
        shielded((), || drop(view));
    }
}

/// The view behind a handle.
///
/// # Safety
/// The rule for *handles* holds for as long as the result is used.
pub(super) unsafe fn view_of<'a>(view: *const kvstore_view) -> Result<&'a View, Failure> {
    const ADVICE: &str = "view is NULL; pass what kvstore_view_open() returned";
    // SAFETY: passed on to the caller of this function.
    unsafe { handle(view, ADVICE) }.map(|handle| &handle.view)
}
