//! Sealing the log: one instant up to which the snapshot is to have everything.

use crate::checkpoint::Checkpoint;
use crate::commit::{Clock, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{SegmentSet, Step};
use crate::ordered::{Instant, Keep, OrderedRun, Standing};
use crate::record::Mark;
use crate::recovery::Sealed;
use crate::wal::{Allocation, FreshLog, LOG_NAME, NEXT_LOG_NAME, SealedLog, sealed_log_name};

/// With fewer segment numbers left, what an attempt has sealed is kept for the next one, which need not
/// seal again: so there are always some left, however many attempts fail.
const FEW_NUMBERS: usize = 64;

/// With fewer no log is sealed: one is for the next log, one for the snapshot. A log that grows leaves
/// more than that ([`Segments::install_unless_last`](crate::io::Segments::install_unless_last)).
const LEAST_NUMBERS: usize = 3;

/// The store at the instant at which its log was sealed.
pub(crate) struct AtSeal {
    pub(super) ordered: OrderedRun,
    /// Later than every entry before that instant, earlier than every one after it.
    pub(super) timestamp: i64,
    /// The segments that the records are in. Nothing is added to them any more.
    pub(super) retired: SegmentSet,
    /// `None` when the log was empty, so that it goes on.
    pub(super) log: Option<SealedLog>,
}

/// What becomes of a log that is about to be sealed.
struct Sealing {
    generation: u64,
    fresh: Option<FreshLog>,
    log: Option<SealedLog>,
    at: Option<(i64, SegmentSet)>,
}

impl Checkpoint<'_> {
    /// Seals the log. `None` when there is nothing that a snapshot has not.
    pub(super) fn seal(&self) -> Result<Option<AtSeal>> {
        loop {
            let (generation, len, is_settled, is_spent) = {
                let writer = self.committer.lock();
                let Some(log) = &writer.log else { return Err(self.closed()) };
                log.syncer().check()?;
                (log.generation(), log.end(), log.is_settled(), writer.clock.is_spent())
            };
            let is_needed = {
                let files = self.checkpoints.files().lock();
                len > 0 || !files.sealed.is_empty() || files.snapshot.is_none()
            };
            if !is_needed {
                return Ok(None);
            }
            if is_spent {
                return Err(self.spent());
            }
            let mut sealing = Sealing { generation, fresh: None, log: None, at: None };
            if len > 0 {
                self.prepare(&mut sealing, len, is_settled)?;
            }
            let sealed = self.seal_at_instant(&mut sealing);
            if let Some(fresh) = sealing.fresh.take() {
                // Best effort: a second name of the log does no harm.
                fresh.abandon(self.segments);
                let _removed = self.directory.remove(NEXT_LOG_NAME).is_ok();
                let _removed = self.directory.remove(&sealed_log_name(generation)).is_ok();
            }
            match sealed {
                // It was empty, and is no longer.
                Ok(None) => {}
                sealed => return sealed,
            }
        }
    }

    /// Whether what is sealed is not to be let go of before it is in a snapshot.
    pub(super) fn is_short_of_numbers(&self) -> bool {
        self.has_fewer_numbers_than(FEW_NUMBERS)
    }

    fn has_fewer_numbers_than(&self, least: usize) -> bool {
        if self.segments.numbers_left() < least {
            self.segments.unmap_retired();
        }
        self.segments.numbers_left() < least
    }

    /// Makes the next log ready, and gives the one that is to be sealed its second name.
    fn prepare(&self, sealing: &mut Sealing, len: u64, is_settled: bool) -> Result<()> {
        if self.has_fewer_numbers_than(LEAST_NUMBERS) {
            let message = "too many files are still mapped for those who read in them; the log is \
                           not sealed until they are let go of, or the store is closed";
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let (directory, name) = (self.directory, sealed_log_name(sealing.generation));
        let allocation = Allocation::below(self.checkpoints.limit());
        let prepared = FreshLog::create(directory, self.segments, len, allocation, self.prepare);
        let fresh = prepared.inspect_err(|_| {
            let _removed = directory.remove(NEXT_LOG_NAME).is_ok();
        })?;
        // Were its second name durable and the first one not, there could be another log under that: the
        // one before it, which would be replayed once more behind it.
        let settled = if is_settled { Ok(()) } else { self.sync_names(Step::FirstName) };
        // Before the name is taken from it: the log must never be without one that is durable.
        let linked = settled.and_then(|()| directory.link(LOG_NAME, &name)).or_else(|error| {
            // Left by an attempt that failed: another name of the same file.
            if error.os_error() != Some(libc::EEXIST) {
                return Err(error);
            }
            directory.remove(&name)?;
            directory.link(LOG_NAME, &name)
        });
        match linked.and_then(|()| self.sync_names(Step::SealedName)) {
            Ok(()) => {
                sealing.fresh = Some(fresh);
                Ok(())
            }
            Err(error) => {
                fresh.abandon(self.segments);
                let _removed = directory.remove(NEXT_LOG_NAME).is_ok();
                let _removed = directory.remove(&name).is_ok();
                Err(error)
            }
        }
    }

    /// `None` when the log had to be empty and was not.
    fn seal_at_instant(&self, sealing: &mut Sealing) -> Result<Option<AtSeal>> {
        let mut standing = self.standing.lock();
        // Nobody wants the order but this: it is not kept.
        let is_kept = standing.is_kept();
        let mut raced = false;
        let ordered = standing.catch_up_anew(self.index, |keep| {
            let mut writer = self.committer.lock();
            if matches!(keep, Keep::None) {
                // Whatever has gone wrong, changes are recorded for nobody any more.
                return Ok(Instant::take(&mut writer.index, self.segments, keep));
            }
            let Some(log) = &writer.log else { return Err(self.closed()) };
            log.syncer().check()?;
            if sealing.fresh.is_none() && sealing.at.is_none() && log.end() > 0 {
                raced = true;
                return Err(Error::new(ErrorKind::Io, "a write came before the log was sealed"));
            }
            let how = if is_kept || !matches!(keep, Keep::Worthwhile) { keep } else { Keep::None };
            let instant = Instant::take(&mut writer.index, self.segments, how);
            if matches!(keep, Keep::Worthwhile) && instant.has_changes() {
                // The last one: what follows is of this instant.
                self.go_on_in_fresh(&mut writer, sealing)?;
            }
            Ok(instant)
        });
        if !is_kept {
            *standing = Standing::default();
        }
        if raced {
            return Ok(None);
        }
        let (ordered, at) = (ordered?, sealing.at.take());
        let (timestamp, retired) = at.ok_or_else(|| self.closed())?;
        Ok(Some(AtSeal { ordered, timestamp, retired, log: sealing.log.take() }))
    }

    /// In one critical section with the instant: nothing slow may be done here.
    fn go_on_in_fresh(&self, writer: &mut Writer, sealing: &mut Sealing) -> Result<()> {
        let mut retired = self.segments.all();
        let base = self.checkpoints.base();
        let goes_on = match (&sealing.fresh, &writer.log) {
            (Some(fresh), _) => Some(fresh.segment()),
            (None, Some(log)) => log.segment(),
            (None, None) => None,
        };
        if let Some(segment) = goes_on {
            retired.remove(segment);
        }
        if sealing.fresh.is_some() {
            // Not synced: that is for the first sync of the new log, or for the snapshot's.
            self.directory.rename(NEXT_LOG_NAME, LOG_NAME)?;
        }
        let now = Clock::now();
        sealing.at = Some((writer.clock.tick(now), retired));
        // Later than the snapshot, so that nobody takes it for covered.
        let mark = Mark { generation: writer.clock.tick(now).unsigned_abs(), base };
        if let Some(log) = &mut writer.log {
            match sealing.fresh.take() {
                Some(fresh) => {
                    let unmarked = (!log.is_marked()).then(|| log.syncer().clone());
                    let sealed = log.continue_in(fresh, mark, self.directory);
                    let (generation, bytes) = (sealed.generation, sealed.end);
                    let mut files = self.checkpoints.files().lock();
                    files.sealed.push(Sealed { generation, bytes });
                    files.unmarked = unmarked.or_else(|| files.unmarked.take());
                    drop(files);
                    sealing.log = Some(sealed);
                }
                None => log.begin_anew(mark),
            }
            writer.alarm.set(self.checkpoints.lengths());
        }
        Ok(())
    }

    /// The log that would go on could be taken for covered, or take the name of another.
    fn spent(&self) -> Error {
        let path = self.directory.path();
        let message = format!(
            "{} has a timestamp or the name of a sealed log that is as late as can be, so that no log \
             can be told to be later; close the store, which writes a snapshot",
            path.display()
        );
        Error::new(ErrorKind::TooLarge, message).at(path, None)
    }

    fn closed(&self) -> Error {
        let path = self.directory.path();
        let message = format!("the store {} is closed; open it again", path.display());
        Error::new(ErrorKind::Closed, message).at(path, None)
    }
}
