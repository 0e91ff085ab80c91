//! Checks of what C passes in: handles, bytes and out-parameters.
//!
//! A check can find NULL and impossible lengths. That a pointer which is not NULL points where it
//! should is the caller's duty (see the rules in the module documentation of `ffi`).

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::boundary::Failure;
use super::options::KVSTORE_MAX_LEN;

/// The object behind a handle that must not be NULL. `advice` completes "`what` is NULL".
///
/// # Safety
/// The rule for *handles* holds for `pointer` for as long as the result is used.
#[inline]
pub(super) unsafe fn handle<'a, T>(
    pointer: *const T,
    advice: &'static str,
) -> Result<&'a T, Failure> {
    // SAFETY: NULL, or a live object of this type, by the caller's promise.
    match unsafe { pointer.as_ref() } {
        Some(object) => Ok(object),
        None => Err(Failure::Argument(advice)),
    }
}

/// Like [`handle`], for handles that one thread at a time uses.
///
/// # Safety
/// The rule for *handles* holds for `pointer` for as long as the result is used.
#[inline]
pub(super) unsafe fn handle_mut<'a, T>(
    pointer: *mut T,
    advice: &'static str,
) -> Result<&'a mut T, Failure> {
    // SAFETY: NULL, or a live object of this type that no other thread uses, by the caller's
    // promise.
    match unsafe { pointer.as_mut() } {
        Some(object) => Ok(object),
        None => Err(Failure::Argument(advice)),
    }
}

/// The byte string of an argument called `what`: empty if `len` is 0, whatever the pointer is.
///
/// # Safety
/// The rule for *bytes* holds for as long as the result is used.
#[inline]
pub(super) unsafe fn bytes<'a>(
    data: *const c_void,
    len: usize,
    what: &'static str,
) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::NullBytes { what, len });
    }
    if len > isize::MAX as usize {
        return Err(Failure::Impossible { what, len });
    }
    // SAFETY: not NULL and not longer than an object can be (both checked); readable and
    // unchanged during the call by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
}

/// Refuses a key or a value that no store takes, before it is copied.
pub(super) fn storable(bytes: &[u8], what: &'static str) -> Result<(), Failure> {
    if bytes.len() as u64 > KVSTORE_MAX_LEN {
        return Err(Failure::TooLong { what, len: bytes.len() });
    }
    Ok(())
}

/// More than any struct that begins with its size has, or ever will: a caller whose size field is above
/// this has forgotten to set it, and what is there must not be believed.
pub(super) const MAX_STRUCT_SIZE: usize = 4096;

/// The path that a C string is. `advice` says what to pass instead of NULL or "".
///
/// # Safety
/// The rule for *strings* holds for as long as the result is used.
pub(super) unsafe fn path_of<'a>(
    path: *const c_char,
    advice: &'static str,
) -> Result<&'a Path, Failure> {
    if path.is_null() {
        return Err(Failure::Argument(advice));
    }
    // SAFETY: not NULL (checked), and the rule for strings, kept by the caller.
    let path = unsafe { CStr::from_ptr(path) };
    if path.is_empty() {
        return Err(Failure::Argument(advice));
    }
    Ok(Path::new(OsStr::from_bytes(path.to_bytes())))
}

/// An out-parameter. Whatever happens later, it has been written once it exists.
pub(super) struct Out<T> {
    pointer: *mut T,
    advice: &'static str,
}

impl<T> Out<T> {
    /// Writes `empty`, if there is a place to write to. `advice` says what is wrong if not.
    ///
    /// # Safety
    /// The rule for *outputs* holds for as long as the value of this type exists.
    #[inline]
    pub(super) unsafe fn new(pointer: *mut T, empty: T, advice: &'static str) -> Out<T> {
        let out = Out { pointer, advice };
        if !pointer.is_null() {
            // `write` does not read or drop what was there: it may be uninitialised.
            // SAFETY: not NULL (checked), hence writable by the caller's promise.
            unsafe { pointer.write(empty) };
        }
        out
    }

    /// Whether there is a place to write to: called before any work is done.
    #[inline]
    pub(super) fn require(&self) -> Result<(), Failure> {
        if self.pointer.is_null() { Err(Failure::Argument(self.advice)) } else { Ok(()) }
    }

    /// Writes the result. Without a place to write to, it is dropped.
    #[inline]
    pub(super) fn set(&self, value: T) {
        if !self.pointer.is_null() {
            // SAFETY: not NULL (checked), hence writable by the promise made to `new`.
            unsafe { self.pointer.write(value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn a_null_pointer_is_an_empty_string_only_without_a_length() {
        // SAFETY: no byte is read through NULL or beyond the array.
        unsafe {
            assert!(matches!(bytes(ptr::null(), 0, "key"), Ok(&[])));
            assert!(matches!(
                bytes(ptr::null(), 3, "key"),
                Err(Failure::NullBytes { what: "key", len: 3 })
            ));
            let array = [7u8; 2];
            assert!(matches!(bytes(array.as_ptr().cast(), 2, "key"), Ok(&[7, 7])));
            assert!(matches!(
                bytes(array.as_ptr().cast(), usize::MAX, "key"),
                Err(Failure::Impossible { .. })
            ));
        }
    }

    #[test]
    fn an_output_is_written_at_once() {
        let mut place = 5;
        // SAFETY: a local variable, and NULL.
        let (out, none) = unsafe {
            (Out::new(&raw mut place, 0, "place is NULL"), Out::new(ptr::null_mut(), 0, "none"))
        };
        assert_eq!(place, 0);
        out.set(9);
        none.set(9);
        assert_eq!(place, 9);
        assert!(out.require().is_ok());
        assert!(matches!(none.require(), Err(Failure::Argument("none"))));
    }
}
