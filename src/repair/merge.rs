//! Applying entries to an index of the files that they are in.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::{Location, Mapping, SegmentId, SegmentSet, Segments};
use crate::ordered::OrderedRun;
use crate::record::{LOG_RUN_OFFSET, Operation};
use crate::verify::SourceFile;
use crate::verify::{Found, Ticker, Verification, survey_log, survey_snapshot};

/// What has been applied so far. The records stay where they are, in the mapped files.
pub(super) struct Merge {
    segments: Arc<Segments>,
    index: IndexWriter,
    /// The segment of the snapshot, if there is one.
    snapshots: SegmentSet,
    /// The snapshot's timestamp, where it is known: every entry of a log that builds on it is
    /// later.
    snapshot_timestamp: i64,
    snapshot_damaged: bool,
    /// The latest timestamp of all.
    pub(super) latest: i64,
    pub(super) applied: u64,
    pub(super) applied_behind: u64,
    pub(super) outdated: u64,
}

impl Merge {
    pub(super) fn new(found: &Verification) -> Merge {
        let segments = Arc::new(Segments::new());
        let timestamp = found.snapshot.as_ref().and_then(|snapshot| snapshot.timestamp);
        let snapshot_timestamp = timestamp.unwrap_or(i64::MIN);
        Merge {
            index: IndexWriter::new(segments.clone()),
            segments,
            snapshots: SegmentSet::default(),
            snapshot_timestamp,
            snapshot_damaged: found.is_snapshot_damaged(),
            latest: snapshot_timestamp.max(0),
            applied: 0,
            applied_behind: 0,
            outdated: 0,
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.index.index().len() as u64
    }

    pub(super) fn apply_snapshot(
        &mut self,
        file: &SourceFile,
        behind: bool,
        ticker: &mut Ticker<'_>,
    ) -> Result<()> {
        let Some(mapping) = &file.mapping else { return Ok(()) };
        let segment = self.install(mapping, &file.path)?;
        self.snapshots.insert(segment);
        let mut report = Verification::default();
        survey_snapshot(file, &mut report, ticker, |at, run, is_behind| {
            if is_behind && !behind {
                return Ok(());
            }
            self.apply(Operation::Set, run.key, Location::new(segment, at), is_behind)
        })?;
        Ok(())
    }

    pub(super) fn apply_log(
        &mut self,
        file: &SourceFile,
        behind: bool,
        ticker: &mut Ticker<'_>,
    ) -> Result<()> {
        let Some(mapping) = &file.mapping else { return Ok(()) };
        let segment = self.install(mapping, &file.path)?;
        let mut report = Verification::default();
        survey_log(file, &mut report, ticker, &mut |found| {
            if found.behind && !behind {
                return Ok(());
            }
            self.latest = self.latest.max(found.entry.timestamp);
            if self.is_outdated(&found) {
                self.outdated += u64::from(found.is_write());
                return Ok(());
            }
            let location = Location::new(segment, found.at + LOG_RUN_OFFSET);
            self.apply(found.operation, found.entry.run.key, location, found.behind)
        })?;
        Ok(())
    }

    /// Whether an entry behind damage is older than the snapshot, which then has its effect. If the
    /// snapshot is damaged, the entry may still fill in what is missing.
    fn is_outdated(&self, found: &Found<'_>) -> bool {
        if !found.behind || found.entry.timestamp > self.snapshot_timestamp {
            return false;
        }
        let key = found.entry.run.key;
        let fills_in = self.snapshot_damaged
            && found.operation == Operation::Set
            && !self.index.contains(self.index.index().hash(key), key);
        !fills_in
    }

    fn apply(
        &mut self,
        operation: Operation,
        key: &[u8],
        location: Location,
        behind: bool,
    ) -> Result<()> {
        let hash = self.index.index().hash(key);
        match operation {
            Operation::Mark | Operation::Batch | Operation::Continues => return Ok(()),
            Operation::Set => {
                self.index.reserve(hash)?;
                self.index.set(hash, key, location);
            }
            Operation::Delete => {
                self.index.reserve(hash)?;
                self.index.delete(hash, key, location);
            }
        }
        self.applied += 1;
        self.applied_behind += u64::from(behind);
        Ok(())
    }

    fn install(&self, mapping: &Arc<Mapping>, path: &Path) -> Result<SegmentId> {
        self.segments.install(mapping.clone()).ok_or_else(|| {
            let message =
                format!("no number left to map {}; there are too many logs", path.display());
            Error::new(ErrorKind::TooLarge, message).at(path, None)
        })
    }

    /// The records in order of key, and which of the files is the snapshot.
    pub(super) fn sort(self) -> Result<(OrderedRun, SegmentSet)> {
        let ordered = OrderedRun::of(&self.index, self.segments.pins())?;
        Ok((ordered, self.snapshots))
    }
}
