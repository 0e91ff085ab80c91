//! Batches, `kvstore_batch`, and writes that depend on the value before.

use std::ffi::c_void;

use crate::{Batch, Store};

use super::arguments::{Out, bytes, handle, handle_mut, storable};
use super::boundary::{Failure, boundary, shielded};
use super::error::{boxed, kvstore_error};
use super::options::durability_of;
use super::slice::kvstore_slice;
use super::status::{KVSTORE_CONFLICT, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// Sets and deletes that kvstore_write() carries out all at once or not at all. They take effect in
/// the order in which they were added: of several for one key the last one counts. One thread at a
/// time uses it; it belongs to no store, and may be written to several.
pub struct kvstore_batch {
    batch: Batch,
}

const _: () = {
    const fn moves_between_threads<T: Send>() {}
    moves_between_threads::<kvstore_batch>();
};

const ADVICE: &str = "batch is NULL; pass what kvstore_batch_new() returned";

/// An empty batch. Free it with kvstore_batch_free(). NULL if there is no memory.
///
///     kvstore_batch *batch = kvstore_batch_new();
///     kvstore_batch_set(batch, "from", 4, "70", 2, NULL);
///     kvstore_batch_set(batch, "to", 2, "30", 2, NULL);
///     kvstore_batch_delete(batch, "pending", 7, NULL);
///     status = kvstore_write(store, batch, &error);
///     kvstore_batch_free(batch);
#[unsafe(no_mangle)]
pub extern "C" fn kvstore_batch_new() -> *mut kvstore_batch {
    shielded(std::ptr::null_mut(), || boxed(kvstore_batch { batch: Batch::new() }))
}

/// Frees a batch. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_batch_free(batch: *mut kvstore_batch) {
    if !batch.is_null() {
        // SAFETY: made by `boxed` in `kvstore_batch_new`, and freed only here, once: the rule for
        // handles, kept by the caller.
        let batch = unsafe { Box::from_raw(batch) };
        shielded((), || drop(batch));
    }
}

/// Adds to a batch: store a value under a key. Both are copied, and may be empty. Keys and values
/// above a limit of the store are refused by kvstore_write().
///
/// KVSTORE_OK; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_TOO_LARGE beyond KVSTORE_MAX_LEN, or
/// KVSTORE_ERR_INVALID_ARGUMENT, and the batch is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_batch_set(
    batch: *mut kvstore_batch,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (batch, key, value) = unsafe {
            (
                handle_mut(batch, ADVICE)?,
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            )
        };
        storable(key, "key")?;
        storable(value, "value")?;
        reserve(&mut batch.batch, key.len().saturating_add(value.len()))?;
        batch.batch.set(key, value);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Adds to a batch: delete a key, which need not be there. Otherwise as kvstore_batch_set().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_batch_delete(
    batch: *mut kvstore_batch,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (batch, key) = unsafe { (handle_mut(batch, ADVICE)?, bytes(key, key_len, "key")?) };
        reserve(&mut batch.batch, key.len())?;
        batch.batch.delete(key);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

fn reserve(batch: &mut Batch, bytes: usize) -> Result<(), Failure> {
    if batch.try_reserve(1, bytes) { Ok(()) } else { Err(Failure::NoRoom { bytes }) }
}

/// How many operations were added to a batch; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_batch_len(batch: *const kvstore_batch) -> usize {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { batch.as_ref() }.map_or(0, |batch| batch.batch.len())
}

/// Takes all operations out of a batch, to fill it again. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_batch_clear(batch: *mut kvstore_batch) {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    if let Some(batch) = unsafe { batch.as_mut() } {
        batch.batch.clear();
    }
}

