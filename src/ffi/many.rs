//! Many values at once: `kvstore_get_many` and `kvstore_values`.

use std::ptr;

use super::arguments::{Out, handle};
use super::boundary::{Failure, boundary, shielded};
use super::error::{boxed, kvstore_error};
use super::slice::kvstore_slice;
use super::status::{KVSTORE_NOT_FOUND, KVSTORE_OK, kvstore_status};
use super::store::{kvstore, store_of};

/// The values that kvstore_get_many() found: copies, all in one block of memory. May be read from
/// any thread, and after kvstore_close(), until kvstore_values_free().
pub struct kvstore_values {
    /// The values, one after the other.
    bytes: Vec<u8>,
    /// For each key where its value ends in `bytes`, and whether it was found. It begins where
    /// the one before it ends.
    ends: Vec<(usize, bool)>,
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<kvstore_values>();
};

/// What is reserved for each value before the first is seen: enough for small values to be
/// copied without growing the block, and little to waste on larger ones.
const EXPECTED_LEN: usize = 128;

/// Above this, nothing is reserved ahead: the values may all be missing.
const EXPECTED_MAX: usize = 1 << 20;

impl kvstore_values {
    fn with_room_for(count: usize) -> Result<kvstore_values, Failure> {
        let mut values = kvstore_values { bytes: Vec::new(), ends: Vec::new() };
        let refused = |bytes| move |_| Failure::OutOfMemory { bytes };
        let ends = count.saturating_mul(size_of::<(usize, bool)>());
        values.ends.try_reserve_exact(count).map_err(refused(ends))?;
        let bytes = count.saturating_mul(EXPECTED_LEN).min(EXPECTED_MAX);
        values.bytes.try_reserve_exact(bytes).map_err(refused(bytes))?;
        Ok(values)
    }

    fn push(&mut self, value: Option<&[u8]>) -> Result<(), Failure> {
        if let Some(value) = value {
            let bytes = self.bytes.len().saturating_add(value.len());
            let grown = self.bytes.try_reserve(value.len());
            grown.map_err(|_| Failure::OutOfMemory { bytes })?;
            self.bytes.extend_from_slice(value);
        }
        self.ends.push((self.bytes.len(), value.is_some()));
        Ok(())
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, found) = self.ends[index];
        found.then(|| &self.bytes[start..end])
    }
}

/// One key, as the engine wants it.
#[repr(transparent)]
struct Key(kvstore_slice);

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `keys_of`, the only maker, has checked this slice, and the rule for bytes,
        // kept by the caller of `kvstore_get_many`, covers it for the whole call.
        unsafe { self.0.bytes("key") }.unwrap_or_default()
    }
}

/// The keys of the call, each checked.
///
/// # Safety
/// The rule for *bytes* holds for the array, and for each key in it, for as long as the result
/// is used.
unsafe fn keys_of<'a>(keys: *const kvstore_slice, count: usize) -> Result<&'a [Key], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if keys.is_null() {
        return Err(Failure::BadValue(format!(
            "keys is NULL but count is {count}; pass an array of {count} kvstore_slice, or count 0"
        )));
    }
    if count > isize::MAX as usize / size_of::<kvstore_slice>() {
        return Err(Failure::Impossible { what: "keys", len: count });
    }
    // SAFETY: not NULL and not longer than an object can be (both checked); `Key` has the layout
    // of `kvstore_slice`; readable and unchanged by the promise of the caller.
    let keys = unsafe { std::slice::from_raw_parts(keys.cast::<Key>(), count) };
    for (i, key) in keys.iter().enumerate() {
        // SAFETY: the bytes are readable by the promise of the caller; none is read here.
        if let Err(failure) = unsafe { key.0.bytes("key") } {
            return Err(Failure::BadValue(format!("in keys[{i}], {failure}")));
        }
    }
    Ok(keys)
}

