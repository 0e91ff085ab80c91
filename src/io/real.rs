//! The real file system.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::fork::ClosedInChildren;
use super::mapping::{Mapping, Region};
use super::{Access, FileSystem, HeldLock, Lock, LockAttempt, PAGE, RawDirectory, RawFile, Step};

/// New files are readable by the group, as databases' are, and never executable.
const FILE_MODE: u32 = 0o640;

/// Files and directories of the operating system.
pub(crate) struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn open_directory(&self, path: &Path) -> io::Result<(PathBuf, Box<dyn RawDirectory>)> {
        // The process may change its working directory, and links may be set elsewhere, while
        // the store is open.
        let path = fs::canonicalize(path)?;
        let directory = RealDirectory::open(path.clone())?;
        Ok((path, Box::new(directory)))
    }
}

struct RealDirectory {
    path: PathBuf,
    handle: fs::File,
}

impl RealDirectory {
    fn open(path: PathBuf) -> io::Result<RealDirectory> {
        let handle = fs::File::open(&path)?;
        if !handle.metadata()?.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
        }
        Ok(RealDirectory { path, handle })
    }

    /// The path of the file called `name`, once it is sure that the directory still is where it
    /// was opened: another one in its place must not be written to.
    fn checked(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let opened = self.handle.metadata().map(identity)?;
        if fs::metadata(&self.path).map(identity).ok() != Some(opened) {
            // Its own entry and that of its parent.
            let is_removed = self.handle.metadata()?.nlink() == 0;
            let what = if is_removed { "removed" } else { "moved" };
            let message = format!("the data directory was {what} while the store was open");
            return Err(io::Error::other(message));
        }
        Ok(self.path.join(name))
    }
}

impl RawDirectory for RealDirectory {
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn RawFile>> {
        let path = self.path.join(name);
        let writable = access == Access::ReadWrite;
        let handle = fs::OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        // Without the flag above, a named pipe would wait for its other end.
        if !handle.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(RealFile::boxed(handle))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        let handle = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.checked(name)?)?;
        Ok(RealFile::boxed(handle))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Names that are not UTF-8 are none of the library's.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.checked(from)?, self.path.join(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.checked(from)?, self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.checked(name)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn sync(&self, _step: Step) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn parent(&self) -> io::Result<Option<Box<dyn RawDirectory>>> {
        let Some(parent) = self.path.parent() else { return Ok(None) };
        match RealDirectory::open(parent.to_path_buf()) {
            Ok(parent) => Ok(Some(Box::new(parent))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Box<dyn RawDirectory>> {
        Ok(Box::new(RealDirectory::open(self.path.join(name))?))
    }

    fn create_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        fs::create_dir(self.path.join(name))
    }

    fn rename_subdirectory(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.checked(from)?, self.path.join(to))
    }

    fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        fs::remove_dir(self.checked(name)?)
    }

    fn mode(&self) -> io::Result<u32> {
        self.handle.metadata().map(|found| found.permissions().mode())
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.handle.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn try_lock(&self, name: &str, lock: Lock) -> io::Result<LockAttempt> {
        let exclusive = lock == Lock::Exclusive;
        let opened = fs::OpenOptions::new()
            .read(true)
            .write(exclusive)
            .create(exclusive)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path.join(name));
        let handle = match opened {
            // No writer of ours has opened it, or somebody has removed the file since.
            Err(error) if error.kind() == ErrorKind::NotFound && !exclusive => None,
            opened => Some(opened?),
        };
        let directory = fs::File::open(self.checked("")?)?;
        let (mut has_file, mut has_directory) = (handle.is_none(), false);
        for _ in 0..HOLDER_ATTEMPTS {
            if let Some(handle) = handle.as_ref().filter(|_| !has_file) {
                has_file = flock(handle, exclusive)?;
            }
            if has_file && !has_directory {
                has_directory = flock(&directory, exclusive).or_else(is_no_lock)?;
            }
            if has_directory {
                let lock = RealLock::new(handle, directory, exclusive);
                return Ok(LockAttempt::Acquired(Box::new(lock)));
            }
            let holder = handle.as_ref().filter(|_| !has_file).and_then(recorded_holder);
            if let Some(holder) = holder.filter(|&holder| is_alive(holder)) {
                return Ok(LockAttempt::HeldBy(Some(holder)));
            }
            // It has the lock and is about to record itself, or has just given it up. Or it is a
            // reader, who leaves no name, or the file was removed and made anew while it was held.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(LockAttempt::HeldBy(None))
    }
}