/// Carries out all of a batch or nothing of it: whatever crashes, and for whoever reads. Who has seen
/// one of its writes sees all; kvstore_get_many(), cursors and views never see a part. When it
/// returns KVSTORE_OK, all of it is as durable as KVSTORE_OPTION_DURABILITY says.
///
/// The batch stays as it is: free it, clear it, or write it again. An empty one writes nothing.
///
/// KVSTORE_OK, and otherwise as kvstore_set(); after any error but KVSTORE_ERR_INDETERMINATE nothing
/// of it was written, and after that one all of it survives, or nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_write(
    store: *mut kvstore,
    batch: *mut kvstore_batch,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let (store, batch) = unsafe { (store_of(store)?, handle(batch, ADVICE)?) };
        store.write(&batch.batch)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_write(), with the durability of this one batch, as for kvstore_set_with().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_write_with(
    store: *mut kvstore,
    batch: *mut kvstore_batch,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let (store, batch) = unsafe { (store_of(store)?, handle(batch, ADVICE)?) };
        store.write_with(&batch.batch, durability_of(durability)?)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Stores a new value under a key if its value is the expected one. expected NULL means that the key
/// must be absent; desired NULL deletes it. No other write comes between the look and the write.
///
///     kvstore_slice mine = {(const uint8_t *)"mine", 4};
///     status = kvstore_compare_and_set(store, "lock", 4, NULL, &mine, &error);
///
/// KVSTORE_OK; KVSTORE_CONFLICT when the value was another one, and nothing was written; otherwise as
/// kvstore_set().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_compare_and_set(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    expected: *const kvstore_slice,
    desired: *const kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let operands = unsafe { Operands::of(store, key, key_len, expected, desired) }?;
        let Operands { store, key, expected, desired } = operands;
        Ok(matched(store.compare_and_set(key, expected, desired)?))
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_compare_and_set(), with the durability of this one write, as for kvstore_set_with().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_compare_and_set_with(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    expected: *const kvstore_slice,
    desired: *const kvstore_slice,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let operands = unsafe { Operands::of(store, key, key_len, expected, desired) }?;
        let Operands { store, key, expected, desired } = operands;
        let durability = durability_of(durability)?;
        Ok(matched(store.compare_and_set_with(key, expected, desired, durability)?))
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

pub(super) fn matched(matched: bool) -> kvstore_status {
    if matched { KVSTORE_OK } else { KVSTORE_CONFLICT }
}

/// What a compare-and-set works on.
struct Operands<'a> {
    store: &'a Store,
    key: &'a [u8],
    expected: Option<&'a [u8]>,
    desired: Option<&'a [u8]>,
}

impl<'a> Operands<'a> {
    /// # Safety
    /// The rules for *handles* and *bytes* hold for as long as the result is used; the slices may be
    /// NULL.
    unsafe fn of(
        store: *mut kvstore,
        key: *const c_void,
        key_len: usize,
        expected: *const kvstore_slice,
        desired: *const kvstore_slice,
    ) -> Result<Operands<'a>, Failure> {
        // SAFETY: passed on to the caller of this function.
        unsafe {
            Ok(Operands {
                store: store_of(store)?,
                key: bytes(key, key_len, "key")?,
                expected: optional(expected, "expected")?,
                desired: optional(desired, "desired")?,
            })
        }
    }
}

/// # Safety
/// The rule for *bytes* holds for the slice, if there is one, and for what it points to.
pub(super) unsafe fn optional<'a>(
    slice: *const kvstore_slice,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Failure> {
    // SAFETY: NULL, or readable by the caller's promise.
    match unsafe { slice.as_ref() } {
        // SAFETY: passed on to the caller of this function.
        Some(slice) => unsafe { slice.bytes(what) }.map(Some),
        None => Ok(None),
    }
}

/// Adds a number to the one under a key, and returns the sum in *sum; sum may be NULL. A number is
/// eight bytes, big-endian, in two's complement; an absent key counts as 0. No other write comes
/// between the look and the write.
///
/// KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT when the value is not eight bytes long, or the sum is out
/// of range; otherwise as kvstore_set(). After an error *sum is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_increment(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    delta: i64,
    sum: *mut i64,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller; NULL is allowed.
    let out = unsafe { Out::new(sum, 0, "") };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        out.set(store.increment(key, delta)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_increment(), with the durability of this one write, as for kvstore_set_with().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_increment_with(
    store: *mut kvstore,
    key: *const c_void,
    key_len: usize,
    delta: i64,
    sum: *mut i64,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller; NULL is allowed.
    let out = unsafe { Out::new(sum, 0, "") };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, key) = unsafe { (store_of(store)?, bytes(key, key_len, "key")?) };
        out.set(store.increment_with(key, delta, durability_of(durability)?)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}
