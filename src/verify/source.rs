//! A directory to be read as it is: its files by what they are for, mapped, under the shared lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{
    Access, Directory, FileSystem, HeldLock, Lock, LockAttempt, MAX_FILE_LEN, Mapping, notice_forks,
};
use crate::recovery::QUARANTINE_NAME;
use crate::snapshot::{SNAPSHOT_NAME, UNFINISHED_NAME};
use crate::store::LOCK_NAME;
use crate::wal::{LOG_NAME, sealed_log_digits};

/// A data directory that nobody writes to while this lives.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) snapshot: Option<SourceFile>,
    /// In the order of their entries.
    pub(crate) logs: Vec<SourceFile>,
    pub(crate) quarantine: Vec<Quarantined>,
    pub(crate) unfinished: Option<u64>,
    _lock: Box<dyn HeldLock>,
}

/// A file in `quarantine/`.
pub(crate) struct Quarantined {
    pub(crate) path: PathBuf,
    /// `None` when it cannot be opened.
    pub(crate) file: Option<SourceFile>,
}

pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// `None` when the file is empty, or longer than any that the library reads.
    pub(crate) mapping: Option<Arc<Mapping>>,
}

impl Source {
    /// Opens `path` for reading, and changes nothing there, not even the lock file.
    ///
    /// # Errors
    /// `Locked` when somebody has it open for writing; `Io`; `InvalidArgument` when it holds
    /// nothing of a store.
    pub(crate) fn open(file_system: &dyn FileSystem, path: &Path) -> Result<Source> {
        // Before a lock is taken: a child of a fork has to give up its copy.
        notice_forks();
        let directory = Directory::open(file_system, path, false)?;
        let lock = match directory.try_lock(LOCK_NAME, Lock::Shared)? {
            LockAttempt::Acquired(held) => held,
            LockAttempt::HeldBy(holder) => return Err(Error::locked(directory.path(), holder)),
        };
        let names = directory.list()?;
        let mut logs: Vec<_> = names.iter().filter_map(|name| Some((order(name)?, name))).collect();
        logs.sort();
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if logs.is_empty() && !has(SNAPSHOT_NAME) && !has(LOCK_NAME) {
            return Err(no_store(directory.path()));
        }
        let logs = logs.into_iter().filter_map(|(_, name)| open(&directory, name).transpose());
        let quarantine = match has(QUARANTINE_NAME) {
            true => quarantined(file_system, &directory.path().join(QUARANTINE_NAME)),
            false => Vec::new(),
        };
        let unfinished = directory.open_file(UNFINISHED_NAME, Access::ReadOnly)?;
        Ok(Source {
            path: directory.path().to_path_buf(),
            snapshot: open(&directory, SNAPSHOT_NAME)?,
            logs: logs.collect::<Result<_>>()?,
            quarantine,
            unfinished: unfinished.map(|file| file.len()).transpose()?,
            _lock: lock,
        })
    }
}

fn no_store(path: &Path) -> Error {
    let message = format!(
        "{} holds no store: it has neither {SNAPSHOT_NAME} nor {LOG_NAME}; give the path of a data \
         directory",
        path.display()
    );
    Error::new(ErrorKind::InvalidArgument, message).at(path, None)
}

/// Where a log stands in the order of logs; `None` for a name that is not a log's.
fn order(name: &str) -> Option<u128> {
    if name == LOG_NAME {
        return Some(u128::MAX);
    }
    let digits = sealed_log_digits(name)?;
    // A number that does not fit is later than every one that does.
    Some(digits.parse::<u64>().map_or(u128::MAX - 1, u128::from))
}

fn open(directory: &Directory, name: &str) -> Result<Option<SourceFile>> {
    let Some(file) = directory.open_file(name, Access::ReadOnly)? else { return Ok(None) };
    let len = file.len()?;
    let mapping = match len {
        1..=MAX_FILE_LEN => Some(file.map(0, len, Access::ReadOnly)?),
        _ => None,
    };
    Ok(Some(SourceFile { path: file.path().to_path_buf(), len, mapping }))
}

/// The files in `quarantine/`. What cannot be read there is nothing that opening depends on, so it
/// is no error.
fn quarantined(file_system: &dyn FileSystem, path: &Path) -> Vec<Quarantined> {
    let Ok(directory) = Directory::open(file_system, path, false) else { return Vec::new() };
    let mut names = directory.list().unwrap_or_default();
    names.sort();
    let found = |name: String| {
        let file = open(&directory, &name).ok().flatten();
        Quarantined { path: path.join(name), file }
    };
    names.into_iter().map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_logs_come_in_order_of_generation_and_before_the_log() {
        let mut names = ["wal.log", "wal-10.log", "wal-9.log", "wal-99999999999999999999.log"];
        names.sort_by_key(|name| order(name));
        let sorted = ["wal-9.log", "wal-10.log", "wal-99999999999999999999.log", "wal.log"];
        assert_eq!(names, sorted);
        for other in ["wal-.log", "wal-1.log.old", "wal-x.log", "LOCK", "wal"] {
            assert_eq!(order(other), None, "{other}");
        }
    }
}
