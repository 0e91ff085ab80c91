//! How a store is opened, and how durable its writes are.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::io::RealFileSystem;
use crate::store::Store;

/// The longest key or value that the format can hold, in bytes: 4 GiB - 1.
pub const MAX_LEN: u64 = u32::MAX as u64;

/// What a write has survived by the time it returns success.
///
/// ```
/// use kvstore::{Durability, Options};
/// # let directory = tempfile::tempdir()?;
/// let store = Options::new().durability(Durability::Os).open(directory.path())?;
/// store.set("cache:1", "cheap to lose")?;
/// store.sync()?; // now it is as durable as under `Durability::Sync`
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Durability {
    /// The write is on the disk: it survives power loss, a kernel crash and the process. Each
    /// group of concurrent writes costs one `fdatasync`. No reader sees a write before that.
    #[default]
    Sync = 0,
    /// The write is with the operating system: it survives the process, also a SIGKILL, but
    /// power loss or a kernel crash may take back the newest writes. What is left after one is
    /// a prefix of what was written, never a hole.
    Os = 1,
}

/// What [`Store::close`] does with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum CloseCheckpoint {
    /// Write a snapshot, with two exceptions that save minutes on large stores: nothing is
    /// written when nothing has changed, and a log shorter than an eighth of a snapshot larger
    /// than 64 MiB is kept, because replaying it costs less than writing the snapshot.
    #[default]
    Auto = 0,
    /// Always write a snapshot, unless nothing has changed.
    Always = 1,
    /// Never write a snapshot: sync the log and keep it.
    Never = 2,
}

/// When a checkpoint runs in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointAt {
    /// When the log is longer than 64 MiB and than the snapshot.
    Auto,
    /// When the log has so many bytes.
    Bytes(u64),
    Never,
}

impl CheckpointAt {
    /// How many bytes a log may have beside a snapshot of `snapshot_bytes`; `u64::MAX` for any.
    pub(crate) fn limit(self, snapshot_bytes: u64) -> u64 {
        /// The least that a log is allowed by default, in bytes.
        const LEAST: u64 = 64 << 20;
        match self {
            CheckpointAt::Never => u64::MAX,
            CheckpointAt::Bytes(bytes) => bytes,
            CheckpointAt::Auto => LEAST.max(snapshot_bytes),
        }
    }
}

/// How to open a store.
///
/// ```
/// use kvstore::{Durability, Options};
/// use std::time::Duration;
/// # let directory = tempfile::tempdir()?;
///
/// let store = Options::new()
///     .durability(Durability::Os)
///     .lock_timeout(Duration::from_secs(2))
///     .open(directory.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) lock_timeout: Duration,
    pub(crate) transaction_timeout: Duration,
    pub(crate) transaction_slice: Duration,
    pub(crate) max_key_len: u64,
    pub(crate) max_value_len: u64,
    pub(crate) close_checkpoint: CloseCheckpoint,
    pub(crate) strict_recovery: bool,
    pub(crate) checkpoint_at: CheckpointAt,
}

impl Default for Options {
    fn default() -> Options {
        Options::new()
    }
}

impl Options {
    /// The defaults: create what is missing, [`Durability::Sync`], do not wait for the lock.
    pub fn new() -> Options {
        Options {
            durability: Durability::Sync,
            create: true,
            read_only: false,
            lock_timeout: Duration::ZERO,
            transaction_timeout: Duration::from_secs(5),
            transaction_slice: Duration::MAX,
            max_key_len: MAX_LEN,
            max_value_len: MAX_LEN,
            close_checkpoint: CloseCheckpoint::Auto,
            strict_recovery: false,
            checkpoint_at: CheckpointAt::Auto,
        }
    }

