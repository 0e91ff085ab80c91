//! Syncing a log, with the rule that a failed sync is final.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{Directory, File, Mapping, Step};

/// Whether the logs of a store can still be made durable: one for all of them, since what is
/// written after a failed sync would follow a hole, whichever of them it is in.
#[derive(Default)]
pub(crate) struct Health {
    /// The message of the sync that failed.
    failure: Mutex<Option<String>>,
    /// Whether there is one, for those who only want to know.
    poisoned: AtomicBool,
    syncs: AtomicU64,
}

/// Syncs one log file, from any thread.
///
/// The kernel reports a failed write-back to one `fdatasync` only, marks the pages clean and
/// would let the next one succeed. So syncs take turns, and after the first failure no other is
/// attempted: whoever asks is told that the store is poisoned.
pub(crate) struct Syncer {
    health: Arc<Health>,
    file: Arc<File>,
    /// Held during a sync.
    state: Mutex<SyncState>,
}

struct SyncState {
    unvouched: Option<Unvouched>,
    before: Before,
}

/// What has to be durable before anything in a log is: what the log continues.
#[derive(Default)]
pub(crate) struct Before {
    /// Sealed logs, in their order.
    pub(crate) logs: Vec<Arc<Syncer>>,
    /// The directory in which the log took the name of the one before it.
    pub(crate) names: Option<Arc<Directory>>,
}

impl Before {
    pub(crate) fn is_empty(&self) -> bool {
        self.logs.is_empty() && self.names.is_none()
    }
}

/// Bytes that an earlier process appended and perhaps never synced.
///
/// If its last sync failed, the kernel has marked their pages clean: they read as what was
/// stored, and no sync writes them. So the first sync after opening stores them anew. (Rebello
/// et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.)
pub(crate) struct Unvouched {
    /// The file from its first byte on.
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) range: Range<usize>,
}

impl Unvouched {
    /// Bytes written at a time.
    const STEP: usize = 64 << 10;

    /// Stores the bytes again where they are.
    fn rewrite(&self, file: &File) -> Result<()> {
        let Range { start, end } = self.range;
        let mut copy = Vec::new();
        for at in (start..end).step_by(Unvouched::STEP) {
            let len = Unvouched::STEP.min(end - at);
            copy.clear();
            copy.extend_from_slice(self.mapping.bytes(at, len).unwrap_or_default());
            file.overwrite(&copy, at as u64, Step::Rewrite)?;
        }
        Ok(())
    }
}

impl Health {
    #[cold]
    fn fail(&self, why: String) {
        self.failure.lock().get_or_insert(why);
        // Release pairs with the Acquire in `is_poisoned`; the locks order everybody else.
        self.poisoned.store(true, Ordering::Release);
    }
}

impl Syncer {
    /// For a log of which `unvouched` may not be on the disk, and nothing that it continues.
    pub(crate) fn new(
        health: Arc<Health>,
        file: Arc<File>,
        unvouched: Option<Unvouched>,
        before: Before,
    ) -> Syncer {
        Syncer { health, file, state: Mutex::new(SyncState { unvouched, before }) }
    }

    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Makes durable what had been appended when this was called, and before it what the log
    /// continues.
    ///
    /// # Errors
    /// The sync's own error the first time it fails, `Poisoned` ever after.
    pub(crate) fn sync(&self, step: Step) -> Result<()> {
        let mut state = self.state.lock();
        self.check()?;
        let SyncState { unvouched, before } = &mut *state;
        for log in &before.logs {
            log.sync(Step::SealedLog)?;
        }
        let result = match &before.names {
            Some(directory) => directory.sync(Step::LogName),
            None => Ok(()),
        };
        let result = result.and_then(|()| match unvouched {
            Some(unvouched) => unvouched.rewrite(&self.file),
            None => Ok(()),
        });
        // Relaxed: a figure for statistics.
        self.health.syncs.fetch_add(1, Ordering::Relaxed);
        let result = result.and_then(|()| self.file.sync_data(step));
        // Also if it was for lack of space: that alone would mean that nothing is lost.
        let lead = "the log could not be made durable, and takes no more writes";
        let result = result.map_err(|error| error.share(ErrorKind::Io, lead));
        match &result {
            Ok(()) => (*unvouched, *before) = (None, Before::default()),
            Err(error) => self.health.fail(format!("an earlier sync failed ({error})")),
        }
        result
    }

    /// Nothing that the log continues matters any more: a snapshot that is durable has all of it.
    pub(crate) fn forget_before(&self) {
        let forgotten = std::mem::take(&mut self.state.lock().before);
        // It may be the last that keeps a file mapped.
        drop(forgotten);
    }

    /// Refuses all syncs from now on, as after a failed one.
    #[cold]
    pub(crate) fn poison(&self, why: &str) {
        self.health.fail(why.to_owned());
    }

    /// `Poisoned` if a sync has failed.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_poisoned() { Err(self.poisoned_error()) } else { Ok(()) }
    }

    #[inline]
    fn is_poisoned(&self) -> bool {
        // Acquire pairs with the Release in `fail`.
        self.health.poisoned.load(Ordering::Acquire)
    }

    /// How many syncs of the store's logs were attempted.
    pub(crate) fn syncs(&self) -> u64 {
        self.health.syncs.load(Ordering::Relaxed)
    }

    #[cold]
    fn poisoned_error(&self) -> Error {
        let message = format!(
            "{}; reads go on, but close the store, check the disk and open it again before \
             writing",
            self.health.failure.lock().as_deref().unwrap_or_default()
        );
        Error::new(ErrorKind::Poisoned, message).at(self.file.path(), None)
    }
}
