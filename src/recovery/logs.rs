//! The logs of a directory in their order: the sealed ones, then the one that is appended to.
//!
//! All are read before anything is changed, so that strict recovery can refuse. What a log
//! continues must be there, all of it; if not, nothing of it or behind it is replayed, since that
//! would be a hole: it is kept in quarantine, as a torn end is.

use std::path::Path;
use std::sync::Arc;

use super::quarantine;
use super::replay::Replay;
use super::report::Cut;
use super::standing::{Preceding, bytes_there, goes_on};
use super::{RecoveryReport, Standing, install};
use crate::error::{Error, Result};
use crate::index::IndexWriter;
use crate::io::{Access, Directory, File, LoadedBytes, MAX_FILE_LEN, Mapping, Segments};
use crate::options::Options;
use crate::record::{Continues, LOG_RUN_OFFSET, Mark, Operation, decode_log_entry, log_entry_len};
use crate::snapshot::SNAPSHOT_NAME;
use crate::wal::{LOG_NAME, LogEnd, Unvouched, scan, sealed_log_name};

/// What becomes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Replayed,
    /// The snapshot has all of it.
    Covered,
    /// What it continues is not all there.
    Broken,
}

/// A log that was read.
pub(super) struct LoadedLog {
    pub(super) fate: Fate,
    pub(super) file: Arc<File>,
    /// `None` for the one that is appended to.
    pub(super) sealed: Option<u64>,
    pub(super) mark: Option<Mark>,
    pub(super) continues: Option<Continues>,
    /// Bytes of valid entries.
    pub(super) end: u64,
    /// What no mark vouches for, be it the last mark itself.
    pub(super) unvouched: Option<Unvouched>,
    /// Whether a mark ends it.
    pub(super) ends_with_mark: bool,
    /// Whether a mark in it says that what it continues had reached the disk.
    vouches_before: bool,
    mapping: Option<Arc<Mapping>>,
    /// What is to be kept in quarantine.
    garbage: Option<LogEnd>,
}

impl LoadedLog {
    fn name(&self) -> String {
        self.sealed.map_or_else(|| LOG_NAME.to_owned(), sealed_log_name)
    }

    /// How many of its bytes are known to be on the disk.
    pub(super) fn vouched(&self) -> u64 {
        self.unvouched.as_ref().map_or(self.end, |unvouched| unvouched.range.start as u64)
    }
}

/// Reads logs one after the other.
pub(super) struct Loader<'a> {
    pub(super) directory: &'a Directory,
    /// The time of the snapshot, if there is one.
    pub(super) snapshot: Option<i64>,
    pub(super) options: &'a Options,
    pub(super) segments: &'a Arc<Segments>,
    pub(super) index: &'a mut IndexWriter,
    pub(super) report: &'a mut RecoveryReport,
    pub(super) logs: Vec<LoadedLog>,
    /// The latest entry of all.
    pub(super) last_timestamp: i64,
    /// What strict recovery refuses the directory for, if no log is of a newer version.
    pub(super) damage: Option<Error>,
}

/// What stands at the beginning of a log.
struct Beginning {
    mark: Option<Mark>,
    /// When it was begun, if a mark opens it.
    begun: Option<i64>,
    continues: Option<Continues>,
}

