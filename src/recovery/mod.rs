//! Bringing a directory back: the snapshot, then the log on top of it, up to the first byte that
//! is not a valid entry. What cannot be read as an entry is kept aside and cut off before
//! anything is appended.

mod quarantine;
mod replay;
mod report;

pub use report::RecoveryReport;

use std::path::Path;
use std::sync::Arc;

use crate::commit::{Clock, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::{Access, Directory, File, MAX_FILE_LEN, Mapping, SegmentId, Segments};
use crate::options::{Durability, Options};
use crate::record::{LOG_RUN_OFFSET, Mark, Operation, decode_log_entry, log_entry_len};
use crate::snapshot::{self, SNAPSHOT_NAME, UNFINISHED_NAME};
use crate::wal::{LOG_NAME, Log, LogEnd, Resume, scan};
use replay::Replay;

/// A directory brought back.
pub(crate) struct Recovered {
    pub(crate) writer: Writer,
    pub(crate) snapshot: Option<SnapshotInForce>,
    pub(crate) report: RecoveryReport,
}

/// The snapshot that the open store builds on.
#[derive(Clone, Copy)]
pub(crate) struct SnapshotInForce {
    pub(crate) segment: SegmentId,
    pub(crate) bytes: u64,
    timestamp: i64,
}

/// Where a log goes on, and when its last entry was written.
struct LogState {
    end: u64,
    mark: Option<Mark>,
    last_timestamp: i64,
}

const EMPTY_LOG: LogState = LogState { end: 0, mark: None, last_timestamp: 0 };

/// Reads what `directory` holds. Unless the options say read-only, also makes it ready to be
/// written to: removes an unfinished snapshot, cuts a torn tail off, creates the log.
pub(crate) fn recover(
    directory: &dyn Directory,
    options: &Options,
    segments: &Arc<Segments>,
) -> Result<Recovered> {
    refuse_sealed_logs(directory)?;
    if !options.read_only {
        directory.remove(UNFINISHED_NAME)?;
    }
    let mut report = RecoveryReport::default();
    let mut index = IndexWriter::new(segments.clone());
    let snapshot = load_snapshot(directory, segments, &mut index, &mut report)?;
    let base = snapshot.map_or(0, |snapshot| snapshot.timestamp);

    let access = if options.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let file: Option<Arc<dyn File>> = directory.open(LOG_NAME, access)?.map(Arc::from);
    let state = match &file {
        Some(file) => load_log(directory, file, base, options, segments, &mut index, &mut report)?,
        None => Some(EMPTY_LOG),
    };
    let last_timestamp = state.as_ref().map_or(0, |state| state.last_timestamp).max(base);
    let mut clock = Clock::resume(last_timestamp);
    let log = if options.read_only {
        None
    } else {
        // What an earlier process renamed or created may not be durable yet, and is built on.
        directory.sync()?;
        if snapshot.is_none() && file.is_none() {
            directory.sync_parent()?;
        }
        let (file, state) = match (file, state) {
            (Some(file), Some(state)) => (file, state),
            // There is none, or the snapshot covers it: then a process died between putting the
            // snapshot in force and replacing the log.
            _ => (replace_log(directory)?, EMPTY_LOG),
        };
        let marked = state.mark.is_some() || state.end == 0;
        let mark = state
            .mark
            .unwrap_or_else(|| Mark { generation: clock.tick(Clock::now()).unsigned_abs(), base });
        let resume = Resume { end: state.end, mark, marked };
        Some(resume_log(file, resume, options, segments)?)
    };
    let writer = Writer { log, index, clock, writes: 0, groups: 0 };
    Ok(Recovered { writer, snapshot, report })
}

/// Logs that were sealed for a checkpoint are of a version that has those.
fn refuse_sealed_logs(directory: &dyn Directory) -> Result<()> {
    for name in directory.list()? {
        let generation = name.strip_prefix("wal-").and_then(|rest| rest.strip_suffix(".log"));
        if generation.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
            let path = directory.path().join(&name);
            let message = format!(
                "{} is a sealed log, which this version does not know; open the directory with \
                 the version that wrote it",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message).at(&path, None));
        }
    }
    Ok(())
}

