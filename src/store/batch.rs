//! Batches: several sets and deletes that take effect together.

use std::fmt;

use crate::commit::{Change, Operation};

/// Sets and deletes that [`Store::write`](crate::Store::write) carries out all at once or not at all.
///
/// They take effect in the order in which they were added: of several for the same key the last one
/// counts. Keys and values are copied in, to one block of memory; a batch can be written again, and
/// emptied and filled again.
///
/// ```
/// use kvstore::{Batch, Store};
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// store.set("old", "1")?;
/// let mut batch = Batch::new();
/// batch.set("new", "1");
/// batch.delete("old");
/// store.write(batch)?;
/// assert_eq!(store.get_many(&["new", "old"])?[0].as_deref(), Some(b"1".as_slice()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) operations: Vec<Operation>,
    /// The longest key and the longest value that are set.
    pub(super) longest_key: usize,
    pub(super) longest_value: usize,
}

impl Batch {
    /// An empty batch, which takes no memory.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds: set `key` to `value`. Keys and values that are too long are refused when the batch is
    /// written.
    ///
    /// ```
    /// let mut batch = kvstore::Batch::new();
    /// batch.set("user:1", "alice").set("user:2", "bob");
    /// assert_eq!(batch.len(), 2);
    /// ```
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.longest_key = self.longest_key.max(key.len());
        self.longest_value = self.longest_value.max(value.len());
        self.push(Change::Set, key, value);
        self
    }

    /// Adds: delete `key`, which need not be there.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(Change::Delete, key.as_ref(), &[]);
        self
    }

    fn push(&mut self, change: Change, key: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let (key_len, value_len) = (key.len(), value.len());
        self.operations.push(Operation { change, start, key_len, value_len });
    }

    /// Makes room for so many more operations on so many bytes of keys and values; false when the
    /// memory cannot be had. For callers that must not abort.
    pub(crate) fn try_reserve(&mut self, operations: usize, bytes: usize) -> bool {
        self.bytes.try_reserve(bytes).is_ok() && self.operations.try_reserve(operations).is_ok()
    }

    /// How many operations were added.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Takes all operations out, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
        (self.longest_key, self.longest_value) = (0, 0);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
