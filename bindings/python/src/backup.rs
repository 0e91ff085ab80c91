//! `backup` of a store and of a view.

use std::ops::ControlFlow;
use std::path::Path;

use kvstore::{BackupProgress, View};
use pyo3::prelude::*;
use pyo3::{Py, intern};

use crate::signals::Watch;

/// Writes what `view` holds to the new directory `to`, without the interpreter lock, which is
/// taken to call `progress`. An exception there, or of a signal handler, stops the backup and is
/// passed on.
pub(crate) fn back_up(
    py: Python<'_>,
    view: &View,
    to: &Path,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let mut watch = Watch::new();
    let made = py.detach(|| {
        view.backup_with(to, &mut |told| {
            let last = told.records_done == told.records_total;
            match progress.is_some() || watch.is_due(last) {
                true => watch.look(|py| tell(py, progress.as_ref(), told)),
                false => ControlFlow::Continue(()),
            }
        })
    });
    watch.outcome(py, made)
}

fn tell(py: Python<'_>, progress: Option<&Py<PyAny>>, told: &BackupProgress) -> PyResult<()> {
    py.check_signals()?;
    let Some(progress) = progress else { return Ok(()) };
    let class = py.import(intern!(py, "kvstore._progress"))?.getattr("BackupProgress")?;
    let fields = (told.records_done, told.records_total, told.bytes_done, told.bytes_total);
    progress.call1(py, (class.call1(fields)?,)).map(drop)
}
