//! Status codes and versions.

use std::ffi::{CStr, c_char};

use crate::ErrorKind;

/// What a function returns: 0 for success, a positive outcome, or a negative error.
pub type kvstore_status = i32;

/// Success.
pub const KVSTORE_OK: i32 = 0;
/// The key is not there; no error object is made.
pub const KVSTORE_NOT_FOUND: i32 = 1;
/// The cursor is at its end.
pub const KVSTORE_DONE: i32 = 2;
/// The value was not the one that kvstore_compare_and_set() expected.
pub const KVSTORE_CONFLICT: i32 = 3;

/// An argument is not accepted; see the message.
pub const KVSTORE_ERR_INVALID_ARGUMENT: i32 = -1;
/// A system call failed; see kvstore_error_os_code().
pub const KVSTORE_ERR_IO: i32 = -2;
/// A file is damaged; the error has path and offset.
pub const KVSTORE_ERR_CORRUPT: i32 = -3;
/// Open elsewhere; see kvstore_error_lock_holder().
pub const KVSTORE_ERR_LOCKED: i32 = -4;
/// The store was closed. Not seen in C: caveat 2.
pub const KVSTORE_ERR_CLOSED: i32 = -5;
/// A write failed for good earlier; only reads go on.
pub const KVSTORE_ERR_POISONED: i32 = -6;
/// A sync failed: the write may or may not survive.
pub const KVSTORE_ERR_INDETERMINATE: i32 = -7;
/// Disk or quota full; nothing of the write remains.
pub const KVSTORE_ERR_NO_SPACE: i32 = -8;
/// A key or a value is longer than the limit.
pub const KVSTORE_ERR_TOO_LARGE: i32 = -9;
/// The value is longer than the buffer.
pub const KVSTORE_ERR_BUFFER_TOO_SMALL: i32 = -10;
/// A write to a store opened for reading only.
pub const KVSTORE_ERR_READ_ONLY: i32 = -11;
/// The handle was opened before fork(); open again.
pub const KVSTORE_ERR_FORKED: i32 = -12;
/// A newer format or struct than this version knows.
pub const KVSTORE_ERR_UNSUPPORTED: i32 = -13;
/// Memory could not be allocated.
pub const KVSTORE_ERR_OUT_OF_MEMORY: i32 = -14;
/// A defect of the library was stopped; report it.
pub const KVSTORE_ERR_PANIC: i32 = -15;
/// The caller's own callback asked to stop.
pub const KVSTORE_ERR_CANCELLED: i32 = -16;

// The engine's error kinds are these numbers: a change to one side does not compile.
const _: () = {
    assert!(KVSTORE_ERR_INVALID_ARGUMENT == ErrorKind::InvalidArgument.code());
    assert!(KVSTORE_ERR_IO == ErrorKind::Io.code());
    assert!(KVSTORE_ERR_CORRUPT == ErrorKind::Corrupt.code());
    assert!(KVSTORE_ERR_LOCKED == ErrorKind::Locked.code());
    assert!(KVSTORE_ERR_CLOSED == ErrorKind::Closed.code());
    assert!(KVSTORE_ERR_POISONED == ErrorKind::Poisoned.code());
    assert!(KVSTORE_ERR_INDETERMINATE == ErrorKind::Indeterminate.code());
    assert!(KVSTORE_ERR_NO_SPACE == ErrorKind::NoSpace.code());
    assert!(KVSTORE_ERR_TOO_LARGE == ErrorKind::TooLarge.code());
    assert!(KVSTORE_ERR_BUFFER_TOO_SMALL == ErrorKind::BufferTooSmall.code());
    assert!(KVSTORE_ERR_READ_ONLY == ErrorKind::ReadOnly.code());
    assert!(KVSTORE_ERR_FORKED == ErrorKind::Forked.code());
    assert!(KVSTORE_ERR_UNSUPPORTED == ErrorKind::Unsupported.code());
    assert!(KVSTORE_ERR_OUT_OF_MEMORY == ErrorKind::OutOfMemory.code());
    assert!(KVSTORE_ERR_PANIC == ErrorKind::Panic.code());
    assert!(KVSTORE_ERR_CANCELLED == ErrorKind::Cancelled.code());
};

