//! The one error type of the library.
//!
//! Callers branch on [`Error::kind`], whose numbers are the status codes of the C interface, and
//! show [`Error`]'s message, which says what failed, where, and what to do about it. The type is
//! opaque so that more context can be added without breaking anyone.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The category of an [`Error`].
///
/// The numbers are the negative status codes of `kvstore.h` and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is not one the function accepts.
    InvalidArgument = -1,
    /// A system call failed; [`Error::os_error`] has its number.
    Io = -2,
    /// Bytes on disk are not what was written there.
    Corrupt = -3,
    /// Another handle, usually of another process, has the directory open; or another thread's
    /// transaction is open for longer than the caller may wait.
    Locked = -4,
    /// The store was closed.
    Closed = -5,
    /// An earlier sync failed, or a write panicked; the store serves reads only until it is reopened.
    Poisoned = -6,
    /// The write may or may not survive: the sync that should have made it durable failed.
    Indeterminate = -7,
    /// The disk or a quota is full; nothing of the write remains.
    NoSpace = -8,
    /// A key, a value or a file exceeds a limit.
    TooLarge = -9,
    /// The caller's buffer cannot hold the value.
    BufferTooSmall = -10,
    /// A write to a store that was opened read-only.
    ReadOnly = -11,
    /// The handle was opened by the parent of this forked process.
    Forked = -12,
    /// The directory uses a feature that this version does not know.
    Unsupported = -13,
    /// Memory could not be allocated.
    OutOfMemory = -14,
    /// A defect of the library, stopped at the language boundary.
    Panic = -15,
    /// The caller's own function asked to stop, and nothing remains of what was begun.
    Cancelled = -16,
}

impl ErrorKind {
    /// The status code of the C interface: a negative number that never changes.
    ///
    /// ```
    /// assert_eq!(kvstore::ErrorKind::Locked.code(), -4);
    /// ```
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// An error with its kind, and where known the path, the offset and the cause.
///
/// ```
/// use kvstore::{ErrorKind, Options};
///
/// let error = Options::new().create(false).open("/nonexistent/place").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Io);
/// assert!(error.to_string().contains("/nonexistent/place"));
/// ```
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Detail>);

/// Boxed, so that a `Result` on the read path stays small.
#[derive(thiserror::Error)]
#[error("{message}")]
struct Detail {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    lock_holder: Option<u32>,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    /// An error of `kind`; `message` says what failed and what the caller can do.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Detail {
            kind,
            message: message.into(),
            path: None,
            offset: None,
            lock_holder: None,
            source: None,
        }))
    }

    /// A failed system call: `action` completes the sentence "cannot ...".
    ///
    /// A full disk or quota becomes [`ErrorKind::NoSpace`]; everything else [`ErrorKind::Io`].
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Error {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let (kind, advice) = match source.kind() {
            _ if full => (ErrorKind::NoSpace, "; make room and try again"),
            io::ErrorKind::OutOfMemory => (ErrorKind::OutOfMemory, ""),
            io::ErrorKind::PermissionDenied => (ErrorKind::Io, "; check its owner and mode"),
            _ => (ErrorKind::Io, ""),
        };
        let message = format!("cannot {action} {}: {source}{advice}", path.display());
        let mut error = Error::new(kind, message);
        error.0.path = Some(path.to_path_buf());
        error.0.source = Some(source);
        error
    }

    /// Bytes at `offset` of the file at `path` are not what the format allows.
    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl fmt::Display) -> Error {
        let message = format!("{} is corrupt at offset {offset}: {what}", path.display());
        Error::new(ErrorKind::Corrupt, message).at(path, Some(offset))
    }

    /// The directory at `path` is locked by process `holder`, where that is known.
    pub(crate) fn locked(path: &Path, holder: Option<u32>) -> Error {
        let who = match holder {
            Some(pid) if pid == std::process::id() => format!("process {pid}, which is this one"),
            Some(pid) => format!("process {pid}"),
            None => "another process, or by another handle of this one".to_owned(),
        };
        let message = format!(
            "{} is open in {who}; close it there first; opening can wait for that, with a lock timeout",
            path.display()
        );
        let mut error = Error::new(ErrorKind::Locked, message).at(path, None);
        error.0.lock_holder = holder;
        error
    }

    /// Adds what the caller can do.
    pub(crate) fn advise(mut self, advice: &str) -> Error {
        self.0.message.push_str("; ");
        self.0.message.push_str(advice);
        self
    }

    /// Adds where it happened.
    pub(crate) fn at(mut self, path: &Path, offset: Option<u64>) -> Error {
        self.0.path = Some(path.to_path_buf());
        self.0.offset = offset;
        self
    }

    /// The same failure under another kind, with `lead` in front of the message: for everyone
    /// whose write shared the operation that failed.
    pub(crate) fn share(&self, kind: ErrorKind, lead: &str) -> Error {
        self.like(kind, format!("{lead}: {}", self.0.message))
    }

    /// The same error for somebody else.
    pub(crate) fn again(&self) -> Error {
        self.like(self.0.kind, self.0.message.clone())
    }

    fn like(&self, kind: ErrorKind, message: String) -> Error {
        let mut error = Error::new(kind, message);
        error.0.path.clone_from(&self.0.path);
        error.0.offset = self.0.offset;
        error.0.source = self.os_error().map(io::Error::from_raw_os_error);
        error
    }

    /// The category, for callers that branch.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or directory concerned, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte offset in [`path`](Error::path), where one is known.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The `errno` of the system call that failed, where one did.
    ///
    /// ```
    /// # use kvstore::Options;
    /// let error = Options::new().create(false).open("/nonexistent/place").unwrap_err();
    /// assert_eq!(error.os_error(), Some(2)); // ENOENT
    /// ```
    pub fn os_error(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// The process that holds the lock, for [`ErrorKind::Locked`] where it is known.
    pub fn lock_holder(&self) -> Option<u32> {
        self.0.lock_holder
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("path", &self.0.path)
            .field("offset", &self.0.offset)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
