//! Transactions: reads and writes of one thread that nobody else's writes come between.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::fmt;
use std::iter;
use std::ops::Bound;
use std::option;

use super::overlay::Own;
use super::write::operations;
use super::{Batch, Cursor, Direction, Scan, Store, Value};
use crate::commit::{Request, add};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Durability;
use crate::range::KeyRange;

impl Store {
    /// Begins a transaction: reads and writes of this thread that take effect together, as if at one
    /// instant, when it is [committed](Transaction::commit), or not at all.
    ///
    /// Transactions are serializable: one is open at a time, and while it is, every other write waits
    /// (also [`set`](Store::set), [`delete`](Store::delete) and the like on other threads) for up to
    /// [`Options::transaction_timeout`](crate::Options::transaction_timeout), and then fails with
    /// [`Locked`](crate::ErrorKind::Locked). So does [`close`](Store::close). Readers do not wait, and
    /// see nothing of it before the commit. Keep it short, and do not wait for other threads in it.
    /// On the thread that has one open, another one, a plain write, and a close are refused at once
    /// with [`InvalidArgument`](crate::ErrorKind::InvalidArgument): they would wait for themselves.
    /// What is dropped without a commit has no effect.
    ///
    /// # Errors
    /// `Locked` and `InvalidArgument` as above; `ReadOnly`; `Poisoned`; `Closed`; `Forked`.
    ///
    /// ```
    /// use kvstore::Store;
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.set("from", "100")?;
    ///
    /// let mut transaction = store.transaction()?;
    /// let balance: u32 = String::from_utf8(transaction.get("from")?.unwrap().to_vec())?.parse()?;
    /// transaction.set("from", (balance - 30).to_string());
    /// transaction.set("to", "30");
    /// assert_eq!(transaction.get("from")?.as_deref(), Some(b"70".as_slice()));
    /// assert_eq!(store.get("from")?.as_deref(), Some(b"100".as_slice()));
    /// transaction.commit()?;
    /// assert_eq!(store.get("from")?.as_deref(), Some(b"70".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction(&self) -> Result<Transaction> {
        self.inner.check_writable()?;
        let begun = self.inner.committer.begin_transaction();
        begun.map_err(|error| self.inner.named(error))?;
        Ok(Transaction {
            store: self.clone(),
            written: BTreeMap::new(),
            grown: 0,
            popped: None,
            open: true,
        })
    }
}

/// Reads and writes that take effect together; see [`Store::transaction`]. Dropping it aborts it. It
/// may be given to another thread; the one that began it is still the one whose plain writes are
/// refused at once, and those of the other wait for as long as everybody's.
pub struct Transaction {
    store: Store,
    /// What it has written so far; the store has nothing of it.
    written: BTreeMap<Vec<u8>, Written>,
    /// How many more keys there are with it than without.
    grown: isize,
    /// The last key of [`pop_first`](Transaction::pop_first), as long as none is there up to it: what
    /// was popped is not passed over again and again.
    popped: Option<Vec<u8>>,
    /// Whether it keeps other writers out.
    open: bool,
}

struct Written {
    /// `None` once it is deleted.
    value: Option<Vec<u8>>,
    /// Whether the store has the key.
    existed: bool,
}

impl Written {
    fn growth(&self) -> isize {
        isize::from(self.value.is_some()) - isize::from(self.existed)
    }
}

