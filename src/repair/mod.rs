//! Making a directory that opens out of one that is damaged. Never in place.
//!
//! ```text
//! repair -> verify::examine   what is there
//!        -> plan              which entries are applied, in which order, and what is left out
//!        -> merge             applying them to an index of the mapped files
//!        -> write             writing what is live to a new directory, which appears when it is whole
//! ```

mod merge;
mod plan;
mod report;
mod write;

pub use report::{LeftOut, RepairReport};

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileSystem, RealFileSystem};
use crate::new_directory::NewDirectory;
use crate::verify::{Progress, Source, Ticker, examine};
use merge::Merge;
use plan::{Plan, Step};

/// How much is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What is consistent.
    Prefix,
    /// Whatever can be read.
    Everything,
}

/// Writes what is consistent in the store `from` to the new directory `to`, which opens like any
/// other, and changes nothing in `from`.
///
/// From logs it keeps what opening keeps: every entry before the first one that is not valid. A log
/// that builds on a snapshot which is missing is left out, and so is every log behind one that is
/// not whole. What is kept then is the state after some prefix of the writes
/// ([`RepairReport::is_prefix`]).
///
/// With a damaged snapshot, which opening refuses, no earlier state can be had whole: a snapshot is
/// the records of one instant in order of key, not a history. (Unless the log that it was made from
/// is still there and sound, which is used instead.) Kept are then the entries before the first
/// damaged one, and on top of them the logs as above. So no record in `to` is older than in what was
/// written, but records are missing: those at or behind the damage that no log sets again.
/// [`RepairReport::complete_up_to`] says up to which key none is. If the snapshot's header is
/// damaged and the log is too, nobody can tell which of them is newer, and the log is left out.
///
/// `to` must not exist, or be empty, and not lie in `from`. It gets `snapshot.dat`, an empty
/// `wal.log`, and `REPAIRED.txt`, the report. It appears, whole and synced, when all is written; a
/// process that dies before leaves a directory called `<to>.unfinished-<number>`. Needs 13 to 16 bytes of memory for each record.
///
/// # Errors
/// Those of [`verify`](crate::verify);
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when `to` is not
/// empty or lies in `from`; [`ErrorKind::NoSpace`](crate::ErrorKind::NoSpace). What was written to
/// `to` is then removed again.
///
/// ```
/// use kvstore::Store;
/// # let directory = tempfile::tempdir()?;
/// # let (damaged, new) = (directory.path().join("damaged"), directory.path().join("new"));
///
/// let store = Store::open(&damaged)?;
/// store.set("a", "1")?;
/// store.set("b", "2")?;
/// store.set("c", "3")?;
/// drop(store);
/// let log = damaged.join("wal.log");
/// let mut bytes = std::fs::read(&log)?;
/// bytes[115] ^= 0x01; // in the entry of "b"
/// std::fs::write(&log, bytes)?;
///
/// let report = kvstore::repair(&damaged, &new)?;
/// assert_eq!((report.records, report.is_prefix), (1, true));
/// assert_eq!(report.left_out[0].entries, 1, "that of c, which salvage would keep");
/// assert!(Store::open(&new)?.contains("a")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairReport> {
    repair_with(from, to, &mut |_| ControlFlow::Continue(()))
}

/// As [`repair`], calling `progress` from time to time. If it returns [`ControlFlow::Break`], the repair
/// is given up, and nothing of it is left.
///
/// # Errors
/// Those of [`repair`]; [`Cancelled`](crate::ErrorKind::Cancelled) when `progress` stopped it.
pub fn repair_with(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    rebuild(&RealFileSystem, from.as_ref(), to.as_ref(), Extent::Prefix, progress)
}

