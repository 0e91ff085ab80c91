//! An open directory, with errors that name it, and creating one durably.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::file::retried;
use super::{Access, File, FileSystem, Lock, LockAttempt, RawDirectory, Step};
use crate::error::{Error, Result};

/// An open directory. Errors name the path concerned and what was done.
pub(crate) struct Directory {
    path: PathBuf,
    raw: Box<dyn RawDirectory>,
}

impl Directory {
    /// Opens the directory at `path`; with `create`, makes it if it is missing. What it is created
    /// in is then durable; its own name is when [`sync_parent`](Directory::sync_parent) returns.
    pub(crate) fn open(
        file_system: &dyn FileSystem,
        path: &Path,
        create: bool,
    ) -> Result<Directory> {
        match retried(|| file_system.open_directory(path)) {
            Ok((path, raw)) => Ok(Directory { path, raw }),
            Err(missing) if missing.kind() == ErrorKind::NotFound && create => {
                let absolute = std::path::absolute(path)
                    .map_err(|error| Error::io("create the data directory", path, error))?;
                let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                    return Err(Error::io("open the data directory", path, missing));
                };
                let parent = Directory::open(file_system, parent, true)?;
                // Whoever made it may not have come to that.
                parent.sync_parent(Step::ParentDirectory)?;
                parent.make_subdirectory(name)?;
                Directory::open(file_system, path, false)
            }
            Err(error) => Err(open_error(path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, action: &str, name: &str, error: io::Error) -> Error {
        Error::io(action, &self.path.join(name), error)
    }

    /// Opens an existing file; `None` when there is none of that name.
    pub(crate) fn open_file(&self, name: &str, access: Access) -> Result<Option<File>> {
        match retried(|| self.raw.open(name, access)) {
            Ok(raw) => Ok(Some(File::new(self.path.join(name), raw))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("open", name, error)),
        }
    }

    /// Creates a file, emptying one that exists.
    pub(crate) fn create_file(&self, name: &str) -> Result<File> {
        self.create_file_for(name, name)
    }

    /// As [`create_file`](Directory::create_file), for a file that will be renamed to `later`
    /// before anybody is told of it: its errors name that.
    pub(crate) fn create_file_for(&self, name: &str, later: &str) -> Result<File> {
        match retried(|| self.raw.create(name)) {
            Ok(raw) => Ok(File::new(self.path.join(later), raw)),
            Err(error) => Err(self.failed("create", name, error)),
        }
    }

    /// The names in the directory, in no order.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        retried(|| self.raw.list())
            .map_err(|error| Error::io("list the directory", &self.path, error))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        retried(|| self.raw.rename(from, to)).map_err(|error| self.failed("rename", from, error))
    }

    /// Gives the file `from` a second name, `to`, of which there is none yet.
    pub(crate) fn link(&self, from: &str, to: &str) -> Result<()> {
        retried(|| self.raw.link(from, to)).map_err(|error| self.failed("link", to, error))
    }

    /// Removes a file; one that does not exist is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        retried(|| self.raw.remove(name)).map_err(|error| self.failed("remove", name, error))
    }

    /// Makes creations, renames and removals in this directory durable.
    pub(crate) fn sync(&self, step: Step) -> Result<()> {
        retried(|| self.raw.sync(step)).map_err(|error| sync_error(&self.path, error))
    }

    /// Makes the directory's own name durable. A parent that this user may not read cannot be
    /// synced, and is left to whoever made the directory.
    pub(crate) fn sync_parent(&self, step: Step) -> Result<()> {
        let sync = || self.raw.parent()?.map_or(Ok(()), |parent| parent.sync(step));
        retried(sync).map_err(|error| sync_error(self.path.parent().unwrap_or(&self.path), error))
    }

    /// Opens a directory in this one, creating it durably when missing.
    pub(crate) fn subdirectory(&self, name: &str) -> Result<Directory> {
        let path = self.path.join(name);
        let raw = match retried(|| self.raw.subdirectory(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_subdirectory(OsStr::new(name))?;
                self.sync(Step::QuarantineDirectory)?;
                retried(|| self.raw.subdirectory(name))
            }
            result => result,
        };
        match raw {
            Ok(raw) => Ok(Directory { path, raw }),
            Err(error) => Err(Error::io("open the directory", &path, error)),
        }
    }

    fn make_subdirectory(&self, name: &OsStr) -> Result<()> {
        match retried(|| self.raw.create_subdirectory(name)) {
            Ok(()) => Ok(()),
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(Error::io("create the directory", &self.path.join(name), error)),
        }
    }

    /// Creates a directory in this one, which must not exist: `false` if it does.
    pub(crate) fn create_new_subdirectory(&self, name: &OsStr) -> Result<bool> {
        match retried(|| self.raw.create_subdirectory(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("create the directory", &self.path.join(name), error)),
        }
    }

    /// Renames a directory in this one. An empty directory `to` is replaced; one that is not empty
    /// is an error.
    pub(crate) fn rename_subdirectory(&self, from: &OsStr, to: &OsStr) -> Result<()> {
        retried(|| self.raw.rename_subdirectory(from, to))
            .map_err(|error| Error::io("rename a directory to", &self.path.join(to), error))
    }

    /// Removes an empty directory in this one.
    pub(crate) fn remove_subdirectory(&self, name: &OsStr) -> Result<()> {
        retried(|| self.raw.remove_subdirectory(name))
            .map_err(|error| Error::io("remove the directory", &self.path.join(name), error))
    }

    /// Gives this directory the mode of `other`.
    pub(crate) fn copy_mode(&self, other: &Directory) -> Result<()> {
        let copied = retried(|| self.raw.set_mode(other.raw.mode()?));
        copied.map_err(|error| Error::io("set the mode of", &self.path, error))
    }

    /// Tries to lock the file of that name; see [`RawDirectory::try_lock`].
    pub(crate) fn try_lock(&self, name: &str, lock: Lock) -> Result<LockAttempt> {
        retried(|| self.raw.try_lock(name, lock)).map_err(|error| {
            let read_only = error.kind() == ErrorKind::ReadOnlyFilesystem;
            let failed = self.failed("lock", name, error);
            if read_only { failed.advise("open it read-only") } else { failed }
        })
    }
}

fn open_error(path: &Path, error: io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => {
            "check the path; opening a store for writing creates one, unless it is told not to"
        }
        ErrorKind::NotADirectory => "give the path of a directory",
        _ => return Error::io("open the data directory", path, error),
    };
    Error::io("open the data directory", path, error).advise(advice)
}

fn sync_error(path: &Path, error: io::Error) -> Error {
    Error::io("sync the directory", path, error)
}
