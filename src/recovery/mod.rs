//! Bringing a directory back: the snapshot, then the logs on top of it, up to the first byte that
//! is not a valid entry. What cannot be read as an entry is kept aside and cut off before
//! anything is appended.

mod logs;
mod quarantine;
mod replay;
mod report;
mod standing;

pub(crate) use quarantine::QUARANTINE_NAME;
#[cfg(test)]
pub(crate) use report::Cut;
pub use report::RecoveryReport;

use std::path::Path;
use std::sync::Arc;

use crate::commit::{Alarm, Clock, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::{Access, Directory, File, MAX_FILE_LEN, Mapping, SegmentId, Segments, Step};
use crate::options::{Durability, Options};
use crate::record::{Continues, Mark, Operation};
use crate::snapshot::{self, UNFINISHED_NAME};
use crate::store::LOCK_NAME;
use crate::wal::{Allocation, Before, Health, LOG_NAME, Log, NEXT_LOG_NAME, Resume, Syncer};
use crate::wal::{sealed_log_digits, sealed_log_name};
pub(crate) use logs::are_the_same;
use logs::{Fate, LoadedLog, Loader};
use replay::Replay;
pub(crate) use standing::{Preceding, Standing, bytes_there, goes_on};

/// A directory brought back.
pub(crate) struct Recovered {
    pub(crate) writer: Writer,
    pub(crate) snapshot: Option<SnapshotInForce>,
    /// Sealed logs that no snapshot has yet, in their order.
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) report: RecoveryReport,
}

/// The snapshot that the open store builds on.
#[derive(Clone, Copy)]
pub(crate) struct SnapshotInForce {
    pub(crate) segment: SegmentId,
    pub(crate) bytes: u64,
    pub(crate) timestamp: i64,
}

/// A sealed log that no snapshot has yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) generation: u64,
    /// Bytes of entries in it.
    pub(crate) bytes: u64,
}

/// Reads what `directory` holds. Unless the options say read-only, also makes it ready to be
/// written to: removes what was left unfinished, cuts a torn tail off, creates the log.
pub(crate) fn recover(
    directory: &Directory,
    options: &Options,
    segments: &Arc<Segments>,
) -> Result<Recovered> {
    let mut sealed = sealed_logs(directory)?;
    let second_name = leave_out_second_name(directory, &mut sealed)?;
    let mut report = RecoveryReport::default();
    let mut index = IndexWriter::new(segments.clone());
    let snapshot = load_snapshot(directory, segments, &mut index, &mut report)?;
    let base = snapshot.map_or(0, |snapshot| snapshot.timestamp);

    let mut loader = Loader {
        directory,
        snapshot: snapshot.map(|snapshot| snapshot.timestamp),
        options,
        segments,
        index: &mut index,
        report: &mut report,
        logs: Vec::new(),
        last_timestamp: base,
        damage: None,
    };
    for generation in sealed {
        if let Some(file) = open_log(directory, &sealed_log_name(generation), options)? {
            loader.load(file, Some(generation))?;
        }
    }
    let current = open_log(directory, LOG_NAME, options)?;
    let is_new = snapshot.is_none() && current.is_none();
    if let Some(file) = current {
        loader.load(file, None)?;
    }
    loader.finish()?;
    if options.read_only && is_new && loader.logs.is_empty() && !has_lock_file(directory)? {
        return Err(nothing_there(directory));
    }
    let mut clock = Clock::resume(loader.last_timestamp);
    let log = if options.read_only {
        None
    } else {
        // Only now that it is not refused: until then nothing is changed.
        for name in [UNFINISHED_NAME, NEXT_LOG_NAME].into_iter().chain(second_name.as_deref()) {
            directory.remove(name)?;
        }
        // What an earlier process created or renamed may not be durable yet, and is built on: also
        // the directory that is about to keep what is cut.
        directory.sync(Step::NamesAtOpen)?;
        loader.mend()?;
        if is_new {
            directory.sync_parent(Step::ParentAtOpen)?;
        }
        Some(resume(&mut loader, base, &mut clock)?)
    };
    let replayed = loader.logs.iter().filter(|log| log.fate == Fate::Replayed);
    let sealed =
        replayed.filter_map(|log| Some(Sealed { generation: log.sealed?, bytes: log.end }));
    let sealed = sealed.collect();
    let writer = Writer { log, index, clock, writes: 0, groups: 0, alarm: Alarm::never() };
    Ok(Recovered { writer, snapshot, sealed, report })
}

/// A writer that was killed before it made anything else leaves that, and an empty store.
fn has_lock_file(directory: &Directory) -> Result<bool> {
    Ok(directory.list()?.iter().any(|name| name == LOCK_NAME))
}

/// A path that was typed wrong should not look like an empty store.
fn nothing_there(directory: &Directory) -> Error {
    let missing = std::io::Error::from_raw_os_error(libc::ENOENT);
    Error::io("find a store in", directory.path(), missing).advise(
        "it has neither a snapshot nor a log; check the path: only opening it for writing makes one",
    )
}

/// The generations of the sealed logs, in ascending order.
fn sealed_logs(directory: &Directory) -> Result<Vec<u64>> {
    let mut sealed = Vec::new();
    for name in directory.list()? {
        let Some(digits) = sealed_log_digits(&name) else { continue };
        let generation = digits.parse().ok().filter(|&it| sealed_log_name(it) == name);
        let Some(generation) = generation else {
            let path = directory.path().join(&name);
            let message = format!(
                "{} has the name of a sealed log, and no such number as one has; nothing was \
                 changed; move the file elsewhere if it is none of the store's",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message).at(&path, None));
        };
        sealed.push(generation);
    }
    sealed.sort_unstable();
    Ok(sealed)
}

