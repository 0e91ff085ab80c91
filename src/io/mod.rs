//! Every system call that touches a file, behind traits, so that a simulated disk can stand in
//! for the real one. Nothing outside this module names a file descriptor or `std::fs`.
//!
//! `unsafe` is for handing out slices of mapped files ([`mapping`], [`segments`]), freeing what
//! readers have left ([`epoch`]), and the few system calls that the standard library lacks.

mod epoch;
mod fork;
mod loaded;
mod mapping;
mod prefetch;
mod real;
mod segments;

pub(crate) use epoch::{Epoch, Guard};
pub(crate) use fork::{fork_count, notice_forks};
pub(crate) use loaded::LoadedBytes;
#[cfg(test)]
pub(crate) use mapping::heap_mapping;
pub(crate) use mapping::{GuardedBytes, MappedTail, Mapping, PinnedBytes};
pub(crate) use prefetch::prefetch;
pub(crate) use real::RealFileSystem;
pub(crate) use segments::{Location, SegmentId, SegmentPins, Segments};

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;

/// The largest file of a data directory: an offset fits the 40 bits it has in a [`Location`].
pub(crate) const MAX_FILE_LEN: u64 = 1 << 40;

/// The unit of mapping offsets and of reserving space.
pub(crate) const PAGE: u64 = 4096;

/// A place that has directories. Errors of all these traits name the path and the action.
pub(crate) trait FileSystem: Send + Sync {
    /// Opens the directory at `path`; with `create`, makes it durably, parents included.
    fn open_directory(&self, path: &Path, create: bool) -> Result<Box<dyn Directory>>;
}

/// One directory. Names are plain file names in it.
pub(crate) trait Directory: Send + Sync {
    fn path(&self) -> &Path;

    /// Opens an existing file; `None` when there is none of that name.
    fn open(&self, name: &str, access: Access) -> Result<Option<Box<dyn File>>>;

    /// Creates a file, emptying one that exists.
    fn create(&self, name: &str) -> Result<Box<dyn File>>;

    /// The names in the directory, in no order.
    fn list(&self) -> Result<Vec<String>>;

    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file; one that does not exist is no error.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes creations, renames and removals in this directory durable.
    fn sync(&self) -> Result<()>;

    /// Makes the directory's own name durable.
    fn sync_parent(&self) -> Result<()>;

    /// Opens a directory in this one, creating it durably when missing.
    fn subdirectory(&self, name: &str) -> Result<Box<dyn Directory>>;

    /// Tries to lock the file of that name. `Lock::Exclusive` creates the file and records this
    /// process in it; `Lock::Shared` changes nothing, and locks nothing where there is no file.
    fn try_lock(&self, name: &str, lock: Lock) -> Result<LockAttempt>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Exclusive,
    Shared,
}

pub(crate) enum LockAttempt {
    /// Held until dropped.
    Acquired(Box<dyn HeldLock>),
    /// Somebody else holds it: this process, where known.
    HeldBy(Option<u32>),
}

/// A lock, released when dropped.
pub(crate) trait HeldLock: Send + Sync {}

/// An open file.
pub(crate) trait File: Send + Sync {
    fn path(&self) -> &Path;

    fn len(&self) -> Result<u64>;

    /// Writes all of `bytes` at `offset`, growing the file as needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Makes the file `len` bytes long, reserving disk space for the bytes from `from` on, so
    /// that storing to a mapping of them cannot fail. New bytes are zero.
    fn allocate(&self, from: u64, len: u64) -> Result<()>;

    /// Cuts the file off at `len`. No mapping may be *read* at or beyond `len` afterwards.
    fn truncate(&self, len: u64) -> Result<()>;

    /// `fdatasync`: content, and what is needed to find it, is on the disk.
    fn sync_data(&self) -> Result<()>;

    /// Maps `len` bytes from `offset`, a multiple of [`PAGE`], shared with every other mapping.
    /// The file must be that long.
    fn map(&self, offset: u64, len: u64, access: Access) -> Result<Arc<Mapping>>;
}
