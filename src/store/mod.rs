//! The handle: what users of the library call.

mod batch;
mod checkpoint;
mod close;
mod cursor;
mod inner;
mod overlay;
mod read;
mod scan;
mod stats;
mod transaction;
mod value;
mod view;
mod write;

pub use batch::Batch;
pub use cursor::{Cursor, Direction};
pub use scan::{Keys, Scan};
pub use stats::Stats;
pub use transaction::{Transaction, TransactionScan};
pub use value::{PinnedValue, Value};
pub use view::View;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[cfg(test)]
use crate::commit::Request;
use crate::error::Result;
use crate::io::FileSystem;
#[cfg(test)]
use crate::options::CloseCheckpoint;
use crate::options::Options;
use crate::recovery::RecoveryReport;
use inner::Inner;
pub(crate) use inner::LOCK_NAME;

/// An open store: a handle to share between threads.
///
/// Clones are handles to the same open store. Reads take no lock; writes are committed one group
/// at a time. Dropping the last handle without [`close`](Store::close) loses nothing: the next
/// open replays the log.
///
/// ```
/// use kvstore::Store;
/// # let directory = tempfile::tempdir()?;
///
/// let store = Store::open(directory.path())?;
/// let writer = store.clone();
/// std::thread::spawn(move || writer.set("key", "value")).join().unwrap()?;
/// assert_eq!(store.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens `directory` with the default [`Options`]: created when missing, every write synced.
    ///
    /// # Errors
    /// Those of [`Options::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Store> {
        Options::new().open(directory)
    }

    /// Opens `directory` of `file_system`.
    pub(crate) fn open_on(
        file_system: &dyn FileSystem,
        directory: &Path,
        options: &Options,
    ) -> Result<Store> {
        Ok(Store { inner: Inner::open(file_system, directory, options)? })
    }

    /// The directory that is open.
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// Whether the store was opened with [`Options::read_only`].
    pub fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    /// Whether [`close`](Store::close) was called, on this handle or a clone.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Whether the store can be used: for callers of functions that cannot fail themselves.
    ///
    /// # Errors
    /// `Closed` after [`close`](Store::close); `Forked` in a child of the process that opened it.
    #[inline]
    pub fn check(&self) -> Result<()> {
        self.inner.check()
    }

    /// What opening the store found: how much was replayed, and what had to be cut.
    pub fn recovery_report(&self) -> &RecoveryReport {
        self.inner.report()
    }

    /// Makes every write that has returned durable, as under
    /// [`Durability::Sync`](crate::Durability::Sync). Other threads read and write meanwhile.
    ///
    /// # Errors
    /// The failed sync's own error the first time, which poisons the store; `Poisoned` ever
    /// after; `Closed`; `Forked`. In a read-only store there is nothing to do.
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Closes the store, for every clone of the handle: writes a snapshot, unless
    /// [`Options::close_checkpoint`] says otherwise, and releases the directory. Values, views
    /// and cursors obtained before stay valid; closing a closed store does nothing.
    ///
    /// An open [transaction](Store::transaction) is not taken away from its thread: close waits for
    /// it to end. If that takes too long, or it is this thread's own, the store stays open.
    ///
    /// # Errors
    /// `Locked` when another thread's transaction is open for longer than
    /// [`Options::transaction_timeout`]; `InvalidArgument` when this thread has one open: then the
    /// store stays open.
    /// Whatever kept the snapshot from being written. The log then holds every write, the next
    /// open replays it, and the store is closed all the same. `Poisoned` when an earlier sync
    /// failed: then nothing is written. `Forked`: then nothing is done.
    pub fn close(&self) -> Result<()> {
        self.inner.close(self.inner.options.close_checkpoint)
    }
}

/// For the crash explorer, which runs in one thread and has one handle do it all.
#[cfg(test)]
impl Store {
    /// Commits `batches` as a group: as if as many threads had written at once. One of one operation
    /// is a plain write.
    pub(crate) fn write_group(&self, batches: &[Batch]) -> Vec<Result<()>> {
        let hashes: Vec<_> =
            batches.iter().map(|batch| self.inner.hashes(batch).unwrap()).collect();
        let requests = batches.iter().zip(&hashes).map(|(batch, hashes)| {
            let operations = write::operations(batch, hashes);
            operations.only().map_or(Request::Batch(operations), Request::Write)
        });
        let outcomes = self.inner.committer.commit_together(requests);
        outcomes.into_iter().map(|outcome| outcome.map(drop)).collect()
    }

    /// A checkpoint that is given up once the log is sealed.
    pub(crate) fn seal(&self) -> Result<()> {
        self.inner.check_writable()?;
        self.inner.seal()
    }

    /// Closes the store and leaves what `checkpoint` asks for.
    pub(crate) fn close_with(&self, checkpoint: CloseCheckpoint) -> Result<()> {
        self.inner.close(checkpoint)
    }
}

impl Clone for Store {
    fn clone(&self) -> Store {
        // Relaxed: whoever clones has one, so it cannot be the last.
        self.inner.handles.fetch_add(1, Ordering::Relaxed);
        Store { inner: Arc::clone(&self.inner) }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.inner.check_not_forked().is_err() {
            // The child of a fork: another thread of the parent may have been in the middle of
            // changing what would be freed here. It is left as it is.
            Inner::leave_behind(Arc::clone(&self.inner));
            return;
        }
        // AcqRel: the last one comes after all that the others did.
        if self.inner.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A checkpoint would keep the directory locked until it is done.
            self.inner.end_checkpoints();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path())
            .field("read_only", &self.is_read_only())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