/// A process that died while it sealed the log leaves one file under both names. It goes on under
/// the name that it had. Returns the other, which has to be removed before anything is appended.
fn leave_out_second_name(directory: &Directory, sealed: &mut Vec<u64>) -> Result<Option<String>> {
    let Some(&last) = sealed.last() else { return Ok(None) };
    let name = sealed_log_name(last);
    let (one, other) = (
        directory.open_file(&name, Access::ReadOnly)?,
        directory.open_file(LOG_NAME, Access::ReadOnly)?,
    );
    if let (Some(one), Some(other)) = (one, other)
        && (1..=MAX_FILE_LEN).contains(&one.len()?)
        && one.len()? == other.len()?
        && are_the_same(
            &*one.map(0, one.len()?, Access::ReadOnly)?,
            &*other.map(0, other.len()?, Access::ReadOnly)?,
        )?
    {
        sealed.pop();
        return Ok(Some(name));
    }
    Ok(None)
}

fn open_log(directory: &Directory, name: &str, options: &Options) -> Result<Option<Arc<File>>> {
    let access = if options.read_only { Access::ReadOnly } else { Access::ReadWrite };
    Ok(directory.open_file(name, access)?.map(Arc::new))
}

fn load_snapshot(
    directory: &Directory,
    segments: &Segments,
    index: &mut IndexWriter,
    report: &mut RecoveryReport,
) -> Result<Option<SnapshotInForce>> {
    let Some(loaded) = snapshot::load(directory)? else { return Ok(None) };
    index.presize(loaded.header.count as usize)?;
    let segment = install(segments, &loaded.mapping, loaded.mapping.path())?;
    let mut replay = Replay::of_snapshot(index, segment);
    loaded.for_each(|at, run| replay.push(Operation::Set, run, at))?;
    replay.finish()?;
    report.snapshot_records = u64::from(loaded.header.count);
    let bytes = loaded.mapping.len() as u64;
    Ok(Some(SnapshotInForce { segment, bytes, timestamp: loaded.header.timestamp }))
}

fn install(segments: &Segments, mapping: &Arc<Mapping>, path: &Path) -> Result<SegmentId> {
    segments.install(mapping.clone()).ok_or_else(|| {
        let message = format!("no number left to map {}", path.display());
        Error::new(ErrorKind::TooLarge, message).at(path, None)
    })
}

/// Puts an empty log in the place of whatever log there is, durably. A new file, never a shortened one:
/// a reader of an earlier handle may still have the old one mapped.
pub(crate) fn replace_log(directory: &Directory, step: Step) -> Result<Arc<File>> {
    directory.remove(LOG_NAME)?;
    let file = directory.create_file(LOG_NAME)?;
    directory.sync(step)?;
    Ok(Arc::new(file))
}

/// Opens the log that is to be appended to. If there is none, or one that is not replayed because
/// the snapshot has it or what it continues is lost, an empty one takes its place.
fn resume(loader: &mut Loader<'_>, base: i64, clock: &mut Clock) -> Result<Log> {
    let directory = loader.directory;
    let is_current = |log: &LoadedLog| log.sealed.is_none() && log.fate == Fate::Replayed;
    let current = loader.logs.pop_if(|log| is_current(log));
    // First, so that the sync of the names makes it durable: a broken log that came back could take
    // along what is begun in its stead.
    loader.remove_useless()?;
    let file = match &current {
        Some(log) => log.file.clone(),
        None => replace_log(directory, Step::NewLogAtOpen)?,
    };
    let health = Arc::<Health>::default();
    let mut before = Before::default();
    let mut continues = None;
    for log in loader.logs.iter_mut().filter(|log| log.fate == Fate::Replayed) {
        let generation = log.sealed.unwrap_or_default();
        continues = Some(Continues { generation, end: log.end, synced: log.vouched() });
        if let Some(unvouched) = log.unvouched.take() {
            let file = log.file.clone();
            let syncer = Syncer::new(health.clone(), file, Some(unvouched), Before::default());
            before.logs.push(Arc::new(syncer));
        }
    }
    let mark = current.as_ref().and_then(|log| log.mark);
    let generation = mark.map(|mark| mark.generation).filter(|&own| loader.is_in_place(own));
    let end = current.as_ref().map_or(0, |log| log.end);
    let ends_with_mark = current.as_ref().is_none_or(|log| log.ends_with_mark);
    let vouched = ends_with_mark && before.is_empty();
    let mut tick = || clock.tick(Clock::now()).unsigned_abs();
    let generation = generation.unwrap_or_else(&mut tick);
    let resume = Resume {
        end,
        marked: mark.is_some() || end == 0,
        mark: mark.unwrap_or(Mark { generation, base }),
        generation,
        unvouched: current.and_then(|log| log.unvouched),
        ends_with_mark,
        continues,
        before,
        health,
    };
    let sync = loader.options.durability == Durability::Sync;
    let allocation = Allocation::below(loader.options.checkpoint_at.limit(0));
    let mut log = Log::resume(file, resume, loader.segments.clone(), allocation, !sync)?;
    // What the last process wrote may be in the page cache only, and is about to be served.
    if sync && !vouched {
        log.sync(Step::LogAtOpen)?;
    }
    Ok(log)
}
