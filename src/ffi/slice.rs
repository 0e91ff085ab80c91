//! Borrowed bytes: `kvstore_slice` and `kvstore_pair`.

use std::ffi::c_void;
use std::ptr;

use super::arguments;
use super::boundary::Failure;

/// Bytes that belong to somebody else: never free them. How long they stay valid is said where
/// a function takes or returns one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_slice {
    /// First byte. NULL is allowed only where len is 0; never NULL in a successful result.
    pub data: *const u8,
    /// Number of bytes.
    pub len: usize,
}

/// A key and its value, both borrowed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_pair {
    pub key: kvstore_slice,
    pub value: kvstore_slice,
}

// C callers are compiled against these layouts.
const _: () = {
    assert!(size_of::<kvstore_slice>() == 16 && align_of::<kvstore_slice>() == 8);
    assert!(size_of::<kvstore_pair>() == 32 && align_of::<kvstore_pair>() == 8);
};

/// What empty results point to, because C code may hand the pointer to `memcpy` or test it.
static EMPTY: [u8; 1] = [0];

/// A non-NULL pointer for a result of no bytes.
pub(super) fn empty() -> *const u8 {
    EMPTY.as_ptr()
}

impl kvstore_slice {
    /// What an output holds when there is no result.
    pub(super) const NONE: kvstore_slice = kvstore_slice { data: ptr::null(), len: 0 };

    /// A result: never NULL, also when `bytes` is empty.
    pub(super) fn of(bytes: &[u8]) -> kvstore_slice {
        let data = if bytes.is_empty() { empty() } else { bytes.as_ptr() };
        kvstore_slice { data, len: bytes.len() }
    }

    /// The bytes of an argument called `what`.
    ///
    /// # Safety
    /// The rule for *bytes* holds for as long as the result is used.
    pub(super) unsafe fn bytes<'a>(self, what: &'static str) -> Result<&'a [u8], Failure> {
        // SAFETY: passed on to the caller of this function.
        unsafe { arguments::bytes(self.data.cast::<c_void>(), self.len, what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_result_is_not_null() {
        let slice = kvstore_slice::of(&[]);
        assert!(!slice.data.is_null());
        assert_eq!(slice.len, 0);
    }
}