fn load_snapshot(
    directory: &dyn Directory,
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

/// Replays the log in `file`. `None` when the snapshot with timestamp `base` covers it.
fn load_log(
    directory: &dyn Directory,
    file: &Arc<dyn File>,
    base: i64,
    options: &Options,
    segments: &Segments,
    index: &mut IndexWriter,
    report: &mut RecoveryReport,
) -> Result<Option<LogState>> {
    let len = file.len()?;
    if len == 0 {
        return Ok(Some(EMPTY_LOG));
    }
    if len > MAX_FILE_LEN {
        let what = format!("the file has {len} bytes, more than the {MAX_FILE_LEN} it may have");
        return Err(Error::corrupt(file.path(), 0, what));
    }
    let mapping = file.map(0, len, Access::ReadOnly)?;
    let mark = opening_mark(&mapping)?;
    if let Some(mark) = mark {
        if mark.base > base {
            let what = format!(
                "it builds on a snapshot of time {}, and {SNAPSHOT_NAME} is missing or older; \
                 nothing was changed; put that snapshot back",
                mark.base
            );
            return Err(Error::corrupt(file.path(), 0, what));
        }
        // Entries newer than the snapshot come from a program that does not know marks; the
        // whole log can be replayed over the snapshot, since it begins before it.
        if mark.base < base && latest_timestamp(&mapping)? <= base {
            return Ok(None);
        }
    }
    let segment = install(segments, &mapping, file.path())?;
    let mut state = LogState { end: 0, mark, last_timestamp: 0 };
    // Without the memory for it, replay gets as far as it really needs to.
    let _presized = index.presize(estimate_entries(&mapping)?).is_ok();
    let mut replay = Replay::of_log(index, segment);
    let log_end = scan(&mapping, |at, operation, entry| {
        state.last_timestamp = state.last_timestamp.max(entry.timestamp);
        if operation != Operation::Mark {
            report.log_records += 1;
            replay.push(operation, entry.run, at + LOG_RUN_OFFSET)?;
        }
        Ok(())
    })?;
    replay.finish()?;
    // Most of the entries may have been overwrites and deletes.
    index.shrink()?;
    state.end = log_end.offset;
    if log_end.garbage > 0 {
        report.bytes_cut = log_end.garbage;
        report.cut_offset = Some(log_end.offset);
        report.cut_reason = log_end.reason.map(|reason| reason.to_string());
        report.damaged = log_end.vouched > log_end.offset;
        if report.damaged && options.strict_recovery {
            return Err(refuse_damage(file.path(), log_end));
        }
        if !options.read_only {
            report.quarantine = Some(quarantine::cut(directory, &**file, &mapping, log_end)?);
        }
    }
    Ok(Some(state))
}

fn refuse_damage(path: &Path, end: LogEnd) -> Error {
    let what = format!(
        "synced data is damaged: {} bytes lie from here on, of which {} had reached the disk; \
         nothing was changed; restore a backup, or open without strict recovery to keep what is \
         before",
        end.garbage,
        end.vouched - end.offset
    );
    Error::corrupt(path, end.offset, what)
}

/// The time of the latest entry of a log, 0 when it has none.
fn latest_timestamp(log: &Mapping) -> Result<i64> {
    let mut latest = 0;
    scan(log, |_, _, entry| {
        latest = latest.max(entry.timestamp);
        Ok(())
    })?;
    Ok(latest)
}

/// About how many entries the log has, judged by those at its beginning; no more than entries of
/// that size fit into the file.
fn estimate_entries(log: &Mapping) -> Result<usize> {
    const SAMPLE: usize = 256 << 10;
    let sample = SAMPLE.min(log.len());
    log.load(0, sample)?;
    let bytes = log.bytes(0, sample).unwrap_or_default();
    let (mut at, mut entries) = (0, 0);
    while let Ok(entry) = decode_log_entry(&bytes[at..]) {
        at += entry.encoded_len();
        entries += 1;
    }
    // Nothing to go by when the first entry is longer than the sample.
    Ok(at.checked_div(entries).map_or(0, |mean| log.len() / mean))
}

/// The mark that opens a log, unless the Go store wrote it.
fn opening_mark(log: &Mapping) -> Result<Option<Mark>> {
    let len = log_entry_len(0, Mark::LEN).min(log.len());
    log.load(0, len)?;
    let mark = decode_log_entry(log.bytes(0, len).unwrap_or_default())
        .ok()
        .filter(|entry| Operation::from_code(entry.operation) == Some(Operation::Mark))
        .and_then(|entry| Mark::decode(entry.run.value));
    Ok(mark)
}

/// Puts an empty log in the place of whatever log there is. A new file, never a shortened one:
/// a reader of an earlier handle may still have the old one mapped.
pub(crate) fn replace_log(directory: &dyn Directory) -> Result<Arc<dyn File>> {
    directory.remove(LOG_NAME)?;
    let file = directory.create(LOG_NAME)?;
    directory.sync()?;
    Ok(Arc::from(file))
}

fn resume_log(
    file: Arc<dyn File>,
    resume: Resume,
    options: &Options,
    segments: &Arc<Segments>,
) -> Result<Log> {
    let sync = options.durability == Durability::Sync;
    let was_used = resume.end > 0;
    let mut log = Log::resume(file, resume, segments.clone(), !sync)?;
    // What the last process wrote may be in the page cache only, and is about to be served.
    if sync && was_used {
        log.sync()?;
    }
    Ok(log)
}