/// Writes whatever can be read in the store `from` to the new directory `to`, also what lies behind
/// damage, and changes nothing in `from`.
///
/// What comes of it is **not** a state that the store ever had: a record may be missing, may have
/// an older value than the last one written, or may be back although it was deleted, and of writes
/// that belong together one may be there without the other. Use [`repair`] where that matters.
///
/// Every valid entry is applied: those of the snapshot, then the sets and deletes of the logs in
/// the order in which they stand there. A log that a damaged snapshot covers comes first, since what
/// the snapshot has is newer. Of the entries behind damage in a log, those older than the snapshot
/// fill in only what a damaged snapshot lacks.
///
/// Behind damage, an entry of a log is where its magic number is followed by lengths that fit and
/// the right checksum. An entry of a snapshot has no magic number, so every offset is tried; chance
/// makes one up once in 2^32 tries. A value that itself holds a piece of a log or a snapshot yields
/// the records in it if the damage is in the entry around it. It takes time linear in the length of
/// the files, whatever is in them.
///
/// `quarantine/` is not looked at, since its bytes may be older or newer than what is in force. To
/// look into a file there, copy it to an empty directory under the name `wal.log` and salvage that.
///
/// `to` is as for [`repair`]; the report in it is `SALVAGED.txt`.
///
/// # Errors
/// Those of [`repair`]. On a disk that cannot be read in places, first copy the files with a tool
/// that goes on behind read errors.
///
/// ```
/// use kvstore::Store;
/// # let directory = tempfile::tempdir()?;
/// # let (damaged, new) = (directory.path().join("damaged"), directory.path().join("new"));
///
/// let store = Store::open(&damaged)?;
/// store.set("a", "1")?;
/// store.set("b", "2")?;
/// store.close()?;
/// let snapshot = damaged.join("snapshot.dat");
/// let mut bytes = std::fs::read(&snapshot)?;
/// bytes[24] ^= 0x01; // the key "a"
/// std::fs::write(&snapshot, bytes)?;
///
/// let report = kvstore::salvage(&damaged, &new)?;
/// assert_eq!((report.records, report.is_prefix), (1, false));
/// assert!(Store::open(&new)?.contains("b")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<RepairReport> {
    salvage_with(from, to, &mut |_| ControlFlow::Continue(()))
}

/// As [`salvage`], with progress as in [`repair_with`].
///
/// # Errors
/// Those of [`salvage`] and of [`repair_with`].
pub fn salvage_with(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    rebuild(&RealFileSystem, from.as_ref(), to.as_ref(), Extent::Everything, progress)
}

pub(crate) fn rebuild(
    file_system: &dyn FileSystem,
    from: &Path,
    to: &Path,
    extent: Extent,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<RepairReport> {
    let mut ticker = Ticker::new(progress);
    let source = Source::open(file_system, from)?;
    // Before the long part, so that a wrong argument is told at once.
    NewDirectory::check(file_system, to, &source.path)?;
    let verification = examine(&source, &mut ticker)?;
    let plan = match extent {
        Extent::Prefix => Plan::prefix(&verification),
        Extent::Everything => Plan::everything(&verification),
    };

    let mut merge = Merge::new(&verification);
    for step in &plan.steps {
        match *step {
            Step::Snapshot { behind } => {
                let Some(file) = &source.snapshot else { continue };
                merge.apply_snapshot(file, behind, &mut ticker)?;
            }
            Step::Log { number, behind } => {
                let Some(file) = source.logs.get(number) else { continue };
                merge.apply_log(file, behind, &mut ticker)?;
            }
        }
    }

    let target = NewDirectory::create(file_system, to, Some(&source.path))?;
    let report = RepairReport {
        from: source.path.clone(),
        to: target.path().to_path_buf(),
        salvaged: extent == Extent::Everything,
        is_prefix: plan.is_prefix,
        records: merge.records(),
        applied: merge.applied,
        applied_behind: merge.applied_behind,
        outdated: merge.outdated,
        complete_up_to: plan.complete_up_to,
        left_out: plan.left_out,
        source: verification,
    };
    write::write(target, merge, &report, &mut ticker).map_err(|error| not_written(error, to))?;
    Ok(report)
}

/// Says that there is nothing to clean up.
fn not_written(error: Error, to: &Path) -> Error {
    if error.kind() == ErrorKind::Cancelled {
        return error; // which says so itself
    }
    let lead = format!("{} was not written; what was begun there is removed", to.display());
    error.share(error.kind(), &lead)
}
