//! Checking a data directory without changing anything in it.
//!
//! ```text
//! verify -> source      the files, under the shared lock
//!        -> snapshot    every entry of the snapshot, also behind damage
//!        -> log         every entry of a log, also behind the place where it stops decoding
//!        -> report      what was found;  display  the same for people
//! ```
//! `repair` walks the same files by the same functions, so what it keeps is what was checked.

mod checksums;
mod display;
mod log;
mod progress;
mod report;
mod snapshot;
mod source;

pub use progress::Progress;
pub use report::{Condition, Finding, LogCheck, LogUse};
pub use report::{QuarantinedFile, SnapshotCheck, Verification};

pub(crate) use log::{Found, is_current, survey as survey_log};
pub(crate) use progress::Ticker;
pub(crate) use snapshot::survey as survey_snapshot;
pub(crate) use source::{Quarantined, Source, SourceFile};

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::io::RealFileSystem;
use crate::record::Continues;
use crate::recovery::{Preceding, Standing, are_the_same, bytes_there, goes_on};
use crate::wal::{sealed_log_digits, sealed_log_name};

/// Checks every byte of the store in `directory`, and changes nothing there.
///
/// Reads the snapshot (header and every entry; what follows the entries is ignored) and the logs
/// (every entry, what the marks vouch for, how they end), and goes on behind damage to say what
/// [`repair`](crate::repair) would leave out and [`salvage`](crate::salvage) would find. Damage is
/// not an error: the result tells. Takes the lock that a read-only open takes, so it can run beside
/// readers, and not beside a writer. Takes time linear in the length of the files, whatever is in
/// them, and a 256th of the length of a damaged file in memory.
///
/// # Errors
/// When it could not be checked: [`ErrorKind::Locked`] while a writer has the directory open;
/// [`ErrorKind::Io`] when a file cannot be read; [`ErrorKind::Unsupported`] when a newer version
/// wrote it; [`ErrorKind::InvalidArgument`] when there is no store in it;
/// [`ErrorKind::OutOfMemory`].
///
/// ```
/// use kvstore::{Condition, Store};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
///
/// let store = Store::open(path)?;
/// store.set("key", "value")?;
/// store.close()?;
/// assert_eq!(kvstore::verify(path)?.condition, Condition::Sound);
///
/// let snapshot = path.join("snapshot.dat");
/// let mut bytes = std::fs::read(&snapshot)?;
/// bytes[30] ^= 0x01; // in the first entry
/// std::fs::write(&snapshot, bytes)?;
/// let found = kvstore::verify(path)?;
/// assert_eq!(found.condition, Condition::Damaged);
/// assert_eq!((&found.findings[0].path, found.findings[0].offset), (&snapshot.canonicalize()?, 20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(directory: impl AsRef<Path>) -> Result<Verification> {
    verify_with(directory, &mut |_| ControlFlow::Continue(()))
}

