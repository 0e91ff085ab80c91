//! `verify()`, `repair()` and `salvage()`.

use std::ops::ControlFlow;
use std::path::Path;

use kvstore::Progress;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::path_str;
use crate::open::DirectoryPath;
use crate::signals::Watch;

/// Checks every byte of the store in the directory `path`, and changes nothing there.
///
/// Damage is not an exception: `condition` of the result is `"sound"`, `"torn"` (the log ends in
/// the middle of an entry, as a crash leaves it; the next open mends that), `"unclear"` (valid entries
/// lie behind a place that is not, but no sync vouches for them) or `"damaged"`, and `findings` lists
/// what is wrong, each with `path`, `offset`, `len`, `what` and `condition`. `sound` is whether
/// opening brings back everything that can be read, `refuses_to_open` whether it is refused,
/// `report` all of it for people, with what to do. `snapshot` and `logs` have the figures of each
/// file, `quarantine` the files there, with how many valid `entries` each has that are not in the store,
/// and `unfinished_snapshot` the length of a leftover.
///
/// Raises `LockedError` while another handle has the directory open for writing, `StorageError`
/// when a file cannot be read, `UnsupportedError` when a newer version wrote the directory, and
/// `ValueError` when there is no store in it.
///
/// >>> kvstore.open(directory).close()
/// >>> kvstore.verify(directory)["condition"]
/// 'sound'
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn verify(py: Python<'_>, path: DirectoryPath) -> PyResult<Bound<'_, PyDict>> {
    let found = watched(py, |watch| kvstore::verify_with(path.as_path(), watch))?;
    verification(py, &found)
}

/// Does long work without the interpreter lock, until a signal handler raises an exception.
fn watched<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&mut dyn FnMut(&Progress) -> ControlFlow<()>) -> kvstore::Result<T> + Send,
) -> PyResult<T> {
    let mut watch = Watch::new();
    let done =
        py.detach(|| work(&mut |progress| watch.look_for_signals(progress.done == progress.total)));
    watch.outcome(py, done)
}

/// Writes what is consistent in the damaged directory `path` to the new directory `new_path`.
///
/// `new_path` must not exist, or be empty; it then opens like any other, and `path` is not changed.
/// Of logs it keeps what opening keeps: everything before the first entry that is not valid. Of a
/// damaged snapshot, with which opening raises `CorruptionError`, it keeps the entries before the
/// damage, and the logs on top of them: nothing in it is older than what was written, but records
/// are missing.
///
/// In the result `records` is how many there are, `complete` whether nothing is missing,
/// `is_prefix` whether it is the state after some prefix of the writes, `left_out` what is missing
/// and why, `complete_up_to` the key up to which no record is, where that is known, `report` all
/// of it for people, and `source` what `verify` returns for `path`.
///
/// Raises what `verify` raises, and `ValueError` when `new_path` is not empty or lies in `path`.
/// After any exception nothing is left of what was begun there. Ctrl-C gives it up as well, unless it
/// comes at the very end: then the new directory is whole.
///
/// >>> kvstore.open(directory).close()
/// >>> kvstore.repair(directory, directory + "-repaired")["complete"]
/// True
#[pyfunction]
#[pyo3(signature = (path, new_path, /))]
pub(crate) fn repair(
    py: Python<'_>,
    path: DirectoryPath,
    new_path: DirectoryPath,
) -> PyResult<Bound<'_, PyDict>> {
    let (from, to) = (path.as_path(), new_path.as_path());
    let report = watched(py, |watch| kvstore::repair_with(from, to, watch))?;
    rebuilt(py, &report)
}

/// Writes whatever can be read in the damaged directory `path` to the new directory `new_path`.
///
/// Like `repair`, but also from behind damage. What comes of it is not a state that the store ever
/// had: records may be missing, may have an older value than the last one, and may be back although
/// they were deleted. `SALVAGED.txt` in the new directory says so.
///
/// >>> kvstore.open(directory).close()
/// >>> kvstore.salvage(directory, directory + "-salvaged")["records"]
/// 0
#[pyfunction]
#[pyo3(signature = (path, new_path, /))]
pub(crate) fn salvage(
    py: Python<'_>,
    path: DirectoryPath,
    new_path: DirectoryPath,
) -> PyResult<Bound<'_, PyDict>> {
    let (from, to) = (path.as_path(), new_path.as_path());
    let report = watched(py, |watch| kvstore::salvage_with(from, to, watch))?;
    rebuilt(py, &report)
}

