//! Scans: `kvstore_cursor`.

use std::ptr;

use crate::{Cursor, Direction, KeyRange};

use super::arguments::{Out, handle_mut};
use super::boundary::{Failure, boundary, shielded};
use super::error::{boxed, kvstore_error};
use super::range::{kvstore_range, range_of, request_of};
use super::slice::{kvstore_pair, kvstore_slice};
use super::status::{KVSTORE_DONE, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// A scan in progress. It sees the store as it was when the cursor was opened, whatever is
/// written meanwhile, and stays valid after kvstore_close(). One thread at a time uses it.
pub struct kvstore_cursor {
    cursor: Cursor,
    keys_only: bool,
}

const _: () = {
    const fn moves_between_threads<T: Send>() {}
    moves_between_threads::<kvstore_cursor>();
};

/// Opens a cursor before the first pair of a range. range NULL is all keys, ascending; the range
/// and its keys are needed only during the call.
///
///     kvstore_cursor *cursor;
///     kvstore_slice key, value;
///     status = kvstore_cursor_open(store, NULL, &cursor, &error);
///     while (status == KVSTORE_OK) {
///         status = kvstore_cursor_next(cursor, &key, &value, &error);
///         if (status == KVSTORE_OK) use(key, value);
///     }
///     kvstore_cursor_close(cursor);
///
/// Keys are ordered by their bytes, as memcmp() does, a shorter key before a longer one that
/// begins with it. A range whose end is not after its start is empty. An end of length 0 whose
/// data is not NULL is the empty key, before which there is nothing.
///
/// Opening a cursor passes over the whole index, about 10 ns for each key of the store, during
/// which writers wait, and then sorts the keys of the range. Moving it costs no more than a read.
///
/// KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT for a wrong struct_size or an unknown flag;
/// KVSTORE_ERR_UNSUPPORTED when a larger struct_size comes with fields that are not 0;
/// KVSTORE_ERR_FORKED, KVSTORE_ERR_OUT_OF_MEMORY, or KVSTORE_ERR_CORRUPT when a record can no longer
/// be read. After an error *out is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_cursor_open(
    store: *const kvstore,
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
        let (store, range) = unsafe { (store_of(store)?, range_of(range)?) };
        out.require()?;
        let (keys, direction, keys_only) = match range {
            // SAFETY: the rule for bytes, kept by the caller.
            Some(range) => unsafe { request_of(&range) }?,
            None => (KeyRange::all(), Direction::Ascending, false),
        };
        let cursor = boxed(kvstore_cursor { cursor: store.cursor(keys, direction)?, keys_only });
        if cursor.is_null() {
            return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_cursor>() });
        }
        out.set(cursor);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Moves to the next pair and lends its key and value, which stay valid until the next call with
/// this cursor. With KVSTORE_RANGE_KEYS_ONLY the value is empty and its pointer may be NULL.
///
/// KVSTORE_OK; KVSTORE_DONE at the end, also when called again; or KVSTORE_ERR_INVALID_ARGUMENT.
/// After anything but KVSTORE_OK key and value are {NULL, 0}.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_cursor_next(
    cursor: *mut kvstore_cursor,
    key: *mut kvstore_slice,
    value: *mut kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let (out_key, out_value) = unsafe {
        (
            Out::new(key, kvstore_slice::NONE, "key is NULL; pass a kvstore_slice"),
            Out::new(
                value,
                kvstore_slice::NONE,
                "value is NULL; pass a kvstore_slice, or open \
                the cursor with KVSTORE_RANGE_KEYS_ONLY",
            ),
        )
    };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let cursor = unsafe { cursor_of(cursor) }?;
        out_key.require()?;
        if !cursor.keys_only {
            out_value.require()?;
        }
        let Some((key, value)) = cursor.cursor.next_pair() else { return Ok(KVSTORE_DONE) };
        out_key.set(kvstore_slice::of(key));
        out_value.set(kvstore_slice::of(if cursor.keys_only { &[] } else { value }));
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Moves over up to capacity pairs at once, for callers to whom each call is a cost. out is an
/// array of capacity pairs, of which *count are filled, without a copy; they stay valid until the
/// next call with this cursor. A call may return fewer pairs than there are, but not none.
///
/// KVSTORE_OK with *count at least 1; KVSTORE_DONE with *count 0 at the end; or
/// KVSTORE_ERR_INVALID_ARGUMENT, also for a capacity of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_cursor_next_batch(
    cursor: *mut kvstore_cursor,
    out: *mut kvstore_pair,
    capacity: usize,
    count: *mut usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out_count = unsafe { Out::new(count, 0, "count is NULL; pass the address of a size_t") };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let cursor = unsafe { cursor_of(cursor) }?;
        out_count.require()?;
        if out.is_null() || capacity == 0 {
            return Err(Failure::Argument(
                "out is NULL or capacity is 0; pass an array of at least one kvstore_pair",
            ));
        }
        let keys_only = cursor.keys_only;
        let mut filled = 0;
        for (key, value) in cursor.cursor.next_pairs(capacity) {
            let value = if keys_only { &[] } else { value };
            let pair =
                kvstore_pair { key: kvstore_slice::of(key), value: kvstore_slice::of(value) };
            // SAFETY: there are at most `capacity` pairs, and `out` has as many places, by the
            // rule for outputs, kept by the caller.
            unsafe { out.add(filled).write(pair) };
            filled += 1;
        }
        out_count.set(filled);
        Ok(if filled == 0 { KVSTORE_DONE } else { KVSTORE_OK })
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Frees a cursor; no slice that it lent must be used any more. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_cursor_close(cursor: *mut kvstore_cursor) {
    if !cursor.is_null() {
        // SAFETY: made by `boxed` in `kvstore_cursor_open`, and freed only here, once: the rule
        // for handles, kept by the caller.
        let cursor = unsafe { Box::from_raw(cursor) };
        shielded((), || drop(cursor));
    }
}

/// The cursor behind a handle.
///
/// # Safety
/// The rule for *handles* holds for as long as the result is used.
unsafe fn cursor_of<'a>(cursor: *mut kvstore_cursor) -> Result<&'a mut kvstore_cursor, Failure> {
    // SAFETY: passed on to the caller of this function.
    unsafe { handle_mut(cursor, "cursor is NULL; pass what kvstore_cursor_open() returned") }
}
