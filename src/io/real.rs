//! The real file system.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::fork::ClosedInChildren;
use super::mapping::{Mapping, Region};
use super::{Access, Directory, File, FileSystem, HeldLock, Lock, LockAttempt, PAGE};
use crate::error::{Error, Result};

/// New files are readable by the group, as databases' are, and never executable.
const FILE_MODE: u32 = 0o640;

/// Files and directories of the operating system.
pub(crate) struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn open_directory(&self, path: &Path, create: bool) -> Result<Box<dyn Directory>> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let not = io::Error::from_raw_os_error(libc::ENOTDIR);
                return Err(Error::io("open as a data directory", path, not)
                    .advise("give the path of a directory"));
            }
            Err(missing) if missing.kind() == ErrorKind::NotFound && create => {
                create_directory_durably(path)?;
            }
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                return Err(Error::io("open the data directory", path, missing)
                    .advise("create it first, or open with the create option"));
            }
            Err(error) => return Err(Error::io("open the data directory", path, error)),
        }
        let failed = |error| Error::io("open the data directory", path, error);
        // The process may change its working directory, and links may be set elsewhere, while
        // the store is open.
        let path = fs::canonicalize(path).map_err(failed)?;
        let handle = fs::File::open(&path).map_err(failed)?;
        Ok(Box::new(RealDirectory { path, handle }))
    }
}

/// Creates `path` and its missing ancestors, each made durable in its parent.
fn create_directory_durably(path: &Path) -> Result<()> {
    let failed = |error| Error::io("create the data directory", path, error);
    let absolute = std::path::absolute(path).map_err(failed)?;
    let missing: Vec<&Path> = absolute.ancestors().take_while(|path| !path.exists()).collect();
    for &directory in missing.iter().rev() {
        match fs::create_dir(directory) {
            Ok(()) => {}
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        if let Some(parent) = directory.parent() {
            let parent_handle = fs::File::open(parent).map_err(failed)?;
            sync_directory(&parent_handle, parent)?;
        }
    }
    Ok(())
}

fn sync_directory(handle: &fs::File, path: &Path) -> Result<()> {
    handle.sync_all().map_err(|error| Error::io("sync the directory", path, error))
}

struct RealDirectory {
    path: PathBuf,
    handle: fs::File,
}

impl RealDirectory {
    /// The path of the file called `name`, once it is sure that the directory still is where it
    /// was opened: another one in its place must not be written to.
    fn checked(&self, name: &str) -> Result<PathBuf> {
        let failed = |error| Error::io("find the data directory again at", &self.path, error);
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let opened = self.handle.metadata().map(identity).map_err(failed)?;
        let present = fs::metadata(&self.path).map(identity).map_err(failed)?;
        if opened != present {
            let moved = io::Error::from(ErrorKind::NotFound);
            return Err(failed(moved).advise("it was moved while the store was open"));
        }
        Ok(self.path.join(name))
    }
}

impl Directory for RealDirectory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str, access: Access) -> Result<Option<Box<dyn File>>> {
        let path = self.path.join(name);
        let opened =
            fs::OpenOptions::new().read(true).write(access == Access::ReadWrite).open(&path);
        match opened {
            Ok(handle) => Ok(Some(Box::new(RealFile { path, handle }))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path, error)),
        }
    }

    fn create(&self, name: &str) -> Result<Box<dyn File>> {
        let path = self.checked(name)?;
        let handle = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|error| Error::io("create", &path, error))?;
        Ok(Box::new(RealFile { path, handle }))
    }

    fn list(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io("list the directory", &self.path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            // Names that are not UTF-8 are none of the library's.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.checked(from)?, self.path.join(to));
        fs::rename(&from, &to).map_err(|error| Error::io("rename", &from, error))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.checked(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<()> {
        sync_directory(&self.handle, &self.path)
    }

    fn sync_parent(&self) -> Result<()> {
        let Some(parent) = self.path.parent() else { return Ok(()) };
        let handle = fs::File::open(parent)
            .map_err(|error| Error::io("open the directory", parent, error))?;
        sync_directory(&handle, parent)
    }

    fn subdirectory(&self, name: &str) -> Result<Box<dyn Directory>> {
        RealFileSystem.open_directory(&self.path.join(name), true)
    }

    fn try_lock(&self, name: &str, lock: Lock) -> Result<LockAttempt> {
        let path = self.path.join(name);
        let exclusive = lock == Lock::Exclusive;
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(exclusive)
            .create(exclusive)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path);
        let mut handle = match opened {
            Ok(handle) => handle,
            Err(error) if error.kind() == ErrorKind::NotFound && !exclusive => {
                return Ok(LockAttempt::Acquired(Box::new(NoLock)));
            }
            Err(error) => return Err(Error::io("open the lock file", &path, error)),
        };
        let locked = if exclusive { handle.try_lock() } else { handle.try_lock_shared() };
        match locked {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                // Where a shared lock can be had, readers hold it, and they leave no name.
                let by_readers = exclusive && handle.try_lock_shared().is_ok();
                let holder = if by_readers { None } else { recorded_holder(&mut handle) };
                return Ok(LockAttempt::HeldBy(holder));
            }
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
        }
        if exclusive {
            // On a full disk there is no room for it, and nobody to whom it matters.
            let _recorded = record_holder(&mut handle).is_ok();
        }
        Ok(LockAttempt::Acquired(Box::new(RealLock(ClosedInChildren::new(handle)))))
    }
}

