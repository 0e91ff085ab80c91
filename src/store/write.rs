//! Writes: of one key, of several at once, and of what depends on the value before.

use std::borrow::Borrow;

use super::inner::Inner;
use super::{Batch, Store};
use crate::commit::check_count;
use crate::commit::{Answer, Change, CompareAndSet, Increment, Operations, Request, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::index::KeyHash;
use crate::io::Epoch;
use crate::options::Durability;

impl Store {
    /// Sets `key` to `value`, as durably as the store was opened for. Other threads see it when
    /// it is that durable, and not before.
    ///
    /// # Errors
    /// `TooLarge` beyond a limit; `NoSpace` when the disk is full; `Locked` when another thread's
    /// [`transaction`](Store::transaction) takes too long; `InvalidArgument` when this thread has one
    /// open itself; `Io`, `OutOfMemory`: nothing was written. `Indeterminate` when the sync failed:
    /// nobody can say whether the write will survive. `Poisoned` after an earlier failed sync;
    /// `ReadOnly`; `Closed`; `Forked`.
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

    /// Carries out all of `batch`, or nothing of it: whatever crashes, and for whoever reads. No
    /// [`get_many`](Store::get_many), view or scan sees a part of it, and who has seen one of its
    /// writes sees all. It is as durable as the store was opened for. Readers wait while it is
    /// published, for about a tenth of a microsecond an operation.
    ///
    /// All of it lies in memory and, at once, in the log; to load what is larger, write several
    /// batches of some thousands of operations. An empty batch writes nothing.
    ///
    /// # Errors
    /// Those of [`set`](Store::set); nothing of the batch was written, unless it is `Indeterminate`:
    /// then all of it survives, or nothing. `TooLarge` also for a batch above the size of a file
    /// (1 TiB) or of more than 2^32 - 1 operations.
    ///
    /// ```
    /// use kvstore::{Batch, Store};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// let mut batch = Batch::new();
    /// batch.set("account:1", "90");
    /// batch.set("account:2", "110");
    /// store.write(&batch)?; // or `store.write(batch)`
    /// assert_eq!(store.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write(&self, batch: impl Borrow<Batch>) -> Result<()> {
        self.write_with(batch, self.inner.durability())
    }

    /// As [`write`](Store::write), as durably as `durability` says.
    ///
    /// # Errors
    /// Those of [`write`](Store::write).
    pub fn write_with(&self, batch: impl Borrow<Batch>, durability: Durability) -> Result<()> {
        let batch = batch.borrow();
        self.inner.check_batch(batch)?;
        let hashes = self.inner.hashes(batch)?;
        let request = Request::Batch(operations(batch, &hashes));
        self.inner.request(request, durability).map(drop)
    }

    /// Sets `key` to `new` if its value is `expected`; `None` stands for an absent key, so that a new
    /// `None` deletes it. Returns whether the value was the expected one; if not, nothing is written.
    /// No other write comes between the look and the write.
    ///
    /// # Errors
    /// Those of [`set`](Store::set).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// assert!(store.compare_and_set("lock", None, Some(b"mine"))?);
    /// assert!(!store.compare_and_set("lock", None, Some(b"yours"))?);
    /// assert!(store.compare_and_set("lock", Some(b"mine"), None)?);
    /// assert!(!store.contains("lock")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        self.compare_and_set_with(key, expected, new, self.inner.durability())
    }

    /// As [`compare_and_set`](Store::compare_and_set), as durably as `durability` says; also that the
    /// value was another one is then as durable when it is told.
    ///
    /// # Errors
    /// Those of [`set`](Store::set).
    pub fn compare_and_set_with(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<bool> {
        let key = key.as_ref();
        self.inner.check_writable()?;
        if let Some(new) = new {
            self.inner.check_lens(key.len(), new.len())?;
        }
        let hash = self.inner.index.hash(key);
        let request = Request::CompareAndSet(CompareAndSet { hash, key, expected, new });
        self.inner.request(request, durability).map(Answer::flag)
    }

    /// Adds `delta` to the number that is the value of `key`, and returns the sum. A number is eight
    /// bytes, big-endian, in two's complement: [`i64::to_be_bytes`]. An absent key counts as 0, so
    /// a `delta` of 0 makes it there. No other write comes between the look and the write.
    ///
    /// # Errors
    /// Those of [`set`](Store::set). `InvalidArgument` when the value is not eight bytes long, or the
    /// sum is out of range; nothing is written then.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// assert_eq!(store.increment("visits", 1)?, 1);
    /// assert_eq!(store.increment("visits", 41)?, 42);
    /// assert_eq!(store.get("visits")?.as_deref(), Some(42_i64.to_be_bytes().as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn increment(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64> {
        self.increment_with(key, delta, self.inner.durability())
    }

    /// As [`increment`](Store::increment), as durably as `durability` says.
    ///
    /// # Errors
    /// Those of [`increment`](Store::increment).
    pub fn increment_with(
        &self,
        key: impl AsRef<[u8]>,
        delta: i64,
        durability: Durability,
    ) -> Result<i64> {
        let key = key.as_ref();
        self.inner.check_writable()?;
        self.inner.check_lens(key.len(), size_of::<i64>())?;
        let hash = self.inner.index.hash(key);
        let request = Request::Increment(Increment { hash, key, delta });
        self.inner.request(request, durability).map(Answer::sum)
    }
}

