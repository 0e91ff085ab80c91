//! Telling a caller how far long work has come.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// How far [`verify_with`](crate::verify_with), [`repair_with`](crate::repair_with) or
/// [`salvage_with`](crate::salvage_with) has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done, for people: "checking", "searching", "reading" or "writing".
    pub activity: &'static str,
    /// The file concerned.
    pub path: PathBuf,
    /// How much of it is done: bytes, or records when writing.
    pub done: u64,
    /// How much there is to do, in the same unit.
    pub total: u64,
}

/// Bytes between two calls of the caller's function.
const BYTES: u64 = 1 << 20;

/// Records between two calls.
const RECORDS: u64 = 4096;

/// Calls a caller's function from time to time.
pub(crate) struct Ticker<'a> {
    report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    progress: Progress,
    /// From one call to the next.
    step: u64,
    next: u64,
}

impl<'a> Ticker<'a> {
    /// A ticker for work that has not begun.
    pub(crate) fn new(report: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Ticker<'a> {
        let progress = Progress { activity: "", path: PathBuf::new(), done: 0, total: 0 };
        Ticker { report, progress, step: BYTES, next: BYTES }
    }

    /// Begins something of which there are `total` bytes.
    pub(crate) fn begin(&mut self, activity: &'static str, path: &Path, total: u64) {
        self.progress = Progress { activity, path: path.to_path_buf(), done: 0, total };
        (self.step, self.next) = (BYTES, BYTES);
    }

    /// Begins something of which there are `total` records.
    pub(crate) fn begin_records(&mut self, activity: &'static str, path: &Path, total: u64) {
        self.begin(activity, path, total);
        (self.step, self.next) = (RECORDS, RECORDS);
    }

    /// Takes note that the work has come to `done`.
    ///
    /// # Errors
    /// `Cancelled` when the caller wants no more.
    #[inline]
    pub(crate) fn reached(&mut self, done: usize) -> Result<()> {
        if done as u64 >= self.next { self.tick(done as u64) } else { Ok(()) }
    }

    /// Tells the caller that all of it is done.
    ///
    /// # Errors
    /// Those of [`reached`](Ticker::reached).
    pub(crate) fn end(&mut self) -> Result<()> {
        self.tick(self.progress.total)
    }

    #[cold]
    fn tick(&mut self, done: u64) -> Result<()> {
        self.progress.done = done;
        self.next = done + self.step;
        match (self.report)(&self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Cancelled,
                "the work was stopped by its progress callback; nothing of it is left",
            )),
        }
    }
}