impl Transaction {
    /// The value of `key`, with what this transaction has written.
    ///
    /// # Errors
    /// `Forked`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        let key = key.as_ref();
        match self.written.get(key) {
            // Nobody else writes, so what the store has stays as it is.
            None => self.store.get(key),
            Some(written) => {
                self.store.check()?;
                Ok(written.value.as_deref().map(Value::borrowed))
            }
        }
    }

    /// Whether `key` has a value, with what this transaction has written.
    ///
    /// # Errors
    /// `Forked`.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.get(key).map(|value| value.is_some())
    }

    /// Number of keys, with what this transaction has written.
    pub fn len(&self) -> usize {
        self.store.len().saturating_add_signed(self.grown)
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets `key` to `value` when the transaction is committed. The bytes are copied. A key or a value
    /// that is too long is refused by the commit.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.put(key.as_ref(), Some(value.as_ref().to_vec()));
    }

    /// As [`set`](Transaction::set); false, and nothing set, when there is no memory for a copy. For
    /// callers that must not abort.
    pub(crate) fn try_set(&mut self, key: &[u8], value: &[u8]) -> bool {
        let mut copy = Vec::new();
        // Room for the key is freed at once, and most likely had again.
        let has_room = Vec::<u8>::new().try_reserve_exact(key.len()).is_ok()
            && copy.try_reserve_exact(value.len()).is_ok();
        if has_room {
            copy.extend_from_slice(value);
            self.put(key, Some(copy));
        }
        has_room
    }

    /// Deletes `key` when the transaction is committed. Returns whether it is there, with what this
    /// transaction has written.
    ///
    /// # Errors
    /// `Forked`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        let existed = self.contains(key)?;
        if existed {
            self.put(key, None);
        }
        Ok(existed)
    }

    /// Sets `key` to `new` if its value is `expected`, with what this transaction has written; whether
    /// it was. `None` is absence, as for [`Store::compare_and_set`].
    ///
    /// # Errors
    /// `TooLarge`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// let mut transaction = store.transaction()?;
    /// assert!(transaction.compare_and_set("lock", None, Some(b"mine"))?);
    /// assert!(!transaction.compare_and_set("lock", None, Some(b"yours"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compare_and_set(
        &mut self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        let key = key.as_ref();
        if let Some(new) = new {
            self.store.inner.check_lens(key.len(), new.len())?;
        }
        let matches = self.get(key)?.as_deref() == expected;
        match new {
            Some(new) if matches => self.put(key, Some(new.to_vec())),
            None if matches && expected.is_some() => self.put(key, None),
            _ => {}
        }
        Ok(matches)
    }

    /// Adds `delta` to the number that is the value of `key`, with what this transaction has written,
    /// and returns the sum. Numbers are those of [`Store::increment`].
    ///
    /// # Errors
    /// `InvalidArgument` when the value is not eight bytes long, or the sum is out of range; nothing is
    /// written then. `TooLarge`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// let mut transaction = store.transaction()?;
    /// assert_eq!(transaction.increment("visits", 1)?, 1);
    /// assert_eq!(transaction.increment("visits", 41)?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn increment(&mut self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64> {
        let key = key.as_ref();
        self.store.inner.check_lens(key.len(), size_of::<i64>())?;
        let sum = add(key.len(), self.get(key)?.as_deref(), delta)?;
        self.put(key, Some(sum.to_be_bytes().to_vec()));
        Ok(sum)
    }

    /// Deletes the first key and returns it with its value: Python's `popitem`.
    ///
    /// # Errors
    /// Those of [`Store::scan`].
    #[doc(hidden)]
    pub fn pop_first(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let after = self.popped.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let first = self.scan((after, Bound::Unbounded)).next().transpose()?;
        let Some((key, value)) = first.map(|(key, value)| (key.to_vec(), value.to_vec())) else {
            return Ok(None);
        };
        self.put(&key, None);
        self.popped = Some(key.clone());
        Ok(Some((key, value)))
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        if value.is_some() && self.popped.as_deref().is_some_and(|popped| key <= popped) {
            self.popped = None;
        }
        if let Some(written) = self.written.get_mut(key) {
            self.grown -= written.growth();
            written.value = value;
            self.grown += written.growth();
            return;
        }
        // A store that cannot be used any more refuses the commit.
        let existed = self.store.contains(key).unwrap_or(false);
        let written = Written { value, existed };
        self.grown += written.growth();
        self.written.insert(key.to_vec(), written);
    }

    /// Every record whose key lies in `range`, in ascending order of key, or descending with `.rev()`,
    /// with what this transaction has written. Otherwise as [`Store::scan`].
    ///
    /// # Errors
    /// Items are errors as those of [`Store::scan`].
    ///
    /// ```
    /// use kvstore::Store;
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// store.set("c", "3")?;
    /// let mut transaction = store.transaction()?;
    /// transaction.set("b", "2");
    /// transaction.delete("c")?;
    /// let keys: Vec<_> = transaction.scan(..).map(|item| item.unwrap().0.to_vec()).collect();
    /// assert_eq!(keys, [b"a", b"b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, range: impl Into<KeyRange>) -> TransactionScan<'_> {
        let range = range.into();
        let written = Ends::new(self.written(&range));
        TransactionScan { stored: Ends::new(self.store.scan(range)), written }
    }

    /// A cursor over the records whose keys lie in `range`, with what this transaction has written
    /// so far. It does not need the transaction any more. Otherwise as [`Store::cursor`].
    ///
    /// # Errors
    /// Those of [`Store::cursor`].
    ///
    /// ```
    /// use kvstore::{Direction, Store};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let mut transaction = store.transaction()?;
    /// transaction.set("b", "2");
    /// let mut cursor = transaction.cursor(.., Direction::Descending)?;
    /// assert_eq!(cursor.next_pair(), Some((b"b".as_slice(), b"2".as_slice())));
    /// assert_eq!(cursor.remaining(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cursor(&self, range: impl Into<KeyRange>, direction: Direction) -> Result<Cursor> {
        let range = range.into();
        let own = |(key, written): (&Vec<u8>, &Written)| Own {
            key: key.clone(),
            value: written.value.clone(),
            existed: written.existed,
        };
        let writes = self.written(&range).map(own).collect();
        Cursor::merged(&self.store, &range, direction, writes)
    }

    /// What it has written in `range`, in ascending order of key.
    fn written(&self, range: &KeyRange) -> WrittenIn<'_> {
        let written = match range.is_empty() {
            // For which a map has only a panic.
            true => None,
            false => Some(self.written.range::<[u8], _>((range.start(), range.end()))),
        };
        written.into_iter().flatten()
    }

    /// Every record whose key begins with `prefix`; otherwise as [`scan`](Transaction::scan).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> TransactionScan<'_> {
        self.scan(KeyRange::prefix(prefix))
    }

    /// Carries out all that was written, as one [batch](Store::write), as durably as the store was
    /// opened for. If nothing was, there is nothing to do.
    ///
    /// # Errors
    /// Those of [`Store::write`]; the transaction has then come to its end without effect, unless the
    /// error is `Indeterminate`: then all of it survives, or nothing.
    pub fn commit(self) -> Result<()> {
        let durability = self.store.inner.durability();
        self.commit_with(durability)
    }

    /// As [`commit`](Transaction::commit), as durably as `durability` says.
    ///
    /// # Errors
    /// Those of [`commit`](Transaction::commit).
    pub fn commit_with(mut self, durability: Durability) -> Result<()> {
        let inner = &self.store.inner;
        inner.check_writable()?;
        if self.written.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        let len = |(key, written): (&Vec<u8>, &Written)| {
            key.len().saturating_add(written.value.as_ref().map_or(0, Vec::len))
        };
        let bytes = self.written.iter().map(len).fold(0, usize::saturating_add);
        if !batch.try_reserve(self.written.len(), bytes) {
            let message = format!("no memory for {bytes} bytes to commit; nothing was written");
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        for (key, written) in &self.written {
            match &written.value {
                Some(value) => drop(batch.set(key, value)),
                None => drop(batch.delete(key)),
            }
        }
        inner.check_batch(&batch)?;
        let hashes = inner.hashes(&batch)?;
        let request = Request::Batch(operations(&batch, &hashes));
        let sync = durability == Durability::Sync;
        let outcome = inner.committer.commit_transaction(request, sync);
        self.open = false;
        inner.after_write();
        outcome.map(drop).map_err(|error| self.store.inner.named(error))
    }

    /// Ends the transaction without any effect, as dropping it does.
    pub fn abort(self) {}
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let inner = &self.store.inner;
        // In a forked child the lock may be held by a thread that is not there.
        if self.open && inner.check_not_forked().is_ok() {
            inner.committer.end_transaction();
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("path", &self.store.path())
            .field("written", &self.written.len())
            .finish_non_exhaustive()
    }
}

