//! Scans: `kvstore_cursor`.

use std::ffi::c_void;
use std::ptr;

use crate::{Cursor, Direction, KeyRange};

use super::arguments::{Out, bytes, handle_mut};
use super::boundary::{Failure, boundary, shielded};
use super::error::{boxed, kvstore_error};
use super::range::{Request, kvstore_range, request};
use super::slice::{kvstore_pair, kvstore_slice};
use super::status::{KVSTORE_DONE, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// A scan in progress. It sees the store as it was when the cursor was opened, whatever is
/// written meanwhile, and stays valid after kvstore_close(). One thread at a time uses it.
pub struct kvstore_cursor {
    cursor: Cursor,
    keys_only: bool,
    /// How many pairs may be visited after the cursor was opened, or has sought.
    limit: u64,
    /// How many may still be.
    left: u64,
}

/// A cursor that `open` opens, for whoever frees it by `kvstore_cursor_close`.
pub(super) fn opened(
    request: Request,
    open: impl FnOnce(KeyRange, Direction) -> crate::Result<Cursor>,
) -> Result<*mut kvstore_cursor, Failure> {
    let Request { keys, direction, keys_only, limit } = request;
    let cursor = open(keys, direction)?;
    let cursor = boxed(kvstore_cursor { cursor, keys_only, limit, left: limit });
    if cursor.is_null() {
        return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_cursor>() });
    }
    Ok(cursor)
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
/// The first cursor puts all keys of the store in order, which takes about a tenth of a
/// microsecond for each; from then on the store keeps that order, 16 bytes for each key, and opening
/// a cursor puts in order what was written since the last one. Writers do not wait. Moving a cursor
/// costs no more than a read.
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
        let (store, request) = unsafe { (store_of(store)?, request(range)?) };
        out.require()?;
        let cursor = opened(request, |keys, direction| store.cursor(keys, direction))?;
        out.set(cursor);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Moves to the next pair and lends its key and value, which stay valid until the next call with
/// this cursor. With KVSTORE_RANGE_KEYS_ONLY *value is empty, and NULL may be passed for value.
///
/// KVSTORE_OK; KVSTORE_DONE at the end or the limit, also when called again; KVSTORE_ERR_CORRUPT,
/// also when called again, when a record can no longer be read; or KVSTORE_ERR_INVALID_ARGUMENT.
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
        if cursor.left == 0 {
            return Ok(KVSTORE_DONE);
        }
        let keys_only = cursor.keys_only;
        if let Some((key, value)) = cursor.cursor.next_pair() {
            cursor.left -= 1;
            out_key.set(kvstore_slice::of(key));
            out_value.set(kvstore_slice::of(if keys_only { &[] } else { value }));
            return Ok(KVSTORE_OK);
        }
        cursor.cursor.check()?;
        Ok(KVSTORE_DONE)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Moves over up to capacity pairs at once, for callers to whom each call is a cost. out is an
/// array of capacity pairs, of which *count are filled, without a copy; they stay valid until the
/// next call with this cursor. A call may return fewer pairs than there are, but not none.
///
/// KVSTORE_OK with *count at least 1; KVSTORE_DONE with *count 0 at the end; KVSTORE_ERR_CORRUPT
/// when the next record can no longer be read; or KVSTORE_ERR_INVALID_ARGUMENT, also for a capacity
/// of 0.
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
        if cursor.left == 0 {
            return Ok(KVSTORE_DONE);
        }
        let count = usize::try_from(cursor.left).unwrap_or(usize::MAX).min(capacity);
        let mut filled = 0;
        for (key, value) in cursor.cursor.next_pairs(count) {
            let value = if keys_only { &[] } else { value };
            let pair =
                kvstore_pair { key: kvstore_slice::of(key), value: kvstore_slice::of(value) };
            // SAFETY: there are at most `capacity` pairs, and `out` has as many places, by the
            // rule for outputs, kept by the caller.
            unsafe { out.add(filled).write(pair) };
            filled += 1;
        }
        if filled == 0 {
            cursor.cursor.check()?;
            return Ok(KVSTORE_DONE);
        }
        cursor.left -= filled as u64;
        out_count.set(filled);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Moves to before the first key, in the cursor's direction, that is not before this one: the
/// least key that is not less, or, with KVSTORE_RANGE_REVERSE, the greatest that is not greater.
/// The cursor may move forwards or backwards, but never out of its range. What it lent before is not
/// valid any more, and a limit begins to count anew.
///
///     status = kvstore_cursor_seek(cursor, "user:5", 6, &error);
///     if (status == KVSTORE_OK)
///         status = kvstore_cursor_next(cursor, &key, &value, &error);
///
/// KVSTORE_OK, also when there is no such key, which the next call tells; KVSTORE_ERR_CORRUPT when a
/// record can no longer be read, and the cursor stays where it was; or
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_cursor_seek(
    cursor: *mut kvstore_cursor,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (cursor, key) = unsafe { (cursor_of(cursor)?, bytes(key, key_len, "key")?) };
        cursor.cursor.seek(key)?;
        cursor.left = cursor.limit;
        Ok(KVSTORE_OK)
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
