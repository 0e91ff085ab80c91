//! Scans: records in order of key, all of one instant.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Store, Value};
use crate::error::{Error, Result};
use crate::io::{Epoch, PinnedBytes};
use crate::ordered::{Collected, OrderedRun};
use crate::range::KeyRange;

/// The order in which a [`Cursor`] comes to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// From the least key in byte order.
    #[default]
    Ascending,
    /// From the greatest.
    Descending,
}

impl Store {
    /// Every record whose key lies in `range`, in ascending order of key, or descending with
    /// `.rev()`. The scan sees the store at the instant of this call, whatever is written while
    /// it runs.
    ///
    /// Finding that order takes a pass over all records: see [`Store::cursor`] for the cost.
    ///
    /// # Errors
    /// The first item is an error, and the only one, when the store is closed (`Closed`,
    /// `Forked`), memory cannot be had (`OutOfMemory`) or a record cannot be read any more
    /// (`Corrupt`).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// for (key, value) in [("c", "3"), ("a", "1"), ("b", "2")] {
    ///     store.set(key, value)?;
    /// }
    /// let mut keys = Vec::new();
    /// for item in store.scan("b"..) {
    ///     let (key, _value) = item?;
    ///     keys.push(key.to_vec());
    /// }
    /// assert_eq!(keys, [b"b", b"c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, range: impl Into<KeyRange>) -> Scan<'_> {
        Scan { pairs: Pairs::new(self.ordered(&range.into())), store: PhantomData }
    }

    /// Every record whose key begins with `prefix`; otherwise as [`scan`](Store::scan).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<'_> {
        self.scan(KeyRange::prefix(prefix))
    }

    /// Every key in ascending order, or descending with `.rev()`; otherwise as
    /// [`scan`](Store::scan).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("b", "")?;
    /// store.set("a", "")?;
    /// let keys = store.keys().collect::<kvstore::Result<Vec<_>>>()?;
    /// assert_eq!(keys[0], b"a".as_slice());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keys(&self) -> Keys<'_> {
        Keys { pairs: Pairs::new(self.ordered(&KeyRange::all())), store: PhantomData }
    }

    /// A cursor over the records whose keys lie in `range`: a scan that can outlive the borrow
    /// of the store, be sent to another thread, and go on after the store was closed.
    ///
    /// Opening one holds up writers for the time it takes to copy the index, about 10 ns a
    /// record of the store, and then sorts the keys that lie in the range.
    ///
    /// # Errors
    /// `Closed`; `Forked`; `OutOfMemory`; `Corrupt` when a record cannot be read any more. Should
    /// memory or disk garble a record's lengths only afterwards, the cursor passes it over.
    ///
    /// ```
    /// use kvstore::{Direction, Store};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// store.set("b", "2")?;
    /// let mut cursor = store.cursor(.., Direction::Descending)?;
    /// store.close()?;
    /// assert_eq!(cursor.next_pair(), Some((b"b".as_slice(), b"2".as_slice())));
    /// assert_eq!(cursor.remaining(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cursor(&self, range: impl Into<KeyRange>, direction: Direction) -> Result<Cursor> {
        let run = self.ordered(&range.into())?;
        Ok(Cursor { left: 0..run.len(), run, direction })
    }

    fn ordered(&self, range: &KeyRange) -> Result<OrderedRun> {
        self.check()?;
        let collected = {
            // One instant: no write is published while the writer is held.
            let mut writer = self.inner.committer.lock();
            self.check()?;
            let pins = self.inner.segments.snapshot(&Epoch.enter());
            Collected::new(&mut writer.index, pins)?
        };
        collected.sort(range)
    }
}

/// Records in order of key, at the instant at which it was opened; see [`Store::cursor`].
pub struct Cursor {
    run: OrderedRun,
    left: Range<usize>,
    direction: Direction,
}

impl Cursor {
    /// The next key and its value, or `None` at the end. The slices are valid until the next
    /// call.
    #[inline]
    pub fn next_pair(&mut self) -> Option<(&[u8], &[u8])> {
        self.next_pairs(1).next()
    }

    /// Passes over records that can no longer be read, so that they do not look like the end.
    fn skip_unreadable(&mut self) {
        while !self.left.is_empty() {
            let next = match self.direction {
                Direction::Ascending => self.left.start,
                Direction::Descending => self.left.end - 1,
            };
            if self.run.get(next).is_ok() {
                return;
            }
            match self.direction {
                Direction::Ascending => self.left.start += 1,
                Direction::Descending => self.left.end -= 1,
            }
        }
    }

    /// The next pairs, at least one and at most `count`, all valid until the next call; none at
    /// the end. Those that are not taken from the iterator are skipped.
    #[inline]
    pub fn next_pairs(&mut self, count: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.skip_unreadable();
        let (run, direction) = (&self.run, self.direction);
        let count = count.min(self.left.len());
        let positions = match direction {
            Direction::Ascending => self.left.start..self.left.start + count,
            Direction::Descending => self.left.end - count..self.left.end,
        };
        match direction {
            Direction::Ascending => self.left.start = positions.end,
            Direction::Descending => self.left.end = positions.start,
        }
        (0..count).filter_map(move |step| {
            let position = match direction {
                Direction::Ascending => positions.start + step,
                Direction::Descending => positions.end - 1 - step,
            };
            match direction {
                Direction::Ascending => run.prefetch_after(position),
                Direction::Descending => run.prefetch_before(position),
            }
            // All were read when the cursor was opened; see `Store::cursor`.
            run.get(position).ok().map(|(_, run)| (run.key, run.value))
        })
    }

    /// How many records are still to come.
    pub fn remaining(&self) -> usize {
        self.left.len()
    }
}

/// What [`Scan`] and [`Keys`] walk over.
struct Pairs {
    run: Option<OrderedRun>,
    left: Range<usize>,
    error: Option<Error>,
}

impl Pairs {
    fn new(run: Result<OrderedRun>) -> Pairs {
        match run {
            Ok(run) => Pairs { left: 0..run.len(), run: Some(run), error: None },
            Err(error) => Pairs { left: 0..0, run: None, error: Some(error) },
        }
    }

    fn next(&mut self) -> Option<Result<(PinnedBytes, PinnedBytes)>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let (run, position) = (self.run.as_ref()?, self.left.next()?);
        run.prefetch_after(position);
        Some(run.pin(position))
    }

    fn next_back(&mut self) -> Option<Result<(PinnedBytes, PinnedBytes)>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let (run, position) = (self.run.as_ref()?, self.left.next_back()?);
        run.prefetch_before(position);
        Some(run.pin(position))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left.len() + usize::from(self.error.is_some());
        (left, Some(left))
    }
}

/// Iterator over keys and values, from [`Store::scan`].
pub struct Scan<'a> {
    pairs: Pairs,
    store: PhantomData<&'a Store>,
}

/// Iterator over keys, from [`Store::keys`].
pub struct Keys<'a> {
    pairs: Pairs,
    store: PhantomData<&'a Store>,
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<(Value<'a>, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pairs.next().map(|item| item.map(as_values))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pairs.size_hint()
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.pairs.next_back().map(|item| item.map(as_values))
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Result<Value<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pairs.next().map(|item| item.map(|(key, _)| Value::pinned(key)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pairs.size_hint()
    }
}

impl DoubleEndedIterator for Keys<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.pairs.next_back().map(|item| item.map(|(key, _)| Value::pinned(key)))
    }
}

fn as_values<'a>((key, value): (PinnedBytes, PinnedBytes)) -> (Value<'a>, Value<'a>) {
    (Value::pinned(key), Value::pinned(value))
}
