//! Reads by key.

use super::{PinnedValue, Store, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::index::KeyHash;
use crate::io::{Epoch, Guard, GuardedBytes};

/// Keys looked up together: enough for their cache misses to overlap, few enough for what was
/// fetched to be still near when it is used.
const BATCH: usize = 32;

impl Store {
    /// The value of `key`, or `None` when there is none. The bytes are borrowed from the mapped
    /// file; see [`Value`] for how long they may be held.
    ///
    /// # Errors
    /// `Closed`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("user:1", "alice")?;
    /// assert_eq!(store.get("user:1")?.as_deref(), Some(b"alice".as_slice()));
    /// assert!(store.get("user:2")?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        self.inner.check()?;
        let key = key.as_ref();
        self.value(key, self.inner.index.hash(key))
    }

    /// Calls `read` with the value of `key` and returns what it returns; `None` when there is no
    /// value. The fastest way to look at a value or to copy it somewhere.
    ///
    /// # Errors
    /// `Closed`; `Forked`.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("key", "value")?;
    /// assert_eq!(store.get_with("key", |value| value.len())?, Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get_with<R>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<Option<R>> {
        self.inner.check()?;
        let (key, index) = (key.as_ref(), &*self.inner.index);
        let hash = index.hash(key);
        match Epoch.with(|guard| index.find(hash, key, guard).map(read)) {
            Some(result) => Ok(Some(result)),
            None => self.check_absence().map(|()| None),
        }
    }

    /// As [`get`](Store::get), for a value that is to be kept or given to another thread: it
    /// keeps its file mapped by a reference count, also after the store was closed.
    ///
    /// # Errors
    /// `Closed`; `Forked`.
    pub fn get_pinned(&self, key: impl AsRef<[u8]>) -> Result<Option<PinnedValue>> {
        self.inner.check()?;
        let (key, index) = (key.as_ref(), &*self.inner.index);
        let guard = Epoch.enter();
        loop {
            let Some(value) = index.find(index.hash(key), key, &guard) else {
                return self.check_absence().map(|()| None);
            };
            if let Some(pinned) = self.inner.segments.pin(value, &guard) {
                return Ok(Some(PinnedValue::new(pinned)));
            }
            // A close has overtaken this, or a checkpoint: then it is found in another place.
            self.check_absence()?;
        }
    }

    /// The values of many keys, in the order of the keys. Their cache misses overlap, which
    /// makes this about twice as fast as a loop. Of a [batch](Store::write) they have all or nothing;
    /// of other writes each has what it has when it is looked at.
    ///
    /// # Errors
    /// `Closed`; `Forked`; `OutOfMemory` for more keys than there is memory for.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let values = store.get_many(&["a", "b"])?;
    /// assert_eq!(values[0].as_deref(), Some(b"1".as_slice()));
    /// assert!(values[1].is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value<'_>>>> {
        let mut values = room_for(keys.len())?;
        let guard = Epoch.enter();
        self.consistently(|| {
            values.clear();
            for batch in keys.chunks(BATCH) {
                let hashes = self.prefetch(batch, &guard);
                for (key, hash) in batch.iter().zip(hashes) {
                    values.push(self.find(key.as_ref(), hash));
                }
            }
        })?;
        if values.iter().any(Option::is_none) {
            self.check_absence()?;
        }
        Ok(values)
    }

    /// As [`get_many`](Store::get_many), without the cost of a value that can be held: calls `visit`
    /// with the position of each key and its value, in the order of the keys. Up to 32 keys take no
    /// memory, more 16 bytes each for the time of the call.
    ///
    /// # Errors
    /// Those of [`get_many`](Store::get_many).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("a", "1")?;
    /// let mut found = 0;
    /// store.get_many_with(&["a", "b"], |_, value| found += usize::from(value.is_some()))?;
    /// assert_eq!(found, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut visit: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        let guard = Epoch.enter();
        let (mut few, mut many) = ([None; BATCH], None);
        let found = if keys.len() <= BATCH {
            &mut few[..keys.len()]
        } else {
            let many = many.insert(room_for(keys.len())?);
            many.resize(keys.len(), None);
            &mut many[..]
        };
        self.consistently(|| {
            for (keys, found) in keys.chunks(BATCH).zip(found.chunks_mut(BATCH)) {
                let hashes = self.prefetch(keys, &guard);
                for ((key, hash), found) in keys.iter().zip(hashes).zip(found) {
                    *found = self.inner.index.find(hash, key.as_ref(), &guard);
                }
            }
        })?;
        if found.iter().any(Option::is_none) {
            self.check_absence()?;
        }
        // Only now, since a batch that came between would have had all of it read again.
        found.iter().enumerate().for_each(|(position, value)| visit(position, *value));
        Ok(())
    }

    /// Calls `read`, again if a batch was published meanwhile.
    fn consistently(&self, read: impl FnMut()) -> Result<()> {
        match self.inner.gate().consistently(read) {
            Ok(()) => Ok(()),
            Err(passage) => self.inner.passed(passage),
        }
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// `Closed`; `Forked`.
    #[inline]
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.inner.check()?;
        let key = key.as_ref();
        let guard = Epoch.enter();
        let found = self.inner.index.find(self.inner.index.hash(key), key, &guard).is_some();
        if !found {
            self.check_absence()?;
        }
        Ok(found)
    }

    /// Number of keys; 0 once the store is closed.
    #[inline]
    pub fn len(&self) -> usize {
        self.inner.gate().look(|| self.inner.index.len())
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn value(&self, key: &[u8], hash: KeyHash) -> Result<Option<Value<'_>>> {
        match self.find(key, hash) {
            Some(value) => Ok(Some(value)),
            None => self.check_absence().map(|()| None),
        }
    }

    #[inline(always)]
    fn find(&self, key: &[u8], hash: KeyHash) -> Option<Value<'_>> {
        let index = &*self.inner.index;
        let found = GuardedBytes::find(Epoch.enter(), |guard| index.find(hash, key, guard));
        found.map(Value::guarded)
    }

    /// Nothing was found: also what a reader sees that is overtaken by a close.
    #[inline]
    fn check_absence(&self) -> Result<()> {
        if self.inner.is_closed() { Err(self.inner.closed_error()) } else { Ok(()) }
    }

    /// Has lines, then records, of a batch of keys brought near. Returns the keys' hashes.
    #[inline]
    fn prefetch<K: AsRef<[u8]>>(
        &self,
        batch: &[K],
        guard: &Guard<'_>,
    ) -> impl Iterator<Item = KeyHash> + use<K> {
        let index = &self.inner.index;
        let mut hashes = [KeyHash::default(); BATCH];
        for (hash, key) in hashes.iter_mut().zip(batch) {
            *hash = index.hash(key.as_ref());
            index.prefetch_line(*hash, guard);
        }
        for &hash in &hashes[..batch.len()] {
            index.prefetch_record(hash, guard);
        }
        hashes.into_iter()
    }
}

fn room_for<T>(keys: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(keys).map_err(|_| {
        let message = format!("no memory for the values of {keys} keys");
        Error::new(ErrorKind::OutOfMemory, message)
    })?;
    Ok(values)
}
