//! Writing the snapshot.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::seal::AtSeal;
use super::{Checkpoint, Files};
use crate::error::{Error, Result};
use crate::index::Move;
use crate::io::{Location, Mapping, SegmentId, SegmentSet, Step};
use crate::ordered::OrderedRun;
use crate::recovery::SnapshotInForce;
use crate::snapshot::{DurableSnapshot, Note, SnapshotWriter, UNFINISHED_NAME, WrittenSnapshot};
use crate::sync::{is_parallel, join};
use crate::wal::{LOG_NAME, sealed_log_name};

/// For fewer records no second thread is started while the snapshot is synced.
const MANY: usize = 16 << 10;

/// Bytes that are brought near at once.
const STEP: usize = 4 << 20;

/// A snapshot in force, and mapped.
pub(super) struct Copied {
    pub(super) mapping: Arc<Mapping>,
    pub(super) segment: SegmentId,
    /// For each of its records, those of one shard together.
    pub(super) moves: Vec<Move>,
}

impl Note for Move {
    #[inline]
    fn shifted(self, bytes: u64) -> Move {
        Move::shifted(self, bytes)
    }
}

/// A snapshot that may be put in force.
struct Settled {
    written: WrittenSnapshot,
    durable: DurableSnapshot,
    mapping: Arc<Mapping>,
    moves: Vec<Move>,
}

impl Copied {
    pub(super) fn bytes(&self) -> u64 {
        self.mapping.len() as u64
    }
}

impl Checkpoint<'_> {
    /// Writes the records as of the seal to a snapshot and puts that in force.
    pub(super) fn copy(&self, sealed: &mut AtSeal) -> Result<Copied> {
        if let Some(log) = &mut sealed.log {
            // It may be what the snapshot needs. Best effort: it is given back later anyway.
            let _released = log.release_reserve().is_ok();
        }
        let settled = self.write(sealed).and_then(|(written, moves)| self.settle(written, moves));
        let Settled { written, durable, mapping, moves } =
            settled.inspect_err(|_| self.give_up())?;
        let files = self.checkpoints.files();
        Files::sync_unmarked(files).inspect_err(|_| self.give_up())?;
        let (bytes, timestamp) = (mapping.len() as u64, sealed.timestamp);
        // Before it is in force, when nothing depends on it.
        let Some(segment) = self.segments.install(mapping.clone()) else {
            self.give_up();
            return Err(written.no_number_left());
        };
        self.checkpoints.files().lock().snapshots.insert(segment);
        let in_force = durable.put_in_force(self.directory);
        if let Err(error) = in_force.and_then(|()| self.sync_names(Step::SnapshotName)) {
            let mut own = SegmentSet::default();
            own.insert(segment);
            self.segments.retire(own);
            self.segments.leave_retired();
            self.checkpoints.files().lock().snapshots.remove(segment);
            // If it was renamed already, either snapshot opens to the same.
            self.give_up();
            return Err(error);
        }
        let mut files = self.checkpoints.files().lock();
        files.snapshot = Some(SnapshotInForce { segment, bytes, timestamp });
        files.unmarked = None;
        drop(files);
        self.forget_before();
        Ok(Copied { mapping, segment, moves })
    }

    fn give_up(&self) {
        // Best effort: it may be what fills the disk, and the next one overwrites it anyway.
        let _removed = self.directory.remove(UNFINISHED_NAME).is_ok();
    }

    /// Writes all of the snapshot. Returns where each record was and is.
    fn write(&self, sealed: &AtSeal) -> Result<(WrittenSnapshot, Vec<Move>)> {
        let ordered = &sealed.ordered;
        let snapshots = self.checkpoints.files().lock().snapshots;
        let mut snapshot = SnapshotWriter::create(self.directory, sealed.timestamp, ordered.len())?;
        self.checkpoints.begin(ordered.len() as u64);
        let note = |key: &[u8], from: Location, to| Move::new(self.index.hash(key), from, to);
        let mut copied = 0;
        let moves = snapshot.copy_noting(ordered, &snapshots, note, &mut |more| {
            copied += more.records as u64;
            self.checkpoints.reached(copied);
            self.check_wanted()
        });
        let moves = moves.map_err(|error| self.name_sealed(error, sealed))?;
        Ok((snapshot.finish()?, moves))
    }

    /// Makes the snapshot durable, and what follows ready: it is mapped, and the moves are grouped. If
    /// there are many, by another thread while this one waits for the disk; which for as long as that
    /// takes also brings the pages near, so that readers need not.
    fn settle(&self, written: WrittenSnapshot, mut moves: Vec<Move>) -> Result<Settled> {
        let (is_many, is_synced) = (moves.len() >= MANY, AtomicBool::new(false));
        let sync = || {
            let synced = written.sync();
            // Relaxed: when the other thread sees it does not matter.
            is_synced.store(true, Ordering::Relaxed);
            synced
        };
        let mut prepare = || {
            Move::group(&mut moves);
            let mapping = written.map()?;
            let steps = (0..mapping.len()).step_by(STEP);
            for at in steps.take_while(|_| !is_synced.load(Ordering::Relaxed)) {
                mapping.load(at, STEP)?;
            }
            Ok(mapping)
        };
        let (durable, mapping) = if is_many && is_parallel() {
            join(sync, prepare)
        } else {
            let durable = sync()?;
            (Ok(durable), prepare())
        };
        let (durable, mapping) = (durable?, mapping?);
        // After a failed sync nothing is to be made of what the page cache has.
        match &self.committer.lock().log {
            Some(log) => log.syncer().check()?,
            None => self.check_wanted()?,
        }
        Ok(Settled { written, durable, mapping, moves })
    }

    /// The log was mapped under another name than it has by now.
    fn name_sealed(&self, error: Error, sealed: &AtSeal) -> Error {
        let is_log = |path: &Path| path.file_name().is_some_and(|name| name == LOG_NAME);
        match &sealed.log {
            Some(log) if error.path().is_some_and(is_log) => {
                let path = self.directory.path().join(sealed_log_name(log.generation));
                let offset = error.offset();
                error.at(&path, offset)
            }
            _ => error,
        }
    }

    /// The snapshot is durable, and with it the names in the directory: the log waits for nothing
    /// that it continues any more.
    fn forget_before(&self) {
        let syncer = match &mut self.committer.lock().log {
            Some(log) => {
                log.settle();
                log.syncer().clone()
            }
            None => return,
        };
        syncer.forget_before();
    }
}

/// Writes every live record, `ordered`, to a new snapshot. No write is under way. After an error the
/// old snapshot or the new one is in force.
pub(crate) fn write_at_rest(
    directory: &crate::io::Directory,
    ordered: &OrderedRun,
    timestamp: i64,
    snapshots: &SegmentSet,
) -> Result<()> {
    let write = || {
        let mut snapshot = SnapshotWriter::create(directory, timestamp, ordered.len())?;
        snapshot.copy(ordered, snapshots, &mut |_| Ok(()))?;
        snapshot.finish()?.sync()?.put_in_force(directory)?;
        directory.sync(Step::SnapshotName)
    };
    write().inspect_err(|_| {
        // Best effort: it may be what fills the disk, and the next open removes it anyway.
        let _removed = directory.remove(UNFINISHED_NAME).is_ok();
    })
}