impl Loader<'_> {
    /// Reads the log in `file`, the sealed one of generation `sealed` or the one appended to.
    pub(super) fn load(&mut self, file: Arc<File>, sealed: Option<u64>) -> Result<()> {
        let len = file.len()?;
        // What is begun or written from now on is later than that.
        let named = sealed.map_or(i64::MIN, |sealed| i64::try_from(sealed).unwrap_or(i64::MAX));
        self.last_timestamp = self.last_timestamp.max(named);
        let mut log = LoadedLog {
            fate: Fate::Replayed,
            file,
            sealed,
            mark: None,
            continues: None,
            end: 0,
            unvouched: None,
            ends_with_mark: true,
            vouches_before: false,
            mapping: None,
            garbage: None,
        };
        if len == 0 {
            log.fate = self.fate_of_empty(sealed);
            self.logs.push(log);
            return Ok(());
        }
        if len > MAX_FILE_LEN {
            let what =
                format!("the file has {len} bytes, more than the {MAX_FILE_LEN} it may have");
            return Err(Error::corrupt(log.file.path(), 0, what));
        }
        let mapping = log.file.map(0, len, Access::ReadOnly)?;
        let beginning = beginning(&mapping)?;
        (log.mark, log.continues) = (beginning.mark, beginning.continues);
        log.mapping = Some(mapping.clone());
        match self.standing(&mapping, &beginning, sealed)? {
            Standing::Replayed if self.is_broken(log.continues) => self.load_broken(&mut log)?,
            Standing::Replayed => self.replay(&mut log, &mapping)?,
            Standing::SnapshotMissing => {
                let base = log.mark.map_or(0, |mark| mark.base);
                let what = format!(
                    "it builds on a snapshot of time {base}, and {SNAPSHOT_NAME} is missing or \
                     older; nothing was changed; put that snapshot back"
                );
                return Err(Error::corrupt(log.file.path(), 0, what));
            }
            Standing::Covered => {
                log.fate = Fate::Covered;
                // The snapshot has what its garbage was, but nothing is destroyed by recovering.
                let end = scan(&mapping, |_, _, _| Ok(()))?;
                log.garbage = Some(end).filter(|end| end.garbage > 0);
            }
        }
        if let Some(end) = log.garbage {
            self.note_cut(&log, end);
        }
        self.logs.push(log);
        Ok(())
    }

    /// An empty log is in its place in the order as any other: behind a hole it does not close it.
    fn fate_of_empty(&self, sealed: Option<u64>) -> Fate {
        match sealed {
            Some(generation) if Standing::is_covered(generation, self.snapshot) => Fate::Covered,
            // Also the log that is appended to: replacing it makes durable that what is before it goes.
            _ if self.is_broken(None) => Fate::Broken,
            _ => Fate::Replayed,
        }
    }

    fn standing(
        &self,
        mapping: &Mapping,
        beginning: &Beginning,
        sealed: Option<u64>,
    ) -> Result<Standing> {
        if let Some(generation) = sealed {
            return Ok(Standing::of_sealed(generation, beginning.mark, self.snapshot));
        }
        Standing::of(beginning.mark, self.snapshot, || match beginning.begun {
            // Later than that are all its entries.
            Some(begun) if self.snapshot.is_some_and(|snapshot| begun > snapshot) => Ok(begun),
            _ => latest_timestamp(mapping),
        })
    }

    /// Whether a log that continues so is not to be replayed, because something before it is missing.
    ///
    /// One that says what it continues is asked about that alone: a broken log, should it be back or
    /// was it put back, takes nothing along that was begun in its stead.
    fn is_broken(&self, continues: Option<Continues>) -> bool {
        let before = self.logs.iter().rev().find(|log| log.fate != Fate::Covered);
        if continues.is_none() && before.is_some_and(|before| before.fate == Fate::Broken) {
            return true;
        }
        !goes_on(continues, self.last_replayed(), self.snapshot)
    }

    fn last_replayed(&self) -> Option<Preceding> {
        let last = self.logs.iter().rev().find(|log| log.fate == Fate::Replayed)?;
        let has_garbage = last.garbage.is_some();
        Some(Preceding { generation: last.sealed, end: last.end, has_garbage })
    }

    /// Reads a log that is not to be replayed: all of it is cut.
    fn load_broken(&mut self, log: &mut LoadedLog) -> Result<()> {
        let Some(mapping) = &log.mapping else { return Ok(()) };
        log.fate = Fate::Broken;
        let mut last_mark = 0;
        let end = scan(mapping, |at, _, entry| {
            if entry.mark().is_some() {
                last_mark = at as u64;
            }
            Ok(())
        })?;
        let used = end.offset + end.garbage;
        let before = self.last_replayed();
        let lacks_synced = log
            .continues
            .is_some_and(|continues| continues.synced > bytes_there(continues, before));
        // A log is synced only after what it continues.
        let vouched = last_mark.max(end.vouched);
        if lacks_synced || vouched > 0 {
            let all = LogEnd { offset: 0, garbage: used, vouched, ..end };
            self.note_damage(log.file.path(), all);
        }
        log.garbage =
            Some(LogEnd { offset: 0, garbage: used, ..end }).filter(|end| end.garbage > 0);
        Ok(())
    }

    fn replay(&mut self, log: &mut LoadedLog, mapping: &Arc<Mapping>) -> Result<()> {
        let segment = install(self.segments, mapping, log.file.path())?;
        // Without the memory for it, replay gets as far as it really needs to.
        let _presized = self.index.presize(estimate_entries(mapping)?).is_ok();
        let mut last_mark = 0..0;
        let Loader { index, report, last_timestamp, .. } = self;
        let mut replay = Replay::of_log(index, segment);
        let log_end = scan(mapping, |at, operation, entry| {
            *last_timestamp = (*last_timestamp).max(entry.timestamp);
            if entry.mark().is_some() {
                last_mark = at..at + entry.encoded_len();
            }
            if matches!(operation, Operation::Set | Operation::Delete) {
                report.log_records += 1;
                replay.push(operation, entry.run, at + LOG_RUN_OFFSET)?;
            }
            Ok(())
        })?;
        replay.finish()?;
        // Most of the entries may have been overwrites and deletes.
        self.index.shrink()?;
        self.report.sealed_logs += u64::from(log.sealed.is_some());
        log.end = log_end.offset;
        log.ends_with_mark = last_mark.end as u64 == log.end;
        log.vouches_before = last_mark.start > 0;
        // The last mark vouches for what is before it, not for itself.
        let range = last_mark.start..log.end as usize;
        log.unvouched = Some(Unvouched { mapping: mapping.clone(), range });
        if log_end.garbage > 0 {
            log.garbage = Some(log_end);
            if log_end.vouched > log_end.offset {
                self.note_damage(log.file.path(), log_end);
            }
        }
        Ok(())
    }

    fn note_damage(&mut self, path: &Path, end: LogEnd) {
        self.report.damaged = true;
        let what = format!(
            "synced data is damaged: {} bytes lie from here on, of which {} had reached the disk; \
             nothing was changed; restore a backup, or open without strict recovery to keep what \
             is before",
            end.garbage,
            end.vouched.saturating_sub(end.offset)
        );
        self.damage.get_or_insert_with(|| Error::corrupt(path, end.offset, what));
    }

    fn note_cut(&mut self, log: &LoadedLog, end: LogEnd) {
        let report = &mut *self.report;
        if report.cuts.is_empty() {
            report.cut_log = Some(log.file.path().to_path_buf());
            report.cut_offset = Some(end.offset);
            report.cut_reason = match (log.fate, log.continues) {
                (Fate::Broken, Some(continues)) => Some(format!(
                    "it continues {} from offset {} on, which is not all there",
                    sealed_log_name(continues.generation),
                    continues.end
                )),
                _ => end.reason.map(|reason| reason.to_string()),
            };
        }
        report.bytes_cut += end.garbage;
        report.cuts.push(Cut { name: log.name(), offset: end.offset, len: end.garbage });
    }

    /// Once all logs have been read: which of them are on the disk follows from those behind them.
    ///
    /// # Errors
    /// Under strict recovery, what was found to be damaged.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(damage) = self.damage.take().filter(|_| self.options.strict_recovery) {
            return Err(damage);
        }
        let mut all_before = false;
        let mut behind: Option<Continues> = None;
        let replayed = self.logs.iter_mut().filter(|log| log.fate == Fate::Replayed);
        for log in replayed.rev() {
            // What goes on elsewhere tells nothing of this one, nor of those before it.
            let behind_it = behind.filter(|behind| log.sealed == Some(behind.generation));
            all_before &= behind_it.is_some();
            let synced = behind_it.map_or(0, |behind| behind.synced);
            if log.sealed.is_some() && (all_before || log.end <= synced) {
                log.unvouched = None;
            }
            all_before |= log.vouches_before;
            behind = log.continues;
        }
        Ok(())
    }

    /// Whether the log that is appended to can be sealed under this generation, which its marks say:
    /// later than everything before it, or it would be replayed out of turn or taken for covered, and
    /// no later than its entries, or it would not be covered by a snapshot of them. Only another
    /// program writes marks of which that is not true.
    pub(super) fn is_in_place(&self, generation: u64) -> bool {
        let sealed = self.logs.iter().filter_map(|log| log.sealed).max();
        let snapshot = i128::from(self.snapshot.unwrap_or(0));
        sealed.is_none_or(|sealed| sealed < generation)
            && (snapshot + 1..=i128::from(self.last_timestamp)).contains(&i128::from(generation))
    }

    /// Keeps what is cut from the logs, and cuts it; removes sealed logs that are of no use any more.
    /// The log that is appended to, if it is not replayed, is left to be replaced.
    pub(super) fn mend(&mut self) -> Result<()> {
        for log in &self.logs {
            if let (Some(end), Some(mapping)) = (log.garbage, &log.mapping) {
                let kept = quarantine::keep(self.directory, mapping, &log.name(), end)?;
                self.report.quarantine.get_or_insert(kept);
            }
        }
        for log in &self.logs {
            if let (Fate::Replayed, Some(end)) = (log.fate, log.garbage) {
                quarantine::cut(&log.file, end)?;
            }
        }
        Ok(())
    }

    /// Removes the sealed logs that are of no use any more. Whether that is durable does not matter for
    /// those that the snapshot covers, which are known to be covered if they come back. Where one is
    /// broken, the log that is appended to says what it continues, and is asked about that alone; or
    /// else it is broken too, and its replacement makes this durable.
    pub(super) fn remove_useless(&self) -> Result<()> {
        let useless = self.logs.iter().filter(|log| log.fate != Fate::Replayed);
        for generation in useless.filter_map(|log| log.sealed) {
            self.directory.remove(&sealed_log_name(generation))?;
        }
        Ok(())
    }
}

