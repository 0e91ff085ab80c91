//! Scans: records in order of key, all of one instant.

use std::rc::Rc;

use super::value::Value;
use super::{Store, View};
use crate::error::{Error, Result};
use crate::io::Location;
use crate::ordered::{OrderedRun, Walk};
use crate::range::KeyRange;
use crate::record::Run;

impl Store {
    /// Every record whose key lies in `range`, in ascending order of key, or descending with
    /// `.rev()`. The scan sees the store at the instant of this call, whatever is written while
    /// it runs. To take only some, use [`Iterator::take`]: what is not taken costs nothing.
    ///
    /// What it costs to find the order is told by [`Store::view`], which this call makes one of.
    ///
    /// # Errors
    /// The first item is an error, and the only one, when the store is closed (`Closed`,
    /// `Forked`), memory cannot be had (`OutOfMemory`) or the order cannot be found because a
    /// record cannot be read any more (`Corrupt`). A record that is garbled only after that is an
    /// item that is an error, and the scan goes on behind it.
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
        Scan(Pairs::new(self.inner.ordered().map(Rc::new).map(Source::Owned), &range.into()))
    }

    /// Every record whose key begins with `prefix`; otherwise as [`scan`](Store::scan).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<'_> {
        self.scan(KeyRange::prefix(prefix))
    }

    /// Every key in ascending order, or descending with `.rev()`; otherwise as
    /// [`scan`](Store::scan). For the keys of a range, see [`Scan::keys`].
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
        self.scan(..).keys()
    }
}

impl View {
    /// Every record whose key lies in `range`, in ascending order of key, or descending with
    /// `.rev()`. The values borrow from the view: they cost no more than a look at memory.
    ///
    /// # Errors
    /// An item is `Corrupt` when its record cannot be read any more; if the range cannot be found
    /// because of that, it is the only item.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let view = store.view()?;
    /// store.set("b", "2")?;
    /// store.delete("a")?;
    /// let pairs = view.scan(..).collect::<kvstore::Result<Vec<_>>>()?;
    /// assert_eq!(pairs.len(), 1);
    /// assert_eq!(pairs[0].0, b"a".as_slice());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, range: impl Into<KeyRange>) -> Scan<'_> {
        Scan(Pairs::new(Ok(Source::Borrowed(self.ordered())), &range.into()))
    }

    /// Every record whose key begins with `prefix`; otherwise as [`scan`](View::scan).
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan<'_> {
        self.scan(KeyRange::prefix(prefix))
    }

    /// Every key in ascending order, or descending with `.rev()`; otherwise as
    /// [`scan`](View::scan).
    pub fn keys(&self) -> Keys<'_> {
        self.scan(..).keys()
    }
}

/// Whose records a scan walks over.
enum Source<'a> {
    /// The scan's own, which what it yields may outlive.
    Owned(Rc<OrderedRun>),
    /// A view's, which items borrow from.
    Borrowed(&'a OrderedRun),
}

impl Source<'_> {
    #[inline]
    fn ordered(&self) -> &OrderedRun {
        match self {
            Source::Owned(ordered) => ordered,
            Source::Borrowed(ordered) => ordered,
        }
    }
}

/// What [`Scan`] and [`Keys`] walk over.
struct Pairs<'a>(std::result::Result<(Source<'a>, Walk), Option<Error>>);

impl<'a> Pairs<'a> {
    fn new(source: Result<Source<'a>>, range: &KeyRange) -> Pairs<'a> {
        let pairs = source.and_then(|source| {
            let ordered = source.ordered();
            let walk = Walk::new(ordered, ordered.ranks(range)?);
            Ok((source, walk))
        });
        Pairs(pairs.map_err(Some))
    }

    /// What `make` makes of the next record that `step` comes to.
    #[inline]
    fn next<T>(
        &mut self,
        step: impl FnOnce(&mut Walk, &OrderedRun) -> Option<Location>,
        make: impl FnOnce(&Source<'a>, Location) -> Result<T>,
    ) -> Option<Result<T>> {
        match &mut self.0 {
            Ok((source, walk)) => {
                let location = step(walk, source.ordered())?;
                Some(make(source, location))
            }
            Err(error) => error.take().map(Err),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Ok((_, walk)) => walk.left(),
            Err(error) => usize::from(error.is_some()),
        };
        (left, Some(left))
    }
}

#[inline]
fn pair<'a>(source: &Source<'a>, location: Location) -> Result<(Value<'a>, Value<'a>)> {
    match source {
        Source::Owned(ordered) => {
            let record = ordered.pins().record(location)?;
            let key = Value::shared(ordered, location.plus(Run::KEY_AT), record.key.len());
            let value = location.plus(record.value_at());
            Ok((key, Value::shared(ordered, value, record.value.len())))
        }
        Source::Borrowed(ordered) => {
            let record = ordered.pins().record(location)?;
            Ok((Value::borrowed(record.key), Value::borrowed(record.value)))
        }
    }
}

#[inline]
fn key<'a>(source: &Source<'a>, location: Location) -> Result<Value<'a>> {
    match source {
        Source::Owned(ordered) => {
            let len = ordered.pins().key(location)?.len();
            Ok(Value::shared(ordered, location.plus(Run::KEY_AT), len))
        }
        Source::Borrowed(ordered) => ordered.pins().key(location).map(Value::borrowed),
    }
}

/// Iterator over keys and values, from [`Store::scan`] and [`View::scan`].
pub struct Scan<'a>(Pairs<'a>);

impl<'a> Scan<'a> {
    /// The keys alone of what is left: values are not looked at.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("user:1", "alice")?;
    /// store.set("visit:1", "today")?;
    /// assert_eq!(store.scan_prefix("user:").keys().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keys(self) -> Keys<'a> {
        Keys(self.0)
    }
}

/// Iterator over keys, from [`Store::keys`], [`View::keys`] and [`Scan::keys`].
pub struct Keys<'a>(Pairs<'a>);

impl<'a> Iterator for Scan<'a> {
    type Item = Result<(Value<'a>, Value<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::next, pair)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Scan<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::next_back, pair)
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Result<Value<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::next, key)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Keys<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next(Walk::next_back, key)
    }
}