/// Iterator over keys and values, from [`Transaction::scan`].
pub struct TransactionScan<'a> {
    stored: Ends<Scan<'a>>,
    written: Ends<WrittenIn<'a>>,
}

type WrittenIn<'a> = iter::Flatten<option::IntoIter<Range<'a, Vec<u8>, Written>>>;

/// An iterator whose next items at both ends can be looked at.
struct Ends<I: Iterator> {
    items: I,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<I: DoubleEndedIterator> Ends<I> {
    fn new(items: I) -> Ends<I> {
        Ends { items, front: None, back: None }
    }

    /// The item that `end` comes to next, left where it is until it is taken.
    fn peek(&mut self, end: End) -> &mut Option<I::Item> {
        let Ends { items, front, back } = self;
        match end {
            End::Front => {
                if front.is_none() {
                    *front = items.next().or_else(|| back.take());
                }
                front
            }
            End::Back => {
                if back.is_none() {
                    *back = items.next_back().or_else(|| front.take());
                }
                back
            }
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

type Pair<'a> = (Value<'a>, Value<'a>);

impl<'a> TransactionScan<'a> {
    fn step(&mut self, end: End) -> Option<Result<Pair<'a>>> {
        loop {
            let (stored, written) = (self.stored.peek(end), self.written.peek(end));
            let order = match (&*stored, &*written) {
                (None, None) => return None,
                // An item that is an error has no place in the order.
                (Some(Err(_)), _) | (Some(_), None) => return stored.take(),
                (None, Some(_)) => Ordering::Greater,
                (Some(Ok((stored, _))), Some((written, _))) => match end {
                    End::Front => (**stored).cmp(written.as_slice()),
                    End::Back => written.as_slice().cmp(stored),
                },
            };
            if order == Ordering::Less {
                return stored.take();
            }
            if order == Ordering::Equal {
                // What was written is in its place.
                *stored = None;
            }
            if let Some((key, Written { value: Some(value), .. })) = written.take() {
                return Some(Ok((Value::borrowed(key), Value::borrowed(value))));
            }
        }
    }
}

impl<'a> Iterator for TransactionScan<'a> {
    type Item = Result<Pair<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(End::Front)
    }
}

impl DoubleEndedIterator for TransactionScan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(End::Back)
    }
}

impl KeyRange {
    /// Whether no key can lie in it.
    fn is_empty(&self) -> bool {
        match (self.start(), self.end()) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start >= end,
        }
    }
}
