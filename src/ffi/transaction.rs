//! Transactions: `kvstore_transaction`.

use std::ffi::c_void;
use std::ptr;

use crate::Transaction;

use super::arguments::{Out, bytes, handle, handle_mut, storable};
use super::batch::{matched, optional};
use super::boundary::{Failure, boundary, shielded};
use super::buffer::kvstore_buffer;
use super::cursor::{kvstore_cursor, opened};
use super::error::{boxed, kvstore_error};
use super::options::durability_of;
use super::range::{kvstore_range, request};
use super::slice::kvstore_slice;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// Reads and writes that take effect together, as if at one instant, or not at all. One thread at a
/// time uses it.
///
/// While it is open nobody else writes to the store: kvstore_set() and all other writes wait, and so
/// does kvstore_close(), for up to KVSTORE_OPTION_TRANSACTION_TIMEOUT_MS, and then return
/// KVSTORE_ERR_LOCKED. Readers do not wait. On the thread that began it a plain write, another
/// transaction and kvstore_close() are KVSTORE_ERR_INVALID_ARGUMENT at once, since they would wait for
/// themselves. A program whose threads of control move between those of the system (Go) waits
/// instead, until the time is over.
pub struct kvstore_transaction {
    transaction: Transaction,
}

const ADVICE: &str = "transaction is NULL; pass what kvstore_transaction_begin() returned, and \
                      nothing after it was committed or aborted";