/// The process id in a lock file: for the message to whoever finds it locked, nothing else.
fn recorded_holder(handle: &mut fs::File) -> Option<u32> {
    let mut text = String::new();
    handle.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn record_holder(handle: &mut fs::File) -> io::Result<()> {
    handle.set_len(0)?;
    handle.write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// `flock` belongs to the open file description: the kernel releases it when the process dies.
struct RealLock(ClosedInChildren);

impl HeldLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Explicitly, since a child between `fork` and `exec` may have a copy of the descriptor.
        // Should it fail, closing the file releases the lock as well.
        drop(self.0.file().map(fs::File::unlock));
    }
}

/// What a reader holds of a directory without a lock file, which no writer of ours has opened.
struct NoLock;

impl HeldLock for NoLock {}

struct RealFile {
    path: PathBuf,
    handle: fs::File,
}

impl RealFile {
    fn failed(&self, action: &str, error: io::Error) -> Error {
        Error::io(action, &self.path, error)
    }
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        let metadata = self.handle.metadata();
        metadata.map(|found| found.len()).map_err(|error| self.failed("get the length of", error))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.handle
            .write_all_at(bytes, offset)
            .map_err(|error| self.failed("write", error).at(&self.path, Some(offset)))
    }

    fn allocate(&self, from: u64, len: u64) -> Result<()> {
        allocate(&self.handle, from, len)
            .map_err(|error| self.failed("reserve space for", error).at(&self.path, Some(from)))
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.handle.set_len(len).map_err(|error| self.failed("shorten", error))
    }

    fn sync_data(&self) -> Result<()> {
        self.handle.sync_data().map_err(|error| self.failed("sync", error))
    }

    fn map(&self, offset: u64, len: u64, access: Access) -> Result<Arc<Mapping>> {
        map(&self.handle, &self.path, offset, len, access)
            .map(Arc::new)
            .map_err(|error| self.failed("map", error).at(&self.path, Some(offset)))
    }
}

#[cfg(target_os = "linux")]
fn allocate(handle: &fs::File, from: u64, len: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let (Ok(start), Ok(bytes)) = (i64::try_from(from), i64::try_from(len.saturating_sub(from)))
    else {
        return Err(ErrorKind::InvalidInput.into());
    };
    loop {
        match fallocate(handle.as_raw_fd(), start, bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A file system without it, NFS 3 say: writing zeros reserves as well.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                return write_zeros(handle, from, len);
            }
            result => return result,
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the standard library does not offer the call")]
fn fallocate(descriptor: i32, start: i64, bytes: i64) -> io::Result<()> {
    // SAFETY: takes integers only; a bad descriptor is an error, not undefined behaviour.
    match unsafe { libc::fallocate(descriptor, 0, start, bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(handle: &fs::File, from: u64, len: u64) -> io::Result<()> {
    write_zeros(handle, from, len)
}

/// Reserves by writing: bytes that exist already stay as they are.
fn write_zeros(handle: &fs::File, from: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut at = from.max(handle.metadata()?.len());
    while at < len {
        let step = (len - at).min(ZEROS.len() as u64);
        handle.write_all_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "Mapping::new takes the pointer's word for it")]
fn map(
    handle: &fs::File,
    path: &Path,
    offset: u64,
    len: u64,
    access: Access,
) -> io::Result<Mapping> {
    let bytes = usize::try_from(len).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let mut options = MmapOptions::new();
    options.offset(offset).len(bytes);
    let mapped = match access {
        Access::ReadOnly => options.map_raw_read_only(handle)?,
        Access::ReadWrite => options.map_raw(handle)?,
    };
    let Some(base) = NonNull::new(mapped.as_mut_ptr()) else {
        return Err(ErrorKind::OutOfMemory.into());
    };
    // SAFETY: `mapped` maps `bytes` bytes at `base` until it is dropped, and the mapping owns it.
    Ok(unsafe { Mapping::new(base, bytes, path, offset, Box::new(MappedRegion(mapped))) })
}

struct MappedRegion(MmapRaw);

impl Region for MappedRegion {
    fn populate(&self, start: usize, len: usize, write: bool) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // `madvise` wants a page boundary.
        let aligned = start - start % PAGE as usize;
        let bytes = len + (start - aligned);
        #[cfg(target_os = "linux")]
        let advice = if write { Advice::PopulateWrite } else { Advice::PopulateRead };
        #[cfg(not(target_os = "linux"))]
        let advice = Advice::WillNeed;
        match self.0.advise_range(advice, aligned, bytes) {
            // Linux before 5.14: no way to find out, the first touch will tell.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            // What the kernel answers where a touch would raise SIGBUS.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) && !write => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            result => result,
        }
    }
}
