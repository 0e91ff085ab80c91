//! The engine's figures as dictionaries.

use std::path::PathBuf;

use kvstore::{RecoveryReport, Stats};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::path_str;

/// What `Store.stats` returns.
pub(crate) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("records", stats.records)?;
    dict.set_item("log_bytes", stats.log_bytes)?;
    dict.set_item("snapshot_bytes", stats.snapshot_bytes)?;
    dict.set_item("index_bytes", stats.index_bytes)?;
    dict.set_item("view_bytes", stats.view_bytes)?;
    dict.set_item("groups", stats.groups)?;
    dict.set_item("records_per_group", stats.records_per_group())?;
    dict.set_item("syncs", stats.syncs)?;
    dict.set_item("writes", stats.writes)?;
    dict.set_item("sealed_logs", stats.sealed_logs)?;
    dict.set_item("checkpoints", stats.checkpoints)?;
    dict.set_item("checkpoint_bytes", stats.checkpoint_bytes)?;
    dict.set_item("checkpoints_failed", stats.checkpoints_failed)?;
    dict.set_item("checkpoint_error", &stats.checkpoint_error)?;
    dict.set_item("checkpoint_running", stats.checkpoint_running)?;
    dict.set_item("checkpoint_records", stats.checkpoint_records)?;
    dict.set_item("checkpoint_records_total", stats.checkpoint_records_total)?;
    dict.set_item("recovery", recovery(py, &stats.recovery)?)?;
    Ok(dict)
}

/// What `Store.recovery_report` returns.
pub(crate) fn recovery<'py>(
    py: Python<'py>,
    report: &RecoveryReport,
) -> PyResult<Bound<'py, PyDict>> {
    let string = |path: &PathBuf| path_str(py, path);
    let dict = PyDict::new(py);
    dict.set_item("clean", report.is_clean())?;
    dict.set_item("snapshot_records", report.snapshot_records)?;
    dict.set_item("log_records", report.log_records)?;
    dict.set_item("sealed_logs", report.sealed_logs)?;
    dict.set_item("bytes_cut", report.bytes_cut)?;
    dict.set_item("cut_log", report.cut_log.as_ref().map(string).transpose()?)?;
    dict.set_item("cut_offset", report.cut_offset)?;
    dict.set_item("cut_reason", report.cut_reason.as_deref())?;
    dict.set_item("damaged", report.damaged)?;
    dict.set_item("quarantine", report.quarantine.as_ref().map(string).transpose()?)?;
    Ok(dict)
}
