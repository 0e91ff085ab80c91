//! Checkpoints beside readers and writers.

use std::thread;
use std::time::Duration;

use super::Store;
use super::inner::Inner;
use crate::checkpoint::{Checkpoint, Due};
use crate::error::{Error, Result};
use crate::options::Durability;

/// How long a write takes when the logs are twice as long as they should be.
const SLOWED_DOWN: Duration = Duration::from_micros(100);

impl Store {
    /// Why the last checkpoint failed, if it did.
    pub(crate) fn checkpoint_error(&self) -> Option<Error> {
        self.inner.checkpoints.figures().error
    }

    /// Writes everything that was written before this call to a new snapshot and removes the log
    /// that had it, while other threads go on reading and writing: readers do not wait, a writer
    /// for some microseconds at a time. Does nothing if there is nothing new.
    ///
    /// It is rarely needed: a thread does the same when the log has become long
    /// ([`Options::checkpoint_bytes`](crate::Options::checkpoint_bytes)), and so does
    /// [`close`](Store::close). After it the directory opens as fast as it can. It takes memory, up to 40
    /// bytes a record, or 24 if a scan or a view has needed the order of keys before; disk space for
    /// the new snapshot beside the old one, whose space a thread gives back soon after; and about as
    /// long as writing that takes. If another checkpoint runs, it waits for that first.
    ///
    /// # Errors
    /// `NoSpace`, `Io`, `OutOfMemory`, `Corrupt` when a record cannot be read any more: nothing is
    /// lost, the logs are kept, reads and writes go on, and the next checkpoint tries again.
    /// `Poisoned` after a failed sync; `ReadOnly`; `Closed`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// store.checkpoint()?;
    /// let stats = store.stats();
    /// assert_eq!((stats.checkpoints, stats.log_bytes), (1, 0));
    /// assert!(stats.snapshot_bytes > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoint(&self) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.checkpoint()
    }
}

impl Inner {
    fn checkpoint(&self) -> Result<()> {
        let turn = self.checkpoints.turn();
        self.check()?;
        let checkpoint = Checkpoint {
            directory: &self.directory,
            segments: &self.segments,
            index: &self.index,
            committer: &self.committer,
            standing: &self.standing,
            checkpoints: &self.checkpoints,
            prepare: self.durability() == Durability::Os,
        };
        let result = self.checkpoints.account(|| checkpoint.run());
        match result {
            // The sealed logs are gone, and the snapshot may be of another length.
            Ok(()) => self.committer.lock().alarm.set(self.checkpoints.lengths()),
            Err(_) => self.pause_after_failure(),
        }
        drop(turn);
        result
    }

    /// If the last attempt has failed, has the next one wait, and writers not.
    fn pause_after_failure(&self) {
        if let Some(bytes) = self.checkpoints.pause() {
            self.alarm_later(bytes);
        }
    }

    /// A checkpoint is due when the log is so many bytes longer.
    fn alarm_later(&self, bytes: u64) {
        let mut writer = self.committer.lock();
        let end = writer.log.as_ref().map_or(0, |log| log.end());
        writer.alarm.set(self.checkpoints.later(end, bytes));
    }

    #[cfg(test)]
    pub(super) fn seal(&self) -> Result<()> {
        self.checkpoints.cancel();
        let result = self.checkpoint();
        self.checkpoints.allow();
        match result {
            Err(error) if error.kind() == crate::error::ErrorKind::Closed => Ok(()),
            result => result,
        }
    }

    /// The log has reached the limit: a thread is to make a checkpoint. If one does, and the logs get
    /// too long all the same, this writer waits: not until the checkpoint is done, but long enough
    /// that it will be before the logs are much longer.
    #[cold]
    pub(super) fn checkpoint_is_due(&self) {
        if self.checkpoints.is_overtaken() {
            thread::sleep(SLOWED_DOWN);
        }
        let Some(inner) = self.itself() else { return };
        if !self.checkpoints.start(move || inner.checkpoint_while_due()) {
            // Not at every write from now on, each of which would be slowed down for it.
            self.pause_after_failure();
        }
    }

    fn checkpoint_while_due(&self) {
        loop {
            match self.checkpoints.take_due() {
                Due::No => return,
                Due::Later(bytes) => {
                    self.alarm_later(bytes);
                    return;
                }
                // What became of it is told by `Store::stats`.
                Due::Now => drop(self.checkpoint()),
            }
        }
    }

    /// Ends the checkpoint that runs, if one does, and waits for that. None begins any more.
    pub(super) fn end_checkpoints(&self) {
        self.checkpoints.cancel();
        self.checkpoints.join();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::index::between;
    use crate::options::{Durability, Options};

    /// A seal of an empty log that a write had overtaken, and that could not be tried again, had left
    /// every later change recorded.
    #[test]
    fn a_checkpoint_that_a_write_overtakes_leaves_no_changes_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::new().durability(Durability::Os).checkpoint_bytes(0);
        let store = options.open(directory.path()).unwrap();
        let (unfinished, next_log) =
            (directory.path().join("snapshot.dat.tmp"), directory.path().join("wal.log.tmp"));
        let overtaken = Arc::new(AtomicBool::new(false));
        // Until a table is found growing while locations are collected.
        let mut keys = 0_u32..;
        while !overtaken.load(Ordering::Relaxed) {
            between::next(|| ());
            keys.by_ref().take(500).for_each(|key| store.set(key.to_be_bytes(), "v").unwrap());
            fs::create_dir(&unfinished).unwrap();
            store.checkpoint().unwrap_err();
            fs::remove_dir(&unfinished).unwrap();
            // The log is sealed, and the next one empty.
            let (other, next_log) = (store.clone(), next_log.clone());
            let told = overtaken.clone();
            between::next(move || {
                other.set("overtakes", "the seal").unwrap();
                fs::create_dir(&next_log).unwrap();
                told.store(true, Ordering::Relaxed);
            });
            let refused = store.checkpoint().is_err();
            assert_eq!(refused, overtaken.load(Ordering::Relaxed));
        }
        let before = store.stats().view_bytes;
        keys.take(5000).for_each(|key| store.set(key.to_be_bytes(), "v").unwrap());
        assert_eq!(store.stats().view_bytes, before);
    }
}
