//! The handle: what users of the library call.

mod close;
mod inner;
mod read;
mod scan;
mod stats;
mod value;

pub use scan::{Cursor, Direction, Keys, Scan};
pub use stats::Stats;
pub use value::{PinnedValue, Value};

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::commit::Change;
use crate::error::Result;
use crate::options::{Durability, Options};
use crate::recovery::RecoveryReport;
use inner::Inner;

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
#[derive(Clone)]
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

    pub(crate) fn open_with(directory: &Path, options: &Options) -> Result<Store> {
        Ok(Store { inner: Arc::new(Inner::open(directory, options)?) })
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

    /// Sets `key` to `value`, as durably as the store was opened for. Other threads see it when
    /// it is that durable, and not before.
    ///
    /// # Errors
    /// `TooLarge` beyond a limit; `NoSpace` when the disk is full; `Io`, `OutOfMemory`: nothing
    /// was written. `Indeterminate` when the sync failed: nobody can say whether the write will
    /// survive. `Poisoned` after an earlier failed sync; `ReadOnly`; `Closed`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set(b"user:1", b"alice")?;
    /// store.set("an empty value", "")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.set_with(key, value, self.inner.durability())
    }

    /// As [`set`](Store::set), as durably as `durability` says. A write that asks for more makes
    /// all writes before it as durable; one that asks for less still comes after them.
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<()> {
        let outcome = self.inner.write(Change::Set, key.as_ref(), value.as_ref(), durability);
        outcome.map(|_existed| ())
    }

    /// Deletes `key`. Returns whether it was there; deleting an absent key writes nothing.
    ///
    /// # Errors
    /// Those of [`set`](Store::set), except that no key is beyond the limit: it may have been set
    /// under another one.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// assert!(store.delete("a")?);
    /// assert!(!store.delete("a")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.delete_with(key, self.inner.durability())
    }

    /// As [`delete`](Store::delete), as durably as `durability` says.
    pub fn delete_with(&self, key: impl AsRef<[u8]>, durability: Durability) -> Result<bool> {
        self.inner.write(Change::Delete, key.as_ref(), &[], durability)
    }

    /// Makes every write that has returned durable, as under [`Durability::Sync`]. Other threads
    /// read and write meanwhile.
    ///
    /// # Errors
    /// The failed sync's own error the first time, which poisons the store; `Poisoned` ever
    /// after; `Closed`; `Forked`. In a read-only store there is nothing to do.
    pub fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    /// Closes the store, for every clone of the handle: writes a snapshot, unless
    /// [`Options::close_checkpoint`] says otherwise, and releases the directory. Values and
    /// cursors obtained before stay valid; closing a closed store does nothing.
    ///
    /// # Errors
    /// Whatever kept the snapshot from being written. The log then holds every write, the next
    /// open replays it, and the store is closed all the same. `Poisoned` when an earlier sync
    /// failed: then nothing is written. `Forked`: then nothing is done.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.inner.check_not_forked().is_err() {
            // The child of a fork: another thread of the parent may have been in the middle of
            // changing what would be freed here. It is left as it is.
            Inner::leave_behind(Arc::clone(&self.inner));
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