/// The time of the latest entry of a log, the earliest there is when it has none.
fn latest_timestamp(log: &Mapping) -> Result<i64> {
    let mut latest = i64::MIN;
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

/// The mark that opens a log, unless the Go store wrote it, and what follows that.
fn beginning(log: &Mapping) -> Result<Beginning> {
    let len = log_entry_len(0, Mark::LEN) + log_entry_len(0, Continues::LEN);
    let len = len.min(log.len());
    log.load(0, len)?;
    let bytes = log.bytes(0, len).unwrap_or_default();
    let Ok(first) = decode_log_entry(bytes) else {
        return Ok(Beginning { mark: None, begun: None, continues: None });
    };
    let mark = first.mark();
    let second = decode_log_entry(bytes.get(first.encoded_len()..).unwrap_or_default()).ok();
    let continues = mark.and(second).and_then(|second| second.continues());
    Ok(Beginning { mark, begun: mark.map(|_| first.timestamp), continues })
}

/// Whether two logs have the same bytes: a crash amid a sealing leaves one log under both names.
pub(crate) fn are_the_same(one: &Mapping, other: &Mapping) -> Result<bool> {
    if one.len() != other.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (LoadedBytes::new(one), LoadedBytes::new(other));
    let mut compared = 0;
    while one.load_more()? && other.load_more()? {
        if one.bytes()[compared..] != other.bytes()[compared..] {
            return Ok(false);
        }
        compared = one.bytes().len();
    }
    Ok(true)
}
