//! Signals during long work of the engine, which calls a function from time to time.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::errors::exception;

/// Between two looks for signals: Ctrl-C ends the work after at most this, and busy threads are not
/// asked for the interpreter lock more often.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks for signals while the interpreter lock is not held.
pub(crate) struct Watch {
    looked: Instant,
    raised: Option<PyErr>,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch { looked: Instant::now(), raised: None }
    }

    /// Whether it is time for a look. It is when this is the `last` one: what is done after that
    /// stays done.
    pub(crate) fn is_due(&self, last: bool) -> bool {
        last || self.looked.elapsed() >= PAUSE
    }

    /// Calls `look` with the interpreter lock. What that raises ends the work.
    pub(crate) fn look(
        &mut self,
        look: impl FnOnce(Python<'_>) -> PyResult<()>,
    ) -> ControlFlow<()> {
        self.looked = Instant::now();
        match Python::attach(look) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.raised = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Runs the signal handlers, if it is time for that.
    pub(crate) fn look_for_signals(&mut self, last: bool) -> ControlFlow<()> {
        match self.is_due(last) {
            true => self.look(|py| py.check_signals()),
            false => ControlFlow::Continue(()),
        }
    }

    /// What comes of the work: what was raised in the middle of it goes first.
    pub(crate) fn outcome<T>(self, py: Python<'_>, made: kvstore::Result<T>) -> PyResult<T> {
        match self.raised {
            Some(raised) => Err(raised),
            None => made.map_err(|error| exception(py, error)),
        }
    }
}
