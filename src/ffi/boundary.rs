//! Where Rust ends and C begins: no panic passes, and a `Result` becomes a status and, if the
//! caller asked for one, an error object.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::{Error, ErrorKind};

use super::error::kvstore_error;
use super::options::KVSTORE_MAX_LEN;
use super::status::kvstore_status;

/// What the body of an exported function returns.
pub(super) type Outcome = Result<kvstore_status, Failure>;

/// Why an exported function fails. It becomes text only if the caller wants an error object, so
/// that a caller who passes NULL does not pay for one.
pub(super) enum Failure {
    /// The engine's error, passed on as it is.
    Engine(Error),
    /// An argument that is not acceptable; the text says which, and what to pass instead.
    Argument(&'static str),
    /// Like `Argument`, where the text depends on the value.
    BadValue(String),
    /// NULL with a length that is not 0.
    NullBytes { what: &'static str, len: usize },
    /// A length that no object in memory has.
    Impossible { what: &'static str, len: usize },
    /// A caller's buffer that cannot hold the value.
    BufferTooSmall { needed: usize, capacity: usize },
    /// A struct from a newer header that asks for what this version does not know.
    Unsupported(&'static str),
    /// A key or a value that no store takes.
    TooLong { what: &'static str, len: usize },
    /// Memory for a copy of stored bytes was refused.
    OutOfMemory { bytes: usize },
    /// Memory to keep what is to be written was refused.
    NoRoom { bytes: usize },
    /// A panic that was stopped, with its message.
    Panic(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Engine(error)
    }
}

impl Failure {
    /// The error kind, whose number is the status.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Failure::Engine(error) => error.kind(),
            Failure::Argument(_) | Failure::BadValue(_) | Failure::NullBytes { .. } => {
                ErrorKind::InvalidArgument
            }
            Failure::Impossible { .. } | Failure::TooLong { .. } => ErrorKind::TooLarge,
            Failure::BufferTooSmall { .. } => ErrorKind::BufferTooSmall,
            Failure::Unsupported(_) => ErrorKind::Unsupported,
            Failure::OutOfMemory { .. } | Failure::NoRoom { .. } => ErrorKind::OutOfMemory,
            Failure::Panic(_) => ErrorKind::Panic,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Engine(error) => error.fmt(f),
            Failure::Argument(text) | Failure::Unsupported(text) => f.write_str(text),
            Failure::BadValue(text) => f.write_str(text),
            Failure::NullBytes { what, len } => write!(
                f,
                "{what} is NULL but its length is {len}; pass a pointer to {len} bytes, or \
                 length 0 for an empty {what}"
            ),
            Failure::Impossible { what, len } => write!(
                f,
                "the length of {what}, {len}, is more than an object in memory can have; was a \
                 negative number converted to size_t?"
            ),
            Failure::BufferTooSmall { needed, capacity } => write!(
                f,
                "the value has {needed} bytes and the buffer holds {capacity}; pass a buffer of \
                 {needed} bytes, or use kvstore_get()"
            ),
            Failure::TooLong { what, len } => write!(
                f,
                "the {what} has {len} bytes, more than the limit of {KVSTORE_MAX_LEN}; nothing was \
                 added"
            ),
            Failure::NoRoom { bytes } => write!(
                f,
                "cannot allocate {bytes} bytes for a copy of what is to be written; nothing was \
                 added; free memory, or write less at once"
            ),
            Failure::OutOfMemory { bytes } => write!(
                f,
                "cannot allocate {bytes} bytes for a copy; free memory, or read without a copy \
                 by kvstore_get_pinned()"
            ),
            Failure::Panic(message) => write!(
                f,
                "a defect of kvstore was stopped: {message}; close the store, and please report \
                 this message"
            ),
        }
    }
}

/// Runs the body of an exported function and reports what comes of it.
///
/// `*error` is NULL afterwards unless the result is negative. The happy path costs two stores and
/// a landing pad that is not taken.
///
/// # Safety
/// The rule for *outputs* holds for `error`.
#[inline]
pub(super) unsafe fn boundary(
    error: *mut *mut kvstore_error,
    body: impl FnOnce() -> Outcome,
) -> kvstore_status {
    if !error.is_null() {
        // SAFETY: not NULL (checked), hence writable by the caller's promise.
        unsafe { error.write(ptr::null_mut()) };
    }
    // A panic may leave handles of one thread half changed; after KVSTORE_ERR_PANIC the header
    // allows only to free them, which every handle survives.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => return status,
        Ok(Err(failure)) => failure,
        Err(payload) => caught(payload),
    };
    // SAFETY: passed on from the caller of this function.
    unsafe { report(error, failure) }
}

/// For functions that cannot report a failure: the result of `body`, or `fallback` on a panic.
pub(super) fn shielded<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            drop(caught(payload));
            fallback
        }
    }
}