/// Begins a transaction. *out becomes the handle, which kvstore_transaction_commit(),
/// kvstore_transaction_commit_with() or kvstore_transaction_abort() frees, or NULL.
///
///     kvstore_transaction *transaction;
///     status = kvstore_transaction_begin(store, &transaction, &error);
///     ...
///     kvstore_transaction_set(transaction, "from", 4, "70", 2, NULL);
///     kvstore_transaction_set(transaction, "to", 2, "30", 2, NULL);
///     status = kvstore_transaction_commit(transaction, &error);
///
/// KVSTORE_OK; KVSTORE_ERR_LOCKED when another one is open for longer than this may wait;
/// KVSTORE_ERR_INVALID_ARGUMENT also when this thread has one open; KVSTORE_ERR_READ_ONLY;
/// KVSTORE_ERR_POISONED; KVSTORE_ERR_OUT_OF_MEMORY or KVSTORE_ERR_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_begin(
    store: *mut kvstore,
    out: *mut *mut kvstore_transaction,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe {
        Out::new(out, ptr::null_mut(), "out is NULL; pass the address of a kvstore_transaction *")
    };
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let store = unsafe { store_of(store) }?;
        out.require()?;
        let transaction = boxed(kvstore_transaction { transaction: store.transaction()? });
        if transaction.is_null() {
            return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_transaction>() });
        }
        out.set(transaction);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Copies the value of a key, with what the transaction has written. Otherwise as kvstore_get().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_get(
    transaction: *const kvstore_transaction,
    key: *const c_void,
    key_len: usize,
    out: *mut kvstore_buffer,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, kvstore_buffer::NONE, "out is NULL; pass a kvstore_buffer") };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (transaction, key) =
            unsafe { (handle(transaction, ADVICE)?, bytes(key, key_len, "key")?) };
        out.require()?;
        let Some(value) = transaction.transaction.get(key)? else {
            return Ok(KVSTORE_NOT_FOUND);
        };
        out.set(kvstore_buffer::copy_of(&value)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Whether a key has a value, with what the transaction has written.
///
/// KVSTORE_OK if it has, KVSTORE_NOT_FOUND if not; KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_contains(
    transaction: *const kvstore_transaction,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (transaction, key) =
            unsafe { (handle(transaction, ADVICE)?, bytes(key, key_len, "key")?) };
        let found = transaction.transaction.contains(key)?;
        Ok(if found { KVSTORE_OK } else { KVSTORE_NOT_FOUND })
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Opens a cursor over the store with what the transaction has written so far, like
/// kvstore_cursor_open(). It does not need the transaction any more, and is freed by
/// kvstore_cursor_close().
///
/// Returns what kvstore_cursor_open() does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_cursor_open(
    transaction: *const kvstore_transaction,
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
        let (transaction, request) = unsafe { (handle(transaction, ADVICE)?, request(range)?) };
        out.require()?;
        let cursor =
            opened(request, |keys, direction| transaction.transaction.cursor(keys, direction))?;
        out.set(cursor);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Stores a value under a key when the transaction is committed. Both are copied. Keys and values
/// above a limit of the store are refused by the commit.
///
/// KVSTORE_OK; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_TOO_LARGE beyond KVSTORE_MAX_LEN, or
/// KVSTORE_ERR_INVALID_ARGUMENT, and the transaction is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_set(
    transaction: *mut kvstore_transaction,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (transaction, key, value) = unsafe {
            (
                handle_mut(transaction, ADVICE)?,
                bytes(key, key_len, "key")?,
                bytes(value, value_len, "value")?,
            )
        };
        storable(key, "key")?;
        storable(value, "value")?;
        if !transaction.transaction.try_set(key, value) {
            return Err(Failure::NoRoom { bytes: key.len().saturating_add(value.len()) });
        }
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Deletes a key when the transaction is committed. KVSTORE_OK if it is there, with what the
/// transaction has written, KVSTORE_NOT_FOUND if it is not; KVSTORE_ERR_FORKED or
/// KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_delete(
    transaction: *mut kvstore_transaction,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (transaction, key) =
            unsafe { (handle_mut(transaction, ADVICE)?, bytes(key, key_len, "key")?) };
        let existed = transaction.transaction.delete(key)?;
        Ok(if existed { KVSTORE_OK } else { KVSTORE_NOT_FOUND })
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_compare_and_set(), with what the transaction has written and when it is committed.
///
/// KVSTORE_OK; KVSTORE_CONFLICT when the value was another one, and nothing was changed;
/// KVSTORE_ERR_TOO_LARGE, KVSTORE_ERR_FORKED or KVSTORE_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_compare_and_set(
    transaction: *mut kvstore_transaction,
    key: *const c_void,
    key_len: usize,
    expected: *const kvstore_slice,
    desired: *const kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller; NULL is allowed.
        let (transaction, key, expected, desired) = unsafe {
            (
                handle_mut(transaction, ADVICE)?,
                bytes(key, key_len, "key")?,
                optional(expected, "expected")?,
                optional(desired, "desired")?,
            )
        };
        Ok(matched(transaction.transaction.compare_and_set(key, expected, desired)?))
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_increment(), with what the transaction has written and when it is committed.
///
/// KVSTORE_OK; KVSTORE_ERR_INVALID_ARGUMENT when the value is not eight bytes long, or the sum is out
/// of range; KVSTORE_ERR_TOO_LARGE or KVSTORE_ERR_FORKED. After an error *sum is 0, and the transaction
/// is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_increment(
    transaction: *mut kvstore_transaction,
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
        let (transaction, key) =
            unsafe { (handle_mut(transaction, ADVICE)?, bytes(key, key_len, "key")?) };
        out.set(transaction.transaction.increment(key, delta)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Carries out all that the transaction has written, as kvstore_write() does, and ends it. Frees the
/// handle, whatever is returned.
///
/// KVSTORE_OK, and otherwise as kvstore_write(): after any error but KVSTORE_ERR_INDETERMINATE it had
/// no effect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_commit(
    transaction: *mut kvstore_transaction,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        unsafe { taken(transaction) }?.commit()?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_transaction_commit(), with the durability of this one transaction, as for
/// kvstore_set_with().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_commit_with(
    transaction: *mut kvstore_transaction,
    durability: u32,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for handles, kept by the caller.
        let transaction = unsafe { taken(transaction) }?;
        transaction.commit_with(durability_of(durability)?)?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Takes the transaction out of its handle, which is freed.
///
/// # Safety
/// The rule for *handles* holds, and the handle is not used afterwards.
unsafe fn taken(transaction: *mut kvstore_transaction) -> Result<Transaction, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle(transaction, ADVICE) }?;
    // SAFETY: made by `boxed` in `kvstore_transaction_begin`, and freed only here or by the abort,
    // once, by the caller's promise.
    let transaction = unsafe { Box::from_raw(transaction) };
    Ok(transaction.transaction)
}

/// Ends a transaction without any effect, and frees the handle. NULL is allowed. It may be called
/// after kvstore_close().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_transaction_abort(transaction: *mut kvstore_transaction) {
    if !transaction.is_null() {
        // SAFETY: made by `boxed` in `kvstore_transaction_begin`, and freed only here or by the
        // commit, once: the rule for handles, kept by the caller.
        let transaction = unsafe { Box::from_raw(transaction) };
        shielded((), || drop(transaction));
    }
}
