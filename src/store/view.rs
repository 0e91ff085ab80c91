//! Views: the store at one instant.

use std::fmt;
use std::sync::atomic::Ordering;

use super::inner::Inner;
use super::{PinnedValue, Store, Value};
use crate::error::Result;
use crate::ordered::{Instant, Keep, OrderedRun};

impl Store {
    /// The store as it is at one instant between the beginning and the end of this call, to be
    /// read for as long as the view is held, whatever is written meanwhile.
    ///
    /// The first call, or first scan, puts all keys in order: about a tenth of a microsecond a
    /// record, or a quarter of that if they come from a snapshot. From then on the store keeps
    /// that order, 16 bytes a record and a little more
    /// ([`Stats::view_bytes`](crate::Stats::view_bytes)), and each call puts in order what was
    /// written since the last one; after no write it copies two pointers. Writers are not held
    /// up: they are asked for a list of what they wrote. A store that is never scanned has none
    /// of this.
    ///
    /// # Errors
    /// `Closed`; `Forked`; `OutOfMemory`; `Corrupt` when a record cannot be read any more.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// let store = kvstore::Store::open(directory.path())?;
    /// store.set("balance", "100")?;
    /// let view = store.view()?;
    /// store.set("balance", "0")?;
    /// assert_eq!(view.get("balance")?.as_deref(), Some(b"100".as_slice()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn view(&self) -> Result<View> {
        Ok(View { ordered: self.inner.ordered()? })
    }
}

/// A store at one instant: [`Store::view`] makes one.
///
/// It can be cloned and sent to other threads at the cost of two reference counts, and stays valid
/// after the store was closed. It keeps the files mapped that its records are in, and what the
/// store has replaced since on the disk.
#[derive(Clone)]
pub struct View {
    ordered: OrderedRun,
}

impl View {
    pub(crate) fn ordered(&self) -> &OrderedRun {
        &self.ordered
    }

    /// The value that `key` had, or `None` when there was none. The bytes are borrowed from the
    /// mapped file for as long as the view is.
    ///
    /// A search in order takes two to three times as long as [`Store::get`].
    ///
    /// # Errors
    /// `Corrupt` when a record cannot be read any more.
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value<'_>>> {
        let Some(location) = self.ordered.find(key.as_ref())? else { return Ok(None) };
        Ok(Some(Value::borrowed(self.ordered.pins().record(location)?.value)))
    }

    /// As [`get`](View::get), for a value that is to outlive the view.
    ///
    /// # Errors
    /// As [`get`](View::get).
    pub fn get_pinned(&self, key: impl AsRef<[u8]>) -> Result<Option<PinnedValue>> {
        let Some(location) = self.ordered.find(key.as_ref())? else { return Ok(None) };
        self.ordered.pin(location).map(PinnedValue::new).map(Some)
    }

    /// Whether `key` had a value.
    ///
    /// # Errors
    /// As [`get`](View::get).
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.ordered.find(key.as_ref())?.is_some())
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there were no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.len()).finish_non_exhaustive()
    }
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<View>();
};

impl Inner {
    /// All records in order, as of an instant between the beginning and the end of this call.
    pub(super) fn ordered(&self) -> Result<OrderedRun> {
        self.check()?;
        // Others who want the order wait here for whoever is finding it; writers do not.
        let mut standing = self.standing.lock();
        let ordered = standing.catch_up(&self.index, |keep: Keep| {
            // One instant: no write is published while the writer is held.
            let mut writer = self.committer.lock();
            self.check()?;
            Ok(Instant::take(&mut writer.index, &self.segments, keep))
        });
        // Relaxed: a figure for statistics.
        self.standing_bytes.store(standing.memory(), Ordering::Relaxed);
        ordered
    }
}