/// Locks the file if nobody else has. Of several descriptions each is somebody else.
fn flock(handle: &fs::File, exclusive: bool) -> io::Result<bool> {
    match if exclusive { handle.try_lock() } else { handle.try_lock_shared() } {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether directories cannot be locked there, as on network file systems: the lock file remains.
fn is_no_lock(error: io::Error) -> io::Result<bool> {
    const NO_LOCK: [i32; 5] =
        [libc::EBADF, libc::ENOLCK, libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS];
    let is_known = error.raw_os_error().is_some_and(|code| NO_LOCK.contains(&code));
    if is_known { Ok(true) } else { Err(error) }
}

/// How often a lock that nobody is known to hold is looked at.
const HOLDER_ATTEMPTS: u32 = 50;

/// Bytes of a process id in a lock file, padded with spaces: it is replaced by one write, so
/// whoever reads it reads all of one.
const HOLDER_LEN: usize = 11;

/// The process id in a lock file: for the message to whoever finds it locked, nothing else.
fn recorded_holder(handle: &fs::File) -> Option<u32> {
    let mut text = [0; HOLDER_LEN];
    let len = handle.read_at(&mut text, 0).ok()?;
    str::from_utf8(&text[..len]).ok()?.trim().parse().ok()
}

/// Leaves `holder` in a lock file. On a full disk there is no room for it, and nobody to whom it
/// matters.
fn record_holder(handle: &fs::File, holder: &str) {
    let text = format!("{holder:<width$}\n", width = HOLDER_LEN - 1);
    let _recorded = handle.write_all_at(text.as_bytes(), 0).is_ok();
}

/// Whether there is such a process. One that was killed leaves its id behind.
#[expect(unsafe_code, reason = "the standard library does not offer the call")]
fn is_alive(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: signal 0 is sent to nobody; the call takes integers only.
    let sent = unsafe { libc::kill(process, 0) };
    sent == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// `flock` belongs to the open file description: the kernel releases it when the process dies.
///
/// The directory is locked as well as the file in it: the file looks like one that a process which was
/// killed has left, and is removed by those who take it for that.
struct RealLock {
    file: Option<ClosedInChildren>,
    directory: ClosedInChildren,
    exclusive: bool,
}

impl RealLock {
    /// Of what is locked; `file` is there unless it is a reader's lock.
    fn new(file: Option<fs::File>, directory: fs::File, exclusive: bool) -> RealLock {
        if let Some(file) = file.as_ref().filter(|_| exclusive) {
            record_holder(file, &std::process::id().to_string());
        }
        let directory = ClosedInChildren::new(directory);
        RealLock { file: file.map(ClosedInChildren::new), directory, exclusive }
    }
}

impl HeldLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        let file = self.file.as_ref().and_then(ClosedInChildren::file);
        if let Some(file) = file.filter(|_| self.exclusive) {
            record_holder(file, "");
        }
        // Explicitly, since a child between `fork` and `exec` may have a copy of the descriptors.
        // Should it fail, closing them releases the locks as well. The directory first: whoever finds
        // the file unlocked is to find the directory unlocked, too.
        for locked in self.directory.file().into_iter().chain(file) {
            let _unlocked = locked.unlock().is_ok();
        }
    }
}

struct RealFile {
    /// Shared with the file's mappings, so that what is mapped can be cloned.
    handle: Arc<fs::File>,
}

impl RealFile {
    fn boxed(handle: fs::File) -> Box<dyn RawFile> {
        Box::new(RealFile { handle: Arc::new(handle) })
    }
}

impl RawFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        self.handle.metadata().map(|found| found.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64, _step: Option<Step>) -> io::Result<usize> {
        self.handle.write_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not offer the call")]
    fn allocate(&self, from: u64, len: u64) -> io::Result<()> {
        let (Ok(start), Ok(bytes)) = (i64::try_from(from), i64::try_from(len.saturating_sub(from)))
        else {
            return Err(ErrorKind::InvalidInput.into());
        };
        // SAFETY: takes integers only; a bad descriptor is an error, not undefined behaviour.
        match unsafe { libc::fallocate(self.handle.as_raw_fd(), 0, start, bytes) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _from: u64, _len: u64) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not offer the call")]
    fn write_back(&self, offset: u64, len: u64) {
        let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else { return };
        let (handle, flags) = (self.handle.as_raw_fd(), libc::SYNC_FILE_RANGE_WRITE);
        // SAFETY: takes integers only. Its result does not matter: the sync that follows tells.
        unsafe { libc::sync_file_range(handle, offset, len, flags) };
    }

    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not offer the call")]
    fn release(&self, from: u64, len: u64) -> io::Result<()> {
        let (Ok(start), Ok(bytes)) = (i64::try_from(from), i64::try_from(len)) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: as in `allocate`.
        match unsafe { libc::fallocate(self.handle.as_raw_fd(), mode, start, bytes) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn release(&self, _from: u64, _len: u64) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    fn truncate(&self, len: u64, _step: Step) -> io::Result<()> {
        self.handle.set_len(len)
    }

    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not offer the call")]
    fn clone_whole(&self, source: &Mapping) -> io::Result<()> {
        let source = source.descriptor().ok_or_else(no_descriptor)?;
        // SAFETY: takes descriptors, which are open for the duration of the call, and no pointer.
        let cloned =
            unsafe { libc::ioctl(self.handle.as_raw_fd(), libc::FICLONE as _, source.as_raw_fd()) };
        if cloned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not offer the call")]
    fn copy_range(&self, source: &Mapping, offset: u64, len: u64) -> io::Result<u64> {
        let source = source.descriptor().ok_or_else(no_descriptor)?;
        let mut from = i64::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
        let (mut to, len) = (from, usize::try_from(len).unwrap_or(usize::MAX));
        let (source, target) = (source.as_raw_fd(), self.handle.as_raw_fd());
        // SAFETY: the descriptors are open for the duration of the call, and the pointers are to
        // local variables.
        let copied =
            unsafe { libc::copy_file_range(source, &raw mut from, target, &raw mut to, len, 0) };
        u64::try_from(copied).map_err(|_| io::Error::last_os_error())
    }

    fn sync_data(&self, _step: Step) -> io::Result<()> {
        self.handle.sync_data()
    }

    fn map(&self, path: &Path, offset: u64, len: u64, access: Access) -> io::Result<Arc<Mapping>> {
        map(&self.handle, path, offset, len, access).map(Arc::new)
    }
}

#[expect(unsafe_code, reason = "Mapping::new takes the pointer's word for it")]
fn map(
    handle: &Arc<fs::File>,
    path: &Path,
    offset: u64,
    len: u64,
    access: Access,
) -> io::Result<Mapping> {
    let bytes = usize::try_from(len).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
    let mut options = MmapOptions::new();
    options.offset(offset).len(bytes);
    let mapped = match access {
        Access::ReadOnly => options.map_raw_read_only(&**handle)?,
        Access::ReadWrite => options.map_raw(&**handle)?,
    };
    let Some(base) = NonNull::new(mapped.as_mut_ptr()) else {
        return Err(ErrorKind::OutOfMemory.into());
    };
    let region = Box::new(MappedRegion { mapped, handle: handle.clone() });
    // SAFETY: `mapped` maps `bytes` bytes at `base` until it is dropped, and the mapping owns it.
    Ok(unsafe { Mapping::new(base, bytes, path, offset, region) })
}

struct MappedRegion {
    mapped: MmapRaw,
    handle: Arc<fs::File>,
}

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
        match self.mapped.advise_range(advice, aligned, bytes) {
            // Linux before 5.14: no way to find out, the first touch will tell.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            // What the kernel answers where a touch would raise SIGBUS.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) && !write => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            result => result,
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.handle.as_fd())
    }
}

#[cfg(target_os = "linux")]
fn no_descriptor() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}