    /// How durable a write is when it returns, unless the write itself says otherwise
    /// ([`Store::set_with`]). Default: [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Whether a missing directory, its parents included, is created. Default: true. Without it
    /// a missing directory is an [`ErrorKind::Io`] error with `ENOENT`.
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Open for reading only: nothing in the directory changes, also no torn tail is cut, and
    /// writes fail with [`ErrorKind::ReadOnly`]. Several read-only handles can be open at once;
    /// none while a writer has the directory open. Never creates, not even the lock file: in a
    /// directory without one, a writer may come later, and what it writes is not seen. A directory
    /// that has neither a snapshot nor a log, nor a lock file, is an [`ErrorKind::Io`] error with `ENOENT`. Default:
    /// false.
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// How long to wait for another holder to close the directory. Default: zero, that is, fail
    /// at once with [`ErrorKind::Locked`].
    pub fn lock_timeout(mut self, timeout: Duration) -> Options {
        self.lock_timeout = timeout;
        self
    }

    /// How long a write, the begin of a [`transaction`](Store::transaction) and
    /// [`close`](Store::close) wait for a transaction that another thread has open, before they fail
    /// with [`ErrorKind::Locked`]. Default: five seconds.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Options {
        self.transaction_timeout = timeout;
        self
    }

    /// Has what waits for a transaction fail after `slice` already, as if the
    /// [`transaction_timeout`](Options::transaction_timeout) were over. For a caller that tries again
    /// until it is, and does something else in between: nothing has happened when it fails. So do the
    /// bindings to languages whose signal handlers cannot run in the middle of a call.
    #[doc(hidden)]
    pub fn transaction_slice(mut self, slice: Duration) -> Options {
        self.transaction_slice = slice;
        self
    }

    /// Refuse longer keys, in bytes. At most, and by default, [`MAX_LEN`].
    pub fn max_key_len(mut self, bytes: u64) -> Options {
        self.max_key_len = bytes;
        self
    }

    /// Refuse longer values, in bytes. At most, and by default, [`MAX_LEN`].
    pub fn max_value_len(mut self, bytes: u64) -> Options {
        self.max_value_len = bytes;
        self
    }

    /// What [`Store::close`] does with the log. Default: [`CloseCheckpoint::Auto`].
    pub fn close_checkpoint(mut self, what: CloseCheckpoint) -> Options {
        self.close_checkpoint = what;
        self
    }

    /// Refuse to open, with [`ErrorKind::Corrupt`], a log whose synced part is damaged, instead of
    /// keeping what is before the damage. A write that a crash has torn is not damage. Default:
    /// false; [`RecoveryReport::damaged`](crate::RecoveryReport::damaged) tells afterwards.
    pub fn strict_recovery(mut self, strict: bool) -> Options {
        self.strict_recovery = strict;
        self
    }

    /// How many bytes the log may have before a thread writes a snapshot and removes it, beside
    /// readers and writers. 0: no thread does; [`Store::checkpoint`] and [`Store::close`] still do.
    /// Default: 64 MiB, or the length of the snapshot if that is more, so that what is written to
    /// snapshots is at most about as much as what is written to logs. While a checkpoint runs the
    /// next log grows. Should all logs together come to twice the limit because
    /// writers are faster than the disk, each write takes a tenth of a millisecond until the
    /// checkpoint is done.
    ///
    /// ```
    /// use kvstore::Options;
    /// # let directory = tempfile::tempdir()?;
    /// let store = Options::new().checkpoint_bytes(16 << 20).open(directory.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Options {
        self.checkpoint_at =
            if bytes == 0 { CheckpointAt::Never } else { CheckpointAt::Bytes(bytes) };
        self
    }

    /// Opens `directory`, recovering what an earlier process left.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] when another handle has it open; [`ErrorKind::Corrupt`] when the
    /// snapshot is damaged; [`ErrorKind::Unsupported`] when a newer version wrote it;
    /// [`ErrorKind::Io`] or [`ErrorKind::NoSpace`] when a system call fails;
    /// [`ErrorKind::InvalidArgument`] when a limit is above [`MAX_LEN`].
    pub fn open(&self, directory: impl AsRef<Path>) -> Result<Store> {
        let limit = self.max_key_len.max(self.max_value_len);
        if limit > MAX_LEN {
            let message = format!("a limit of {limit} bytes is above the format's {MAX_LEN}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Store::open_on(&RealFileSystem, directory.as_ref(), self)
    }
}