/// As [`verify`], calling `progress` about once for each mebibyte of work. If it returns
/// [`ControlFlow::Break`], no more is read.
///
/// # Errors
/// Those of [`verify`]; [`Cancelled`](crate::ErrorKind::Cancelled) when `progress` stopped it.
pub fn verify_with(
    directory: impl AsRef<Path>,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Verification> {
    let source = Source::open(&RealFileSystem, directory.as_ref())?;
    examine(&source, &mut Ticker::new(progress))
}

/// What is in a file of `quarantine/`. Nothing depends on it: what cannot be read, or is of a newer
/// version, is no error.
fn look_into(quarantined: &Quarantined, ticker: &mut Ticker<'_>) -> Result<QuarantinedFile> {
    let Quarantined { path, file } = quarantined;
    let mut found = QuarantinedFile {
        path: path.clone(),
        bytes: file.as_ref().map(|file| file.len),
        entries: 0,
    };
    if let Some(file) = file {
        let mut count = |entry: Found<'_>| {
            found.entries += u64::from(entry.is_write());
            Ok(())
        };
        match survey_log(file, &mut Verification::default(), ticker, &mut count) {
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::OutOfMemory) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Checks the files of `source`.
pub(crate) fn examine(source: &Source, ticker: &mut Ticker<'_>) -> Result<Verification> {
    let mut report = Verification {
        directory: source.path.clone(),
        unfinished_snapshot: source.unfinished,
        ..Verification::default()
    };
    for quarantined in &source.quarantine {
        report.quarantine.push(look_into(quarantined, ticker)?);
    }
    if let Some(file) = &source.snapshot {
        let check = survey_snapshot(file, &mut report, ticker, |_, _, _| Ok(()))?;
        report.snapshot = Some(check);
    }
    let second_name = second_name(source)?;
    let (mut before, mut follows_broken) = (None, false);
    for (number, file) in source.logs.iter().enumerate() {
        let mut check = survey_log(file, &mut report, ticker, &mut |_| Ok(()))?;
        check.log_use = if second_name == Some(number) {
            LogUse::SecondName
        } else {
            log_use(&check, report.snapshot.as_ref())?
        };
        if check.log_use == LogUse::SnapshotMissing {
            let what = format!(
                "it builds on a snapshot of time {}, and snapshot.dat is missing or older",
                check.base.unwrap_or_default()
            );
            let condition = Condition::Damaged;
            report.add(Finding { condition, path: check.path.clone(), offset: 0, len: 0, what });
        }
        if check.log_use == LogUse::Replayed {
            find_gap(&mut check, before.as_ref(), follows_broken, &mut report);
            follows_broken = check.log_use == LogUse::Broken;
            if !follows_broken {
                before = Some(check.clone());
            }
        }
        report.logs.push(check);
    }
    Ok(report)
}

/// Which of the logs is `wal.log` under another name.
fn second_name(source: &Source) -> Result<Option<usize>> {
    if let [.., sealed, current] = &source.logs[..]
        && is_current(&current.path)
        && let (Some(one), Some(other)) = (&sealed.mapping, &current.mapping)
        && are_the_same(one, other)?
    {
        return Ok(Some(source.logs.len() - 2));
    }
    Ok(None)
}

/// Looks whether a log goes on where `before`, the last one before it that is replayed, ends. By the
/// rule of recovery: between the two there may be one that is not, which matters only if this one does
/// not say what it continues.
fn find_gap(
    check: &mut LogCheck,
    before: Option<&LogCheck>,
    follows_broken: bool,
    report: &mut Verification,
) {
    let snapshot = report.snapshot.as_ref().map(|snapshot| snapshot.stated_timestamp);
    let preceding = before.map(|before| Preceding {
        generation: sealed_generation(&before.path),
        end: before.end,
        has_garbage: before.garbage > 0,
    });
    let is_cut_off = follows_broken && check.continues.is_none();
    if !is_cut_off && goes_on(check.continues, preceding, snapshot) {
        return;
    }
    check.log_use = LogUse::Broken;
    let (len, offset) = (check.end + check.garbage, 0);
    if len == 0 {
        return;
    }
    let missing = match check.continues {
        Some(continues) => {
            let (name, end) = (sealed_log_name(continues.generation), continues.end);
            format!("it continues {name} from offset {end} on, which is not all there")
        }
        None => "it comes after a log that is not whole".to_owned(),
    };
    let lacks_synced = |continues: Continues| continues.synced > bytes_there(continues, preceding);
    let is_damage = check.last_mark > 0 || check.continues.is_some_and(lacks_synced);
    let (condition, verdict) = if is_damage {
        (Condition::Damaged, "that had reached the disk, so this is damage")
    } else {
        (Condition::Unclear, "a crash of the system amid unsynced writes can leave that")
    };
    check.condition = check.condition.max(condition);
    let what = format!("{missing}; {verdict}");
    report.add(Finding { condition, path: check.path.clone(), offset, len, what });
}

fn sealed_generation(path: &Path) -> Option<u64> {
    sealed_log_digits(path.file_name()?.to_str()?)?.parse().ok()
}

/// What opening does with a log, by the rule of recovery.
fn log_use(log: &LogCheck, snapshot: Option<&SnapshotCheck>) -> Result<LogUse> {
    let timestamp = match (snapshot, log.opening) {
        (None, _) => None,
        (Some(SnapshotCheck { timestamp: Some(timestamp), .. }), _) => Some(*timestamp),
        // What the header says is corroborated by the log.
        (Some(snapshot), Some(mark)) if snapshot.stated_timestamp == mark.base => Some(mark.base),
        (Some(_), Some(_)) => return Ok(LogUse::Undecidable),
        (Some(_), None) => None,
    };
    let standing = match sealed_generation(&log.path) {
        Some(generation) => Standing::of_sealed(generation, log.opening, timestamp),
        None => Standing::of(log.opening, timestamp, || Ok(log.latest))?,
    };
    Ok(match standing {
        Standing::Replayed => LogUse::Replayed,
        Standing::Covered => LogUse::Covered,
        Standing::SnapshotMissing => LogUse::SnapshotMissing,
    })
}

fn no_memory_to_search(path: &Path) -> Error {
    let message = format!(
        "no memory to look behind the damage in {}; it takes a 256th of the file's length",
        path.display()
    );
    Error::new(ErrorKind::OutOfMemory, message).at(path, None)
}
