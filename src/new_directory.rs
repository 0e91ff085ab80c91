//! A new data directory that appears whole, or not at all: for backups and repairs.
//!
//! It is made beside its place, under a name that says that it is not finished. When all in it is
//! durable it is renamed into place, and that is made durable. So whatever crashes, at its place is
//! nothing, or the empty directory that was there, or all of it; what may be left over is a
//! directory called `<name>.unfinished-<number>`, which is never opened or removed by itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::io::{Directory, FileSystem, Step};
use crate::wal::LOG_NAME;

/// What follows its later name in the name of a directory that is not finished.
pub(crate) const UNFINISHED: &str = ".unfinished-";

/// No name of a file may have more bytes.
const NAME_MAX: usize = 255;

/// As many leftovers as there may be of one directory.
const ATTEMPTS: u32 = 10_000;

/// A directory in the making. Dropped before it is finished, it is removed.
pub(crate) struct NewDirectory {
    parent: Directory,
    directory: Directory,
    unfinished: OsString,
    name: OsString,
    path: PathBuf,
    finished: bool,
}

/// Where a new directory is to be.
struct Place {
    path: PathBuf,
    name: OsString,
    /// The empty directory that is there.
    existing: Option<Directory>,
}

impl Place {
    /// Refuses a place that has something in it, or that lies in `source`, the directory that is
    /// read.
    fn find(file_system: &dyn FileSystem, to: &Path, source: Option<&Path>) -> Result<Place> {
        let absolute = std::path::absolute(to)
            .map_err(|error| Error::io("find the new directory", to, error))?;
        let existing = open_if_there(file_system, &absolute)?;
        // Where links lead: a rename would replace the link.
        let path = existing.as_ref().map_or(absolute, |existing| existing.path().to_path_buf());
        let Some(name) = path.file_name().map(OsStr::to_os_string) else {
            return Err(refused(to, "has no name of its own"));
        };
        for ancestor in path.ancestors() {
            if let Some(directory) = open_if_there(file_system, ancestor)? {
                if source.is_some_and(|source| directory.path().starts_with(source)) {
                    return Err(refused(to, "lies in the directory that is read"));
                }
                break;
            }
        }
        if let Some(directory) = &existing
            && !directory.list()?.is_empty()
        {
            return Err(refused(directory.path(), NOT_EMPTY));
        }
        Ok(Place { path, name, existing })
    }
}

const NOT_EMPTY: &str = "is not empty";

fn open_if_there(file_system: &dyn FileSystem, path: &Path) -> Result<Option<Directory>> {
    match Directory::open(file_system, path, false) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if error.os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    let message = format!(
        "the new directory {} {why}; give the path of one that does not exist yet",
        path.display()
    );
    Error::new(ErrorKind::InvalidArgument, message).at(path, None)
}

impl NewDirectory {
    /// Whether a directory can be made at `to`, for whoever has long work to do before it.
    ///
    /// # Errors
    /// `InvalidArgument` when something is there, or when it lies in `source`; `Io`.
    pub(crate) fn check(file_system: &dyn FileSystem, to: &Path, source: &Path) -> Result<()> {
        Place::find(file_system, to, Some(source)).map(drop)
    }

    /// Begins a directory that is to be at `to`.
    ///
    /// # Errors
    /// Those of [`check`](NewDirectory::check); `NoSpace`.
    pub(crate) fn create(
        file_system: &dyn FileSystem,
        to: &Path,
        source: Option<&Path>,
    ) -> Result<NewDirectory> {
        let Place { path, name, existing } = Place::find(file_system, to, source)?;
        // It has a name, so it has a parent.
        let parent = path.parent().unwrap_or(Path::new("/"));
        let parent = Directory::open(file_system, parent, true)?;
        // Whoever made it may not have come to that.
        parent.sync_parent(Step::ParentDirectory)?;
        let unfinished = make_unfinished(&parent, &name)?;
        let opened = Directory::open(file_system, &parent.path().join(&unfinished), false);
        let directory = opened.inspect_err(|_| {
            // Best effort, as all removing here: the error that is reported is the one that matters.
            let _removed = parent.remove_subdirectory(&unfinished).is_ok();
        })?;
        let new = NewDirectory { parent, directory, unfinished, name, path, finished: false };
        if let Some(existing) = existing {
            // Whoever made it may have seen to it that nobody else can read what is put there.
            new.directory.copy_mode(&existing)?;
        }
        Ok(new)
    }

    /// The directory as it is called for now.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where it is going to be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an empty log to what was written and synced, and puts the directory in its place. It is
    /// durable when this returns. After an error there is nothing of it.
    ///
    /// # Errors
    /// `InvalidArgument` when something is in its place by now, or a file system is mounted there;
    /// `Io`, `NoSpace`.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.directory.create_file(LOG_NAME)?;
        self.directory.sync(Step::NewDirectoryContent)?;
        let renamed = self.parent.rename_subdirectory(&self.unfinished, &self.name);
        renamed.map_err(|error| match error.os_error() {
            Some(libc::ENOTEMPTY | libc::EEXIST) => refused(&self.path, NOT_EMPTY),
            Some(libc::EBUSY | libc::EXDEV) => {
                refused(&self.path, "is where a file system is mounted")
            }
            _ => error,
        })?;
        if let Err(error) = self.parent.sync(Step::NewDirectoryName) {
            // Nobody can say whether it is there to stay.
            let _back = self.parent.rename_subdirectory(&self.name, &self.unfinished).is_ok();
            return Err(error);
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for name in self.directory.list().unwrap_or_default() {
            let _removed = self.directory.remove(&name).is_ok();
        }
        let _removed = self.parent.remove_subdirectory(&self.unfinished).is_ok();
    }
}

/// Makes the directory under a name that is not taken by a leftover, and returns that.
fn make_unfinished(parent: &Directory, name: &OsStr) -> Result<OsString> {
    for number in 1..ATTEMPTS {
        let suffix = format!("{UNFINISHED}{number}");
        let kept = name.len().min(NAME_MAX - suffix.len());
        let mut unfinished = OsStr::from_bytes(&name.as_bytes()[..kept]).to_os_string();
        unfinished.push(&suffix);
        if parent.create_new_subdirectory(&unfinished)? {
            return Ok(unfinished);
        }
    }
    let message = format!(
        "{} has {ATTEMPTS} directories called {}{UNFINISHED}...; remove those that nobody is \
         writing",
        parent.path().display(),
        name.display()
    );
    Err(Error::new(ErrorKind::InvalidArgument, message).at(parent.path(), None))
}