fn rebuilt<'py>(py: Python<'py>, report: &kvstore::RepairReport) -> PyResult<Bound<'py, PyDict>> {
    let left_out = PyList::empty(py);
    for part in &report.left_out {
        let dict = place(py, &part.path, part.offset, part.len)?;
        dict.set_item("entries", part.entries)?;
        dict.set_item("lost", part.lost)?;
        dict.set_item("why", &part.why)?;
        left_out.append(dict)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("complete", report.is_complete())?;
    dict.set_item("is_prefix", report.is_prefix)?;
    dict.set_item("records", report.records)?;
    dict.set_item("applied", report.applied)?;
    dict.set_item("applied_behind", report.applied_behind)?;
    dict.set_item("outdated", report.outdated)?;
    let key = report.complete_up_to.as_deref().map(|key| PyBytes::new(py, key));
    dict.set_item("complete_up_to", key)?;
    dict.set_item("left_out", left_out)?;
    dict.set_item("report", report.to_string())?;
    dict.set_item("source", verification(py, &report.source)?)?;
    Ok(dict)
}

fn verification<'py>(
    py: Python<'py>,
    found: &kvstore::Verification,
) -> PyResult<Bound<'py, PyDict>> {
    let findings = PyList::empty(py);
    for finding in &found.findings {
        let dict = place(py, &finding.path, finding.offset, finding.len)?;
        dict.set_item("condition", finding.condition.name())?;
        dict.set_item("what", &finding.what)?;
        findings.append(dict)?;
    }
    let logs = PyList::empty(py);
    for check in &found.logs {
        logs.append(log(py, check)?)?;
    }
    let quarantine = PyList::empty(py);
    for file in &found.quarantine {
        let dict = PyDict::new(py);
        dict.set_item("path", path_str(py, &file.path)?)?;
        dict.set_item("bytes", file.bytes)?;
        dict.set_item("entries", file.entries)?;
        quarantine.append(dict)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("directory", path_str(py, &found.directory)?)?;
    dict.set_item("condition", found.condition.name())?;
    dict.set_item("sound", found.is_sound())?;
    dict.set_item("refuses_to_open", found.refuses_to_open())?;
    let snapshot = found.snapshot.as_ref().map(|check| snapshot(py, check)).transpose()?;
    dict.set_item("snapshot", snapshot)?;
    dict.set_item("logs", logs)?;
    dict.set_item("findings", findings)?;
    dict.set_item("findings_omitted", found.findings_omitted)?;
    dict.set_item("quarantine", quarantine)?;
    dict.set_item("unfinished_snapshot", found.unfinished_snapshot)?;
    dict.set_item("report", found.to_string())?;
    Ok(dict)
}

fn place<'py>(py: Python<'py>, path: &Path, offset: u64, len: u64) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", path_str(py, path)?)?;
    dict.set_item("offset", offset)?;
    dict.set_item("len", len)?;
    Ok(dict)
}

fn snapshot<'py>(py: Python<'py>, check: &kvstore::SnapshotCheck) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", path_str(py, &check.path)?)?;
    dict.set_item("bytes", check.bytes)?;
    dict.set_item("condition", check.condition.name())?;
    dict.set_item("timestamp", check.timestamp)?;
    dict.set_item("count", check.count)?;
    dict.set_item("entries", check.entries)?;
    dict.set_item("entries_behind", check.entries_behind)?;
    dict.set_item("ascending", check.ascending)?;
    dict.set_item("trailer_bytes", check.trailer_bytes)?;
    Ok(dict)
}

fn log<'py>(py: Python<'py>, check: &kvstore::LogCheck) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", path_str(py, &check.path)?)?;
    dict.set_item("bytes", check.bytes)?;
    dict.set_item("condition", check.condition.name())?;
    dict.set_item("log_use", check.log_use.name())?;
    dict.set_item("generation", check.generation)?;
    dict.set_item("base", check.base)?;
    dict.set_item("sets", check.sets)?;
    dict.set_item("deletes", check.deletes)?;
    dict.set_item("marks", check.marks)?;
    dict.set_item("batches", check.batches)?;
    dict.set_item("end", check.end)?;
    dict.set_item("garbage", check.garbage)?;
    dict.set_item("vouched", check.vouched)?;
    dict.set_item("entries_behind", check.entries_behind)?;
    dict.set_item("unknown_behind", check.unknown_behind)?;
    Ok(dict)
}
