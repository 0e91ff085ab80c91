//! The methods of `Store` that look after it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Store;
use crate::backup::back_up;
use crate::open::DirectoryPath;
use crate::stats;
#[pymethods]
impl Store {
    /// Writes the store as it is at one instant during this call to the new directory `path`, while
    /// other threads read and write.
    ///
    /// `path` must not exist, or be an empty directory, and then opens like any other. It appears
    /// when it is whole and durable; should the process die before, nothing is there but perhaps a
    /// directory called `<path>.unfinished-<number>`, which can be removed. Every record is checked
    /// against the checksum it was stored with. Also for a store opened with flag "r".
    ///
    /// `progress` is called every megabyte or few thousand records, and at the end, with
    /// a `BackupProgress`. An exception in it, or Ctrl-C, gives the backup up and is passed on;
    /// nothing of it is left then, nor after any other exception: `ValueError` when a
    /// directory with something in it is at `path`, `StorageError` when it cannot be written, `CorruptionError` when a record is not
    /// what was stored.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> store.backup(directory)
    /// >>> with kvstore.open(directory) as copy:
    /// ...     dict(copy)
    /// {b'a': b'1'}
    #[pyo3(signature = (path, progress=None))]
    fn backup(
        &self,
        py: Python<'_>,
        path: DirectoryPath,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let view = self.0.slow(py, kvstore::Store::view)?;
        back_up(py, &view, path.as_path(), progress)
    }

    /// Makes every write so far as durable as under "sync".
    ///
    /// >>> store.set(b"a", b"1", durability="os")
    /// >>> store.sync()
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.0.slow(py, kvstore::Store::sync)
    }

    /// Writes everything so far to a new snapshot and removes the log that had it, while other
    /// threads go on. Rarely needed: a thread does it when the log is long (`checkpoint_bytes`).
    ///
    /// >>> store.set(b"a", b"1")
    /// >>> store.checkpoint()
    /// >>> store.stats()["log_bytes"]
    /// 0
    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        self.0.slow(py, kvstore::Store::checkpoint)
    }

    /// Counters: records, sizes in bytes, how many writes, groups, syncs and checkpoints there were,
    /// why the last checkpoint failed (`checkpoint_error`), if it did, and under `recovery` what
    /// `recovery_report` returns.
    ///
    /// >>> store[b"a"] = b"1"
    /// >>> stats = store.stats()
    /// >>> stats["records"], stats["records_per_group"], stats["recovery"]["clean"]
    /// (1, 1.0, True)
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.0.slow(py, |engine| {
            let stats = engine.stats();
            engine.check().map(|()| stats)
        })?;
        stats::stats(py, &stats)
    }

    /// What opening the store found and did.
    ///
    /// `clean` is whether nothing had to be replayed or cut, `snapshot_records` and `log_records`
    /// how much was read, from `sealed_logs` logs besides the last one. `bytes_cut` is how much of
    /// the logs was no entry and was moved away, `cut_log` and `cut_offset` where that began,
    /// `cut_reason` why, `damaged` whether synced data was part of it, and `quarantine` the file that
    /// keeps it.
    ///
    /// >>> store.recovery_report()["clean"]
    /// True
    fn recovery_report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.check(py)?;
        stats::recovery(py, self.0.engine().recovery_report())
    }
}
