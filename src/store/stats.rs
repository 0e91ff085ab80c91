//! Figures about an open store.

use std::sync::atomic::Ordering;

use super::Store;
use crate::recovery::RecoveryReport;

/// Figures about an open store, at about one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of keys.
    pub records: u64,
    /// Bytes of entries in the logs that no snapshot has yet.
    pub log_bytes: u64,
    /// How many logs there are besides the one that is appended to: one while a checkpoint runs, more
    /// after some have failed.
    pub sealed_logs: u64,
    /// Bytes of the snapshot in force.
    pub snapshot_bytes: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Bytes of memory that the order of keys takes, and what was written since it was last
    /// needed; 0 as long as nobody has scanned or taken a view. See [`Store::view`].
    pub view_bytes: u64,
    /// Writes committed since the store was opened.
    pub writes: u64,
    /// Groups that they were committed in: see [`records_per_group`](Stats::records_per_group).
    pub groups: u64,
    /// Syncs of the logs since the store was opened.
    pub syncs: u64,
    /// Checkpoints that have written a snapshot since the store was opened.
    pub checkpoints: u64,
    /// Bytes of those snapshots.
    pub checkpoint_bytes: u64,
    /// Checkpoints that have failed.
    pub checkpoints_failed: u64,
    /// Why the last checkpoint failed; `None` if it did not.
    pub checkpoint_error: Option<String>,
    /// Whether one runs.
    pub checkpoint_running: bool,
    /// How many records that one has copied.
    pub checkpoint_records: u64,
    /// How many it is going to copy; 0 until that is known.
    pub checkpoint_records_total: u64,
    /// What opening the store found and did.
    pub recovery: RecoveryReport,
}

impl Stats {
    /// How many writes shared a group, and under [`Durability::Sync`](crate::Durability::Sync) its
    /// sync, in the mean; 0 before the first.
    pub fn records_per_group(&self) -> f64 {
        if self.groups == 0 { 0.0 } else { self.writes as f64 / self.groups as f64 }
    }
}

impl Store {
    /// Figures about the store; all zero once it is closed, or in a forked child.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let stats = store.stats();
    /// assert_eq!((stats.records, stats.writes, stats.syncs), (1, 1, 1));
    /// assert_eq!(stats.records_per_group(), 1.0);
    /// assert!(stats.recovery.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        if self.check().is_err() {
            return Stats::default();
        }
        let inner = &self.inner;
        let standing = inner.standing_bytes.load(Ordering::Relaxed);
        let figures = inner.checkpoints.figures();
        let writer = inner.committer.lock();
        let files = inner.checkpoints.files().lock();
        let log = writer.log.as_ref();
        Stats {
            records: inner.index.len() as u64,
            log_bytes: log.map_or(0, |log| log.end()) + files.sealed_bytes(),
            sealed_logs: files.sealed.len() as u64,
            snapshot_bytes: files.snapshot.map_or(0, |snapshot| snapshot.bytes),
            index_bytes: inner.index.memory() as u64,
            view_bytes: (standing + writer.index.changes_memory()) as u64,
            writes: writer.writes,
            groups: writer.groups,
            syncs: log.map_or(0, |log| log.syncer().syncs()),
            checkpoints: figures.done,
            checkpoint_bytes: figures.bytes,
            checkpoints_failed: figures.failed,
            checkpoint_error: figures.error.map(|error| error.to_string()),
            checkpoint_running: figures.is_running,
            checkpoint_records: figures.records_copied,
            checkpoint_records_total: figures.records_to_copy,
            recovery: inner.report().clone(),
        }
    }
}
