//! The error object: `kvstore_error`.
//!
//! It is a copy of what a C caller may ask about an error, made at once, so that every accessor
//! only reads. Making one neither panics nor aborts when memory is short: the status is then
//! returned without an object, or the object without its texts.

use std::ffi::c_char;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use super::boundary::{Failure, shielded};
use super::status::KVSTORE_OK;

/// Why a call failed: its status code, a message, and where known the path, the offset and the
/// system's error number. It belongs to the caller, who frees it with kvstore_error_free(), and
/// may be read from any thread.
pub struct kvstore_error {
    code: i32,
    os_code: i32,
    lock_holder: i32,
    offset: u64,
    message: Option<Text>,
    path: Option<Text>,
}

/// Instead of an offset in a file: there is none.
pub const KVSTORE_OFFSET_NONE: u64 = u64::MAX;

impl kvstore_error {
    /// A new object that the caller owns, or NULL if there is no memory for it.
    pub(super) fn describe(failure: &Failure) -> *mut kvstore_error {
        let mut error = kvstore_error {
            code: failure.kind().code(),
            os_code: 0,
            lock_holder: 0,
            offset: KVSTORE_OFFSET_NONE,
            message: Text::of_display(failure),
            path: None,
        };
        if let Failure::Engine(engine) = failure {
            error.os_code = engine.os_error().unwrap_or(0);
            error.offset = engine.offset().unwrap_or(KVSTORE_OFFSET_NONE);
            error.lock_holder =
                engine.lock_holder().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
            error.path = engine.path().and_then(|path| Text::of_bytes(path.as_os_str().as_bytes()));
        }
        boxed(error)
    }
}

/// Moves `value` to the heap, or returns NULL. `Box::new` would abort the process instead.
pub(super) fn boxed<T>(value: T) -> *mut T {
    let mut one = Vec::new();
    if one.try_reserve_exact(1).is_err() {
        return ptr::null_mut();
    }
    one.push(value);
    // Capacity and length are both 1, so this does not move it. A boxed slice of one element has
    // the layout of a box of that element, which is how `kvstore_error_free` takes it back.
    Box::into_raw(one.into_boxed_slice()).cast::<T>()
}

/// A C string that grows without aborting when memory is short. A NUL byte inside would end it
/// early, so it is shown as `\0`.
pub(super) struct Text(Vec<u8>);

impl Text {
    /// The string of these bytes, or nothing if there is no memory for it.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Text> {
        let mut text = Text(Vec::new());
        text.push(bytes).ok()?;
        text.terminated()
    }

    fn of_display(what: &dyn fmt::Display) -> Option<Text> {
        let mut text = Text(Vec::new());
        write!(text, "{what}").ok()?;
        text.terminated()
    }

    fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        let escaped = bytes.iter().filter(|&&byte| byte == 0).count();
        self.0.try_reserve(bytes.len() + escaped).map_err(|_| fmt::Error)?;
        for &byte in bytes {
            match byte {
                0 => self.0.extend_from_slice(b"\\0"),
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }

    fn terminated(mut self) -> Option<Text> {
        self.0.try_reserve_exact(1).ok()?;
        self.0.push(0);
        Some(self)
    }

    /// Valid, and ending in NUL, for as long as the text is neither dropped nor changed.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes())
    }
}

/// The status code of the error: the number that the failed function returned. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_code(error: *const kvstore_error) -> i32 {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { error.as_ref() }.map_or(KVSTORE_OK, |error| error.code)
}

/// What failed, where, and what to do about it: one line of UTF-8 text that ends in a NUL byte.
/// Never NULL: "no error" for NULL. The string belongs to the error object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_message(error: *const kvstore_error) -> *const c_char {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    let error = unsafe { error.as_ref() };
    match error {
        None => c"no error".as_ptr(),
        Some(error) => match &error.message {
            Some(message) => message.as_ptr(),
            None => c"no memory to describe this error".as_ptr(),
        },
    }
}

/// The errno of the system call that failed, for example ENOENT or EACCES; 0 if none did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_os_code(error: *const kvstore_error) -> i32 {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { error.as_ref() }.map_or(0, |error| error.os_code)
}

/// The file or directory that the error is about, as the bytes that the system uses for it, or
/// NULL if it is about none. The string belongs to the error object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_path(error: *const kvstore_error) -> *const c_char {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    let path = unsafe { error.as_ref() }.and_then(|error| error.path.as_ref());
    path.map_or(ptr::null(), Text::as_ptr)
}

/// The offset in that file, in bytes, or KVSTORE_OFFSET_NONE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_offset(error: *const kvstore_error) -> u64 {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { error.as_ref() }.map_or(KVSTORE_OFFSET_NONE, |error| error.offset)
}

/// For KVSTORE_ERR_LOCKED: the process id of the one that has the directory open; 0 if it is
/// not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_lock_holder(error: *const kvstore_error) -> i32 {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    unsafe { error.as_ref() }.map_or(0, |error| error.lock_holder)
}

/// Frees an error object and the strings that belong to it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_error_free(error: *mut kvstore_error) {
    if error.is_null() {
        return;
    }
    // SAFETY: made by `boxed` with this layout, and freed only here, once: the rule for handles,
    // kept by the caller.
    let error = unsafe { Box::from_raw(error) };
    shielded((), || drop(error));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use std::ffi::{CStr, OsStr};
    use std::path::Path;

    fn message(error: *const kvstore_error) -> &'static str {
        // SAFETY: the tests free the object after the last use of its strings.
        unsafe { CStr::from_ptr(kvstore_error_message(error)) }.to_str().unwrap()
    }

    #[test]
    fn an_engine_error_keeps_its_details() {
        let failure = Failure::Engine(Error::corrupt(Path::new("/d/snapshot.dat"), 17, "why"));
        let error = kvstore_error::describe(&failure);
        // SAFETY: a live object; freed once, at the end.
        unsafe {
            assert_eq!(kvstore_error_code(error), -3);
            assert_eq!(kvstore_error_offset(error), 17);
            assert_eq!(CStr::from_ptr(kvstore_error_path(error)), c"/d/snapshot.dat");
            assert_eq!(kvstore_error_os_code(error), 0);
            assert!(message(error).contains("/d/snapshot.dat"));
            kvstore_error_free(error);
        }
    }

    #[test]
    fn nul_bytes_do_not_cut_a_path_or_a_message() {
        let path = Path::new(OsStr::from_bytes(b"/a\0b"));
        let error = kvstore_error::describe(&Failure::Engine(Error::locked(path, Some(12))));
        // SAFETY: as above.
        unsafe {
            assert_eq!(CStr::from_ptr(kvstore_error_path(error)), c"/a\\0b");
            assert!(message(error).starts_with("/a\\0b is open in process 12"));
            assert_eq!(kvstore_error_lock_holder(error), 12);
            kvstore_error_free(error);
        }
    }

    #[test]
    fn null_is_no_error() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(kvstore_error_code(ptr::null()), 0);
            assert_eq!(kvstore_error_os_code(ptr::null()), 0);
            assert_eq!(kvstore_error_lock_holder(ptr::null()), 0);
            assert_eq!(kvstore_error_offset(ptr::null()), KVSTORE_OFFSET_NONE);
            assert!(kvstore_error_path(ptr::null()).is_null());
            assert_eq!(message(ptr::null()), "no error");
            kvstore_error_free(ptr::null_mut());
        }
    }
}