/// Looks up many keys at once, which is much faster than one by one: their memory is fetched in
/// parallel.
///
///     kvstore_slice keys[64] = ...;
///     kvstore_values *values;
///     status = kvstore_get_many(store, keys, 64, &values, &error);
///     for (size_t i = 0; status == KVSTORE_OK && i < 64; i++) {
///         kvstore_slice value;
///         if (kvstore_values_at(values, i, &value, NULL) == KVSTORE_OK)
///             use(value.data, value.len);
///     }
///     kvstore_values_free(values);
///
/// The result holds one entry for each key, in their order, whether found or not; the same key may
/// occur twice. It costs four allocations, however many keys there are, unless values are long.
/// Each value is one that its key had during the call; they need not be of the same instant, but of
/// what kvstore_write() has written together all is seen or nothing.
///
/// KVSTORE_OK, also when no key was found; KVSTORE_ERR_OUT_OF_MEMORY, KVSTORE_ERR_FORKED,
/// KVSTORE_ERR_INVALID_ARGUMENT, or KVSTORE_ERR_TOO_LARGE when no memory can hold so many keys. After
/// an error *out is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_get_many(
    store: *const kvstore,
    keys: *const kvstore_slice,
    count: usize,
    out: *mut *mut kvstore_values,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe {
        Out::new(out, ptr::null_mut(), "out is NULL; pass the address of a kvstore_values *")
    };
    let body = || {
        // SAFETY: the rules for handles and bytes, kept by the caller.
        let (store, keys) = unsafe { (store_of(store)?, keys_of(keys, count)?) };
        out.require()?;
        let mut values = kvstore_values::with_room_for(count)?;
        let mut copied = Ok(());
        store.get_many_with(keys, |_, value| {
            if copied.is_ok() {
                copied = values.push(value);
            }
        })?;
        copied?;
        let values = boxed(values);
        if values.is_null() {
            return Err(Failure::OutOfMemory { bytes: size_of::<kvstore_values>() });
        }
        out.set(values);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// The number of entries, which is the number of keys that were asked for; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_values_count(values: *const kvstore_values) -> usize {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { values.as_ref() }.map_or(0, |values| values.ends.len())
}

/// The value of the key at an index, borrowed until kvstore_values_free().
///
/// KVSTORE_OK; KVSTORE_NOT_FOUND if the store did not have that key; KVSTORE_ERR_INVALID_ARGUMENT
/// if the index is not below kvstore_values_count(). *out is {NULL, 0} unless KVSTORE_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_values_at(
    values: *const kvstore_values,
    index: usize,
    out: *mut kvstore_slice,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, kvstore_slice::NONE, "out is NULL; pass a kvstore_slice") };
    let body = || {
        const ADVICE: &str = "values is NULL; pass what kvstore_get_many() returned";
        // SAFETY: the rule for handles, kept by the caller.
        let values = unsafe { handle(values, ADVICE) }?;
        out.require()?;
        let count = values.ends.len();
        if index >= count {
            return Err(Failure::BadValue(format!(
                "index {index} is out of range; {count} keys were asked for"
            )));
        }
        let Some(value) = values.get(index) else { return Ok(KVSTORE_NOT_FOUND) };
        out.set(kvstore_slice::of(value));
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Frees the values; no slice of them must be used any more. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_values_free(values: *mut kvstore_values) {
    if !values.is_null() {
        // SAFETY: made by `boxed` in `kvstore_get_many`, and freed only here, once: the rule for
        // handles, kept by the caller.
        let values = unsafe { Box::from_raw(values) };
        shielded((), || drop(values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_keep_their_places() {
        let mut values = kvstore_values::with_room_for(4).ok().unwrap();
        let long = vec![7u8; 100_000];
        for value in [Some(&b"a"[..]), None, Some(&[]), Some(&long)] {
            assert!(values.push(value).is_ok());
        }
        assert_eq!(values.get(0), Some(&b"a"[..]));
        assert_eq!(values.get(1), None);
        assert_eq!(values.get(2), Some(&[][..]));
        assert_eq!(values.get(3), Some(&long[..]));
    }

    #[test]
    fn a_bad_key_is_named_by_its_index() {
        let keys = [kvstore_slice::of(b"a"), kvstore_slice { data: ptr::null(), len: 2 }];
        // SAFETY: the array is a local variable.
        let Err(failure) = (unsafe { keys_of(keys.as_ptr(), 2) }) else { panic!("accepted") };
        assert!(failure.to_string().contains("keys[1]"));
        // SAFETY: as above.
        assert!(unsafe { keys_of(keys.as_ptr(), usize::MAX) }.is_err());
        // SAFETY: NULL is allowed for no keys, and refused otherwise.
        unsafe {
            assert!(keys_of(ptr::null(), 0).is_ok_and(<[Key]>::is_empty));
            assert!(keys_of(ptr::null(), 1).is_err());
        }
    }
}
