//! Figures about an open store.

use super::Store;

/// Figures about an open store, at about one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of keys.
    pub records: u64,
    /// Bytes of entries in the log.
    pub log_bytes: u64,
    /// Bytes of the snapshot in force.
    pub snapshot_bytes: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Writes committed since the store was opened.
    pub writes: u64,
    /// Groups that they were committed in; `writes / groups` is the mean size of a group.
    pub groups: u64,
    /// Syncs of the log since the store was opened.
    pub syncs: u64,
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
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        if self.check().is_err() {
            return Stats::default();
        }
        let inner = &self.inner;
        let writer = inner.committer.lock();
        let log = writer.log.as_ref();
        Stats {
            records: inner.index.len() as u64,
            log_bytes: log.map_or(0, |log| log.end()),
            snapshot_bytes: inner.snapshot.map_or(0, |snapshot| snapshot.bytes),
            index_bytes: inner.index.memory() as u64,
            writes: writer.writes,
            groups: writer.groups,
            syncs: log.map_or(0, |log| log.syncer().syncs()),
        }
    }
}