/// The operations of `batch`, with the hashes of their keys.
pub(super) fn operations<'a>(batch: &'a Batch, hashes: &'a [KeyHash]) -> Operations<'a> {
    Operations { bytes: &batch.bytes, operations: &batch.operations, hashes }
}

impl Inner {
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check()?;
        if self.is_read_only() {
            let path = self.path();
            let message = format!("{} was opened read-only; open it for writing", path.display());
            return Err(Error::new(ErrorKind::ReadOnly, message).at(path, None));
        }
        Ok(())
    }

    /// Refuses a key and a value that are not to be set.
    #[inline]
    pub(super) fn check_lens(&self, key_len: usize, value_len: usize) -> Result<()> {
        check_len("key", key_len, self.options.max_key_len)?;
        check_len("value", value_len, self.options.max_value_len)
    }

    /// Refuses a batch before anything of it is written.
    pub(super) fn check_batch(&self, batch: &Batch) -> Result<()> {
        self.check_writable()?;
        self.check_lens(batch.longest_key, batch.longest_value)?;
        check_count(batch.len())
    }

    pub(super) fn hashes(&self, batch: &Batch) -> Result<Vec<KeyHash>> {
        let mut hashes = Vec::new();
        hashes.try_reserve_exact(batch.len()).map_err(|_| {
            let message = format!("no memory for a batch of {} operations", batch.len());
            Error::new(ErrorKind::OutOfMemory, message)
        })?;
        hashes.extend(batch.operations.iter().map(|operation| {
            let end = operation.start + operation.key_len;
            self.index.hash(&batch.bytes[operation.start..end])
        }));
        Ok(hashes)
    }

    /// Commits one write. Returns whether the key existed before.
    pub(super) fn write(
        &self,
        change: Change,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<bool> {
        self.check_writable()?;
        // A key that is too long now may have been set under another limit: it can be deleted.
        if change == Change::Set {
            self.check_lens(key.len(), value.len())?;
        }
        let hash = self.index.hash(key);
        self.index.prefetch_line(hash, &Epoch.enter());
        let write = Write { change, key, value, hash };
        let outcome = match durability {
            Durability::Os => self.committer.commit(write),
            Durability::Sync => {
                self.committer.commit_synced(Request::Write(write)).map(Answer::flag)
            }
        };
        self.after_write();
        outcome.map_err(|error| self.named(error))
    }

    fn request(&self, request: Request<'_>, durability: Durability) -> Result<Answer> {
        let outcome = match durability {
            Durability::Os => self.committer.commit_request(request),
            Durability::Sync => self.committer.commit_synced(request),
        };
        self.after_write();
        outcome.map_err(|error| self.named(error))
    }

    /// What follows every commit, with nothing locked.
    #[inline]
    pub(super) fn after_write(&self) {
        if self.checkpoints.is_due() {
            self.checkpoint_is_due();
        }
    }

    /// The error of a write that a close has overtaken names the directory.
    pub(super) fn named(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Closed { self.closed_error() } else { error }
    }
}

fn check_len(what: &str, len: usize, limit: u64) -> Result<()> {
    if len as u64 <= limit {
        return Ok(());
    }
    let message = format!("the {what} has {len} bytes, more than the limit of {limit}");
    Err(Error::new(ErrorKind::TooLarge, message))
}
