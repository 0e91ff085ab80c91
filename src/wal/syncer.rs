//! Syncing a log, with the rule that a failed sync is final.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::io::File;

/// Syncs one log file, from any thread.
///
/// The kernel reports a failed write-back to one `fdatasync` only, marks the pages clean and
/// would let the next one succeed. So syncs take turns, and after the first failure no other is
/// attempted: whoever asks is told that the store is poisoned.
pub(crate) struct Syncer {
    file: Arc<dyn File>,
    /// Held during a sync; the message of the one that failed.
    failure: Mutex<Option<String>>,
    /// Whether `failure` is set, for those who only want to know.
    poisoned: AtomicBool,
    syncs: AtomicU64,
}

impl Syncer {
    pub(crate) fn new(file: Arc<dyn File>) -> Syncer {
        Syncer {
            file,
            failure: Mutex::new(None),
            poisoned: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        }
    }

    /// Makes durable what had been appended when this was called.
    ///
    /// # Errors
    /// The sync's own error the first time it fails, `Poisoned` ever after.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut failure = self.failure.lock();
        if let Some(message) = failure.as_deref() {
            return Err(self.poisoned_error(message));
        }
        // Relaxed: a figure for statistics.
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data().inspect_err(|error| {
            *failure = Some(error.to_string());
            // Release pairs with the Acquire in `check`; the lock orders everybody else.
            self.poisoned.store(true, Ordering::Release);
        })
    }

    /// `Poisoned` if a sync has failed.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_poisoned() {
            return Err(self.poisoned_error(self.failure.lock().as_deref().unwrap_or_default()));
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// How many syncs were attempted.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn poisoned_error(&self, message: &str) -> Error {
        let message = format!(
            "an earlier sync failed ({message}); reads go on, but close the store, check the \
             disk and open it again before writing"
        );
        Error::new(ErrorKind::Poisoned, message).at(self.file.path(), None)
    }
}
