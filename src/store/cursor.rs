//! Cursors: scans that live on their own.

use std::ops::Range;

use super::overlay::{Next, Overlay, Own, Rest};
use super::{Store, View};
use crate::error::{Error, Result};
use crate::io::Location;
use crate::ordered::{OrderedRun, Walk};
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
    /// A cursor over the records whose keys lie in `range`: a scan that can outlive the borrow
    /// of the store, be sent to another thread, go on after the store was closed, and be moved.
    ///
    /// What it costs to find the order is told by [`Store::view`], which this call makes one of.
    ///
    /// # Errors
    /// `Closed`; `Forked`; `OutOfMemory`; `Corrupt` when a record cannot be read any more. One
    /// that memory or disk garbles only afterwards ends the cursor: see [`Cursor::check`].
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
        Cursor::new(self.inner.ordered()?, &range.into(), direction, None)
    }
}

impl View {
    /// A cursor over the records of the view whose keys lie in `range`. It does not need the
    /// view any more.
    ///
    /// # Errors
    /// `Corrupt` when a record cannot be read any more.
    pub fn cursor(&self, range: impl Into<KeyRange>, direction: Direction) -> Result<Cursor> {
        Cursor::new(self.ordered().clone(), &range.into(), direction, None)
    }
}

/// Records in order of key, at the instant at which it was opened; see [`Store::cursor`].
pub struct Cursor {
    ordered: OrderedRun,
    /// Where its range lies.
    ranks: Range<usize>,
    walk: Walk,
    direction: Direction,
    /// What the transaction that it was opened by has written in its range.
    overlay: Option<Box<Overlay>>,
    /// Why it ended before its range did.
    error: Option<Error>,
}

impl Cursor {
    fn new(
        ordered: OrderedRun,
        range: &KeyRange,
        direction: Direction,
        overlay: Option<Box<Overlay>>,
    ) -> Result<Cursor> {
        let ranks = ordered.ranks(range)?;
        let walk = Walk::new(&ordered, ranks.clone());
        Ok(Cursor { ordered, ranks, walk, direction, overlay, error: None })
    }

    /// A cursor over the records of `store` and over `writes`, which lie in `range`, are in ascending
    /// order of key, and go before the records.
    pub(super) fn merged(
        store: &Store,
        range: &KeyRange,
        direction: Direction,
        writes: Vec<Own>,
    ) -> Result<Cursor> {
        let overlay = Box::new(Overlay::new(writes));
        Cursor::new(store.inner.ordered()?, range, direction, Some(overlay))
    }

    /// The next key and its value, or `None` at the end, and when a record cannot be read any
    /// more: [`check`](Cursor::check) tells one from the other. The slices are valid until the
    /// next call.
    #[inline]
    pub fn next_pair(&mut self) -> Option<(&[u8], &[u8])> {
        self.next_pairs(1).next()
    }

    /// The next pairs, at most `count` and at least one, all valid until the next call; none at
    /// the end, as told by [`next_pair`](Cursor::next_pair). Those that are not taken from the
    /// iterator are still to come.
    #[inline]
    pub fn next_pairs(&mut self, count: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = if self.error.is_some() { 0 } else { count };
        let mut pairs = Pairs {
            ordered: &self.ordered,
            walk: &mut self.walk,
            direction: self.direction,
            error: &mut self.error,
        };
        let mut overlay = self.overlay.as_deref_mut().map(Overlay::parts);
        (0..count).map_while(move |_| match &mut overlay {
            None => pairs.next(),
            Some((writes, rest)) => pairs.next_merged(writes, rest),
        })
    }

    /// Goes on from the first key in the cursor's direction that is not before `key`: the least
    /// that is not less, or, descending, the greatest that is not greater. Forwards or backwards,
    /// but never out of the range that the cursor was opened for.
    ///
    /// # Errors
    /// `Corrupt` when a record cannot be read any more; the cursor then stays where it was.
    ///
    /// ```
    /// use kvstore::{Direction, Store};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// for key in ["a", "c", "e"] {
    ///     store.set(key, "")?;
    /// }
    /// let mut cursor = store.cursor(.., Direction::Ascending)?;
    /// cursor.seek("b")?;
    /// assert_eq!(cursor.next_pair().unwrap().0, b"c");
    /// let mut down = store.cursor(.., Direction::Descending)?;
    /// down.seek("b")?;
    /// assert_eq!(down.next_pair().unwrap().0, b"a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        let Range { start, end } = self.ranks;
        let descending = self.direction == Direction::Descending;
        let rank = self.ordered.count_before(key.as_ref(), descending)?.clamp(start, end);
        let ranks = if descending { start..rank } else { rank..end };
        self.walk = Walk::new(&self.ordered, ranks);
        if let Some(overlay) = &mut self.overlay {
            overlay.seek(key.as_ref(), self.direction);
        }
        self.error = None;
        Ok(())
    }

    /// How many records are still to come.
    pub fn remaining(&self) -> usize {
        if self.error.is_some() {
            return 0;
        }
        let growth = self.overlay.as_ref().map_or(0, |overlay| overlay.growth());
        self.walk.left().saturating_add_signed(growth)
    }

    /// Whether the cursor has come to no record that cannot be read any more.
    ///
    /// # Errors
    /// `Corrupt`, naming file and offset, when memory or disk has garbled a record since it was
    /// written; the cursor ended there. [`seek`](Cursor::seek) can go on elsewhere.
    ///
    /// ```
    /// use kvstore::{Direction, Store};
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let mut cursor = store.cursor(.., Direction::Ascending)?;
    /// while let Some((key, value)) = cursor.next_pair() {
    ///     println!("{} bytes, {} bytes", key.len(), value.len());
    /// }
    /// cursor.check()?; // it was the end
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        match &self.error {
            None => Ok(()),
            Some(error) => Err(error.share(error.kind(), "the cursor cannot go on")),
        }
    }
}

/// What [`Cursor::next_pairs`] goes through.
struct Pairs<'a> {
    ordered: &'a OrderedRun,
    walk: &'a mut Walk,
    direction: Direction,
    error: &'a mut Option<Error>,
}

impl<'a> Pairs<'a> {
    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let location = self.step()?;
        self.record(location)
    }

    /// The next of the store's records and of what a transaction has written.
    fn next_merged<'b>(
        &mut self,
        writes: &'b [Own],
        rest: &mut Rest,
    ) -> Option<(&'b [u8], &'b [u8])>
    where
        'a: 'b,
    {
        loop {
            if rest.stored.is_none() {
                rest.stored = self.step();
            }
            let stored = match rest.stored {
                None => None,
                Some(location) => Some(self.record(location)?),
            };
            match rest.next(writes, stored.map(|(key, _)| key), self.direction) {
                Next::Own { key, value } => return Some((key, value)),
                Next::Hidden => {}
                Next::Nothing => return None,
                Next::Stored => {
                    rest.stored = None;
                    return stored;
                }
            }
        }
    }

    #[inline]
    fn step(&mut self) -> Option<Location> {
        match self.direction {
            Direction::Ascending => self.walk.next(self.ordered),
            Direction::Descending => self.walk.next_back(self.ordered),
        }
    }

    #[inline]
    fn record(&mut self, location: Location) -> Option<(&'a [u8], &'a [u8])> {
        match self.ordered.pins().record(location) {
            Ok(record) => Some((record.key, record.value)),
            Err(unreadable) => {
                *self.error = Some(unreadable);
                None
            }
        }
    }
}