/// The name of a status, for example "KVSTORE_ERR_LOCKED"; "KVSTORE_UNKNOWN" for a number that
/// is not a status. The string is static: never free it.
#[unsafe(no_mangle)]
pub extern "C" fn kvstore_status_name(status: kvstore_status) -> *const c_char {
    name(status).as_ptr()
}

fn name(status: kvstore_status) -> &'static CStr {
    match status {
        KVSTORE_OK => c"KVSTORE_OK",
        KVSTORE_NOT_FOUND => c"KVSTORE_NOT_FOUND",
        KVSTORE_DONE => c"KVSTORE_DONE",
        KVSTORE_CONFLICT => c"KVSTORE_CONFLICT",
        KVSTORE_ERR_INVALID_ARGUMENT => c"KVSTORE_ERR_INVALID_ARGUMENT",
        KVSTORE_ERR_IO => c"KVSTORE_ERR_IO",
        KVSTORE_ERR_CORRUPT => c"KVSTORE_ERR_CORRUPT",
        KVSTORE_ERR_LOCKED => c"KVSTORE_ERR_LOCKED",
        KVSTORE_ERR_CLOSED => c"KVSTORE_ERR_CLOSED",
        KVSTORE_ERR_POISONED => c"KVSTORE_ERR_POISONED",
        KVSTORE_ERR_INDETERMINATE => c"KVSTORE_ERR_INDETERMINATE",
        KVSTORE_ERR_NO_SPACE => c"KVSTORE_ERR_NO_SPACE",
        KVSTORE_ERR_TOO_LARGE => c"KVSTORE_ERR_TOO_LARGE",
        KVSTORE_ERR_BUFFER_TOO_SMALL => c"KVSTORE_ERR_BUFFER_TOO_SMALL",
        KVSTORE_ERR_READ_ONLY => c"KVSTORE_ERR_READ_ONLY",
        KVSTORE_ERR_FORKED => c"KVSTORE_ERR_FORKED",
        KVSTORE_ERR_UNSUPPORTED => c"KVSTORE_ERR_UNSUPPORTED",
        KVSTORE_ERR_OUT_OF_MEMORY => c"KVSTORE_ERR_OUT_OF_MEMORY",
        KVSTORE_ERR_PANIC => c"KVSTORE_ERR_PANIC",
        KVSTORE_ERR_CANCELLED => c"KVSTORE_ERR_CANCELLED",
        _ => c"KVSTORE_UNKNOWN",
    }
}

/// The version of the library that is linked, for example "0.1.0". The string is static: never
/// free it. KVSTORE_VERSION is the version of this header.
#[unsafe(no_mangle)]
pub extern "C" fn kvstore_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the library that is linked as one number that grows with every release:
/// major * 1000000 + minor * 1000 + patch. Compare it with KVSTORE_VERSION_NUMBER to find out
/// whether the library is at least as new as the header:
///
///     if (kvstore_version_number() < KVSTORE_VERSION_NUMBER) { ... too old ... }
#[unsafe(no_mangle)]
pub extern "C" fn kvstore_version_number() -> u32 {
    const NUMBER: u32 = decimal(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + decimal(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + decimal(env!("CARGO_PKG_VERSION_PATCH"));
    NUMBER
}

const fn decimal(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut number = 0;
    let mut i = 0;
    while i < digits.len() {
        number = number * 10 + (digits[i] - b'0') as u32;
        i += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        let mut names: Vec<_> = (-16..=3).map(name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 20);
        assert!(!names.contains(&c"KVSTORE_UNKNOWN"));
        assert_eq!(name(4), c"KVSTORE_UNKNOWN");
        assert_eq!(name(-17), c"KVSTORE_UNKNOWN");
        assert_eq!(name(i32::MIN), c"KVSTORE_UNKNOWN");
    }

    #[test]
    fn the_version_number_is_the_crate_version() {
        let parts: Vec<u32> =
            env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse().unwrap()).collect();
        let number = parts[0] * 1_000_000 + parts[1] * 1_000 + parts[2];
        assert_eq!(kvstore_version_number(), number);
    }
}
