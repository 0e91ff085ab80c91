//! What opening a directory found and did.

use std::path::PathBuf;

/// What opening a store brought back, and what it had to cut.
///
/// ```
/// use kvstore::Store;
/// # let directory = tempfile::tempdir()?;
/// Store::open(directory.path())?.set("a", "1")?; // dropped without close, as in a crash
///
/// let store = Store::open(directory.path())?;
/// let report = store.recovery_report();
/// assert_eq!((report.log_records, report.bytes_cut), (1, 0));
/// assert!(!report.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Records read from the snapshot.
    pub snapshot_records: u64,
    /// Sets and deletes replayed from the logs.
    pub log_records: u64,
    /// Sealed logs among those: a process died before the checkpoint that it had begun was done.
    pub sealed_logs: u64,
    /// Bytes at the end of the logs that are no valid entry, the zeros behind them not counted, and
    /// all bytes of a log whose beginning is lost in that way.
    pub bytes_cut: u64,
    /// The log that has the first of them, if there are any.
    pub cut_log: Option<PathBuf>,
    /// Offset in that log of the first of them.
    pub cut_offset: Option<u64>,
    /// Why the log stopped decoding there.
    pub cut_reason: Option<String>,
    /// Whether data that had been synced was among them: then a disk or a program has damaged the
    /// log. If not, a crash tore the last write, which had not been acknowledged as durable.
    /// A log without marks, of the Go store, cannot tell.
    pub damaged: bool,
    /// The file that the cut bytes were copied to; the first one, if several logs were cut. A
    /// read-only open cuts nothing.
    pub quarantine: Option<PathBuf>,
    /// What was cut from which log.
    pub(crate) cuts: Vec<Cut>,
}

/// Bytes that are not to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The log's name.
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl RecoveryReport {
    /// Whether the last process had closed the store: nothing to replay and nothing to cut.
    pub fn is_clean(&self) -> bool {
        self.log_records == 0 && self.bytes_cut == 0
    }
}