/// # Safety
/// The rule for *outputs* holds for `error`.
#[cold]
#[inline(never)]
unsafe fn report(error: *mut *mut kvstore_error, failure: Failure) -> kvstore_status {
    let code = failure.kind().code();
    if !error.is_null() {
        // Describing the failure runs formatting code; a panic in it must not pass either.
        let described = shielded(ptr::null_mut(), || kvstore_error::describe(&failure));
        // SAFETY: not NULL (checked), hence writable by the caller's promise.
        unsafe { error.write(described) };
    }
    // The engine's error is dropped here, and that is also kept inside.
    shielded((), move || drop(failure));
    code
}

#[cold]
fn caught(payload: Box<dyn Any + Send>) -> Failure {
    let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    };
    // The destructor of a payload is foreign code that may panic itself: it is not run.
    std::mem::forget(payload);
    Failure::Panic(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::error::{kvstore_error_code, kvstore_error_free, kvstore_error_message};
    use std::ffi::CStr;

    fn run(body: impl FnOnce() -> Outcome) -> (kvstore_status, Option<String>) {
        let mut error = ptr::dangling_mut();
        // SAFETY: `error` is a local variable; the error object is freed once.
        unsafe {
            let status = boundary(&raw mut error, body);
            let message = (!error.is_null()).then(|| {
                assert_eq!(kvstore_error_code(error), status);
                CStr::from_ptr(kvstore_error_message(error)).to_str().unwrap().to_owned()
            });
            kvstore_error_free(error);
            (status, message)
        }
    }

    #[test]
    fn a_panic_becomes_a_status_with_its_message() {
        let (status, message) = run(|| panic!("index {} is odd", 3));
        assert_eq!(status, -15);
        assert!(message.unwrap().contains("index 3 is odd"));
        let (status, message) = run(|| panic!("a fixed text"));
        assert_eq!(status, -15);
        assert!(message.unwrap().contains("a fixed text"));
        let (status, message) = run(|| std::panic::panic_any(42));
        assert_eq!(status, -15);
        assert!(message.unwrap().contains("no message"));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("bomb");
            }
        }
        assert_eq!(run(|| std::panic::panic_any(Bomb)).0, -15);
        assert_eq!(shielded(7, || std::panic::panic_any(Bomb)), 7);
    }

    #[test]
    fn success_leaves_no_error_object() {
        assert_eq!(run(|| Ok(0)), (0, None));
        assert_eq!(run(|| Ok(1)), (1, None));
    }

    #[test]
    fn a_caller_without_an_error_pointer_still_gets_the_status() {
        // SAFETY: NULL is allowed.
        let status = unsafe { boundary(ptr::null_mut(), || Err(Failure::Argument("key is NULL"))) };
        assert_eq!(status, -1);
    }

    #[test]
    fn every_failure_says_what_to_do() {
        let failures = [
            Failure::NullBytes { what: "key", len: 3 },
            Failure::Impossible { what: "value", len: usize::MAX },
            Failure::BufferTooSmall { needed: 10, capacity: 4 },
            Failure::TooLong { what: "value", len: 1 << 40 },
            Failure::OutOfMemory { bytes: 10 },
            Failure::NoRoom { bytes: 10 },
            Failure::Panic("x".into()),
        ];
        for failure in failures {
            let code = failure.kind().code();
            let (status, message) = run(|| Err(failure));
            assert_eq!(status, code);
            assert!(message.unwrap().contains([';', '?']));
        }
    }
}
