//! What a file system must offer: the system calls, one method each, with the errors they give.
//! [`Directory`](super::Directory) and [`File`](super::File) build on it what the engine uses.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Mapping, Step};

/// A place that has directories.
pub(crate) trait FileSystem: Send + Sync {
    /// Opens the directory at `path`, and says where it really is, links resolved.
    fn open_directory(&self, path: &Path) -> io::Result<(PathBuf, Box<dyn RawDirectory>)>;
}

/// One open directory. Names are plain file names in it.
pub(crate) trait RawDirectory: Send + Sync {
    /// Opens an existing file.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn RawFile>>;

    /// Creates a file, emptying one that exists.
    fn create(&self, name: &str) -> io::Result<Box<dyn RawFile>>;

    /// The names in the directory, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives the file `from` a second name, `to`, of which there is none yet.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; one that does not exist is no error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in this directory durable.
    fn sync(&self, step: Step) -> io::Result<()>;

    /// Opens the directory that this one is in; `None` for the root, and where it may not be read.
    fn parent(&self) -> io::Result<Option<Box<dyn RawDirectory>>>;

    /// Opens a directory in this one.
    fn subdirectory(&self, name: &str) -> io::Result<Box<dyn RawDirectory>>;

    /// Creates a directory in this one.
    fn create_subdirectory(&self, name: &OsStr) -> io::Result<()>;

    /// Renames a directory in this one. An empty directory `to` is replaced; one that is not empty
    /// is an error.
    fn rename_subdirectory(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;

    /// Removes an empty directory in this one.
    fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()>;

    /// Who may do what with this directory, as `chmod` has it.
    fn mode(&self) -> io::Result<u32>;

    fn set_mode(&self, mode: u32) -> io::Result<()>;

    /// Tries to lock the file of that name and, where that can be done, the directory itself.
    /// `Lock::Exclusive` creates the file and records this process in it; `Lock::Shared` changes
    /// nothing, and locks no file where there is none.
    fn try_lock(&self, name: &str, lock: Lock) -> io::Result<LockAttempt>;
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
pub(crate) trait RawFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;

    /// Writes some of `bytes` at `offset`, growing the file as needed, and returns how many.
    fn write_at(&self, bytes: &[u8], offset: u64, step: Option<Step>) -> io::Result<usize>;

    /// Makes the file at least `len` bytes long and reserves disk space for the bytes from
    /// `from` on, which stay as they are where they exist and are zero where they are new.
    /// `EOPNOTSUPP` where the file system cannot.
    fn allocate(&self, from: u64, len: u64) -> io::Result<()>;

    /// Has the kernel begin to write these bytes out: a hint, after which nothing is durable.
    fn write_back(&self, _offset: u64, _len: u64) {}

    /// Gives the disk space of `len` bytes from `from` on back: they then read as zeros, and the file
    /// is as long as it was. `EOPNOTSUPP` where the file system cannot.
    fn release(&self, from: u64, len: u64) -> io::Result<()>;

    /// Cuts the file off at `len`.
    fn truncate(&self, len: u64, step: Step) -> io::Result<()>;

    /// Makes this empty file the same as the one that `source` maps from its beginning, sharing its
    /// blocks. `EOPNOTSUPP`, or one of the errors that [`cannot_clone`] knows, where the file system
    /// cannot, or the two are on different ones.
    fn clone_whole(&self, _source: &Mapping) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    /// Copies up to `len` bytes at `offset` of the file that `source` maps from its beginning, to the
    /// same place in this one, without their passing through this process. Returns how many, 0 at
    /// the end of `source`. Errors as for [`clone_whole`](RawFile::clone_whole).
    fn copy_range(&self, _source: &Mapping, _offset: u64, _len: u64) -> io::Result<u64> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    /// `fdatasync`: content, and what is needed to find it, is on the disk.
    fn sync_data(&self, step: Step) -> io::Result<()>;

    /// Maps `len` bytes from `offset`, a multiple of [`PAGE`](super::PAGE), shared with every
    /// other mapping. `path` is for the messages of errors.
    fn map(&self, path: &Path, offset: u64, len: u64, access: Access) -> io::Result<Arc<Mapping>>;
}

/// Whether `error` says that the system cannot clone or copy these files, rather than that it
/// failed in doing so.
pub(crate) fn cannot_clone(error: &io::Error) -> bool {
    let unable = [
        libc::EOPNOTSUPP, // the file system
        libc::ENOTTY,     // a file system that knows no such call
        libc::ENOSYS,     // the kernel
        libc::EXDEV,      // two file systems
        libc::EINVAL,     // not these files: different block sizes, or attributes
        libc::EPERM,      // forbidden by a sandbox
        libc::ETXTBSY,    // a swap file
        libc::EBADF,      // a mapping of no file
    ];
    error.raw_os_error().is_some_and(|errno| unable.contains(&errno))
}
