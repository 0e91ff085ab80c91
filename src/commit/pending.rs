//! The writes of a group that are in the log and not yet published.
//!
//! Readers do not see them. But whoever comes later in the same group must: a compare-and-set,
//! an increment, and a delete, which writes nothing if the key is absent.

use std::collections::HashMap;

use super::Change;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexWriter, KeyHash};
use crate::io::Location;

/// A write in the log.
#[derive(Clone, Copy)]
pub(super) struct Appended<'a> {
    pub(super) change: Change,
    pub(super) hash: KeyHash,
    pub(super) key: &'a [u8],
    pub(super) location: Location,
    /// A later operation of the same batch has the same key: readers never see this one.
    pub(super) superseded: bool,
}

/// What to do with those that a request has appended.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// The position of the request in the group.
    pub(super) request: usize,
    pub(super) count: usize,
    pub(super) kind: PartKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    /// One write, whose answer is whether its key existed.
    Write,
    /// Those of a batch.
    Batch,
    /// One write, whose answer is known already.
    Answered,
}

#[derive(Default)]
pub(super) struct Pending<'a> {
    appended: Vec<Appended<'a>>,
    pub(super) parts: Vec<Part>,
    /// The position of the last write of each hash, for the first `mapped` writes.
    latest: HashMap<KeyHash, usize>,
    mapped: usize,
}

/// As many writes are searched one by one.
const FEW: usize = 32;

impl<'a> Pending<'a> {
    /// Makes room for the parts of `requests` requests.
    pub(super) fn with_room(requests: usize) -> Result<Pending<'a>> {
        let mut pending = Pending::default();
        pending.parts.try_reserve(requests).map_err(|_| out_of_memory(requests))?;
        Ok(pending)
    }

    /// Makes room for `count` more writes, so that nothing can fail once they are in the log.
    pub(super) fn reserve(&mut self, count: usize) -> Result<()> {
        self.appended.try_reserve(count).map_err(|_| out_of_memory(count))
    }

    #[inline]
    pub(super) fn push(&mut self, write: Appended<'a>) {
        self.appended.push(write);
    }

    pub(super) fn appended(&self) -> &[Appended<'a>] {
        &self.appended
    }

    /// The last write of `key`.
    pub(super) fn last(&mut self, hash: KeyHash, key: &[u8]) -> Option<Appended<'a>> {
        if self.appended.len() <= FEW || !self.map() {
            return self.search(self.appended.len(), hash, key);
        }
        let position = *self.latest.get(&hash)?;
        let found = self.appended[position];
        // Two keys with one hash are as good as impossible, and found all the same.
        if found.key == key { Some(found) } else { self.search(position, hash, key) }
    }

    fn search(&self, before: usize, hash: KeyHash, key: &[u8]) -> Option<Appended<'a>> {
        let mut earlier = self.appended[..before].iter().rev();
        earlier.find(|write| write.hash == hash && write.key == key).copied()
    }

    /// Brings the map up to date; false without the memory for it.
    fn map(&mut self) -> bool {
        let Pending { appended, latest, mapped, .. } = self;
        if latest.try_reserve(appended.len() - *mapped).is_err() {
            return false;
        }
        for (position, write) in appended.iter().enumerate().skip(*mapped) {
            latest.insert(write.hash, position);
        }
        *mapped = appended.len();
        true
    }

    /// What `look` makes of the value that `key` has for those who come next in the log.
    pub(super) fn with_value<R>(
        &mut self,
        index: &IndexWriter,
        hash: KeyHash,
        key: &[u8],
        look: impl FnOnce(Option<&[u8]>) -> R,
    ) -> R {
        match self.last(hash, key) {
            None => index.with_value(hash, key, look),
            Some(Appended { change: Change::Delete, .. }) => look(None),
            Some(Appended { location, .. }) => {
                index.with_record(location, |run| look(run.map(|run| run.value)))
            }
        }
    }

    /// Whether a delete of `key` has something to delete.
    pub(super) fn contains(&mut self, index: &IndexWriter, hash: KeyHash, key: &[u8]) -> bool {
        match self.last(hash, key) {
            None => index.contains(hash, key),
            Some(write) => write.change == Change::Set,
        }
    }
}

#[cold]
pub(super) fn out_of_memory(writes: usize) -> Error {
    let message = format!("no memory to commit {writes} writes together; nothing was written");
    Error::new(ErrorKind::OutOfMemory, message)
}
