//! All records of an instant in ascending order of key, in chunks that later instants share.
//!
//! A run never changes: applying changes makes another one, which copies only the chunks that they
//! fall into. So a reader keeps the run that it began with, and following a few writes costs a few
//! chunks and a list of pointers, whatever the number of records.

use std::ops::Range;
use std::sync::Arc;

use super::entry::{Entry, Order, search};
use super::out_of_memory;
use crate::error::Result;
use crate::io::SegmentPins;

/// Entries of a new chunk: 8 KiB of them.
pub(super) const CHUNK: usize = 512;

/// A chunk that changes have made smaller than this is put together with the next.
const LEAST: usize = CHUNK / 4;

/// Changes are worth applying one by one if there is no more than one for this many chunks.
/// More in a test, so that small runs come to it.
const MANY: usize = if cfg!(test) { 1 } else { 16 };

/// Changes that are looked up together, so that their cache misses overlap.
const TOGETHER: usize = 16;

/// Entries with different keys in ascending order, none of them deleted.
#[derive(Default)]
pub(crate) struct Run {
    /// Never empty.
    chunks: Vec<Arc<Vec<Entry>>>,
    /// The first entry of each chunk.
    firsts: Vec<Entry>,
    /// How many entries there are before each chunk.
    before: Vec<usize>,
    len: usize,
}

/// Where an entry stands: the chunk, and the position in it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) at: usize,
}

impl Run {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn chunk(&self, chunk: usize) -> Option<&[Entry]> {
        self.chunks.get(chunk).map(|entries| entries.as_slice())
    }

    /// All of it in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let each = size_of::<Arc<Vec<Entry>>>() + size_of::<Entry>() + size_of::<usize>();
        let chunk = size_of::<Vec<Entry>>() + 2 * size_of::<usize>();
        self.len * size_of::<Entry>() + self.chunks.len() * (each + chunk)
    }

    /// Where the entry with `rank` others before it stands; for `len` the end.
    pub(super) fn place(&self, rank: usize) -> Place {
        if rank >= self.len {
            return Place { chunk: self.chunks.len(), at: 0 };
        }
        let chunk = self.before.partition_point(|&before| before <= rank) - 1;
        Place { chunk, at: rank - self.before[chunk] }
    }

    /// How many keys are less than `key`, and whether it is there.
    ///
    /// # Errors
    /// `Corrupt` when a record that had to be looked at cannot be read any more.
    pub(super) fn rank(&self, key: &[u8], pins: &SegmentPins) -> Result<(usize, bool)> {
        let (place, found) = self.find(key, pins)?;
        Ok((self.before.get(place.chunk).map_or(0, |before| before + place.at), found))
    }

    /// Where `key` stands or would stand, and whether it is there.
    pub(super) fn find(&self, key: &[u8], pins: &SegmentPins) -> Result<(Place, bool)> {
        let order = Entry::order_of(key);
        let Some(chunk) = self.chunk_for(0, order, || Ok(key), pins)? else {
            return Ok((Place::default(), false));
        };
        let (at, found) = search(&self.chunks[chunk], order, || Ok(key), pins)?;
        Ok((Place { chunk, at }, found))
    }

    /// The chunk, at least number `from`, that a key of this order belongs into; `None` when there
    /// are no chunks from there on.
    fn chunk_for<'k>(
        &self,
        from: usize,
        order: Order,
        key: impl FnOnce() -> Result<&'k [u8]>,
        pins: &SegmentPins,
    ) -> Result<Option<usize>> {
        let firsts = &self.firsts[from..];
        if firsts.is_empty() {
            return Ok(None);
        }
        let (at, found) = search(firsts, order, key, pins)?;
        Ok(Some(from + if found { at } else { at.saturating_sub(1) }))
    }

    /// The run after `changes`, which are in ascending order of key, one for each key.
    ///
    /// # Errors
    /// `OutOfMemory`; `Corrupt` when a record that had to be looked at cannot be read any more.
    pub(super) fn apply(&self, changes: &[Entry], pins: &SegmentPins) -> Result<Run> {
        let mut builder = Builder::new(self.chunks.len() + changes.len() / CHUNK)?;
        let (mut changes, mut next) = (changes, 0);
        while let Some(change) = changes.first() {
            let key = || pins.key(change.location());
            let Some(chunk) = self.chunk_for(next, change.order(), key, pins)? else { break };
            builder.share(&self.chunks[next..chunk])?;
            let end = match self.firsts.get(chunk + 1) {
                Some(first) => self.count_before(changes, *first, pins)?,
                None => changes.len(),
            };
            // The first belongs into this chunk even if it precedes all of it.
            let (here, later) = changes.split_at(end.max(1));
            builder.merge(&self.chunks[chunk], here, pins)?;
            (changes, next) = (later, chunk + 1);
        }
        builder.share(&self.chunks[next..])?;
        for change in changes.iter().filter(|change| !change.is_deleted()) {
            builder.extend(std::slice::from_ref(change))?;
        }
        builder.finish()
    }

    /// As [`apply`](Run::apply), for a run that nobody else has: a few changes then cost their
    /// chunks, and none of the others is touched.
    pub(super) fn apply_to_own(mut self, changes: &[Entry], pins: &SegmentPins) -> Result<Run> {
        if changes.len() > self.chunks.len() / MANY {
            return self.apply(changes, pins);
        }
        let (mut changes, mut next, mut first) = (changes, 0, self.chunks.len());
        while let Some(change) = changes.first() {
            let key = || pins.key(change.location());
            let Some(chunk) = self.chunk_for(next, change.order(), key, pins)? else { break };
            let end = match self.firsts.get(chunk + 1) {
                Some(first) => self.count_before(changes, *first, pins)?,
                None => changes.len(),
            };
            let (here, later) = changes.split_at(end.max(1));
            let mut builder = Builder::new(2)?;
            builder.merge(&self.chunks[chunk], here, pins)?;
            let mut rest = chunk + 1;
            if builder.is_small() && rest < self.chunks.len() {
                builder.extend(&self.chunks[rest])?;
                rest += 1;
            }
            let Run { chunks, firsts, .. } = builder.finish()?;
            self.chunks.splice(chunk..rest, chunks);
            self.firsts.splice(chunk..rest, firsts);
            first = first.min(chunk);
            // Later changes may fall into what has just been put here.
            (changes, next) = (later, chunk);
        }
        self.count_from(first)?;
        if changes.is_empty() { Ok(self) } else { self.apply(changes, pins) }
    }

    /// Counts again how many entries there are before each chunk from number `first` on.
    fn count_from(&mut self, first: usize) -> Result<()> {
        let counted = match first.checked_sub(1) {
            Some(last) => self.before[last] + self.chunks[last].len(),
            None => 0,
        };
        self.before.truncate(first);
        let more = self.chunks.len() - first;
        self.before.try_reserve(more).map_err(|_| out_of_memory(self.len))?;
        self.len = counted;
        for chunk in &self.chunks[first..] {
            self.before.push(self.len);
            self.len += chunk.len();
        }
        Ok(())
    }

    /// How many of `changes` have keys less than that of `first`.
    fn count_before(&self, changes: &[Entry], first: Entry, pins: &SegmentPins) -> Result<usize> {
        // Most often few: those of one chunk.
        let mut near = 1;
        while changes.get(near).is_some_and(|change| change.order() < first.order()) {
            near *= 2;
        }
        let near = &changes[..changes.len().min(near + 1)];
        let key = || pins.key(first.location());
        let (mut count, _) = search(near, first.order(), key, pins)?;
        if count == near.len() {
            count = search(changes, first.order(), key, pins)?.0;
        }
        Ok(count)
    }

    /// A run of `entries`, which have different keys in ascending order.
    pub(super) fn of(entries: &[Entry]) -> Result<Run> {
        let mut builder = Builder::new(entries.len() / CHUNK + 1)?;
        builder.extend(entries)?;
        builder.finish()
    }

    /// A chunk near the middle, and the order of its first key, which the keys of all chunks before
    /// are less than. `None` when there is none.
    pub(super) fn middle(&self) -> Option<(usize, Order)> {
        let divides = |&chunk: &usize| {
            let last = chunk.checked_sub(1).and_then(|before| self.chunks[before].last());
            last.is_some_and(|last| last.order() < self.firsts[chunk].order())
        };
        let chunk = (self.chunks.len() / 2..self.chunks.len()).find(divides)?;
        Some((chunk, self.firsts[chunk].order()))
    }

    /// These of its chunks.
    pub(super) fn part(&self, chunks: Range<usize>) -> Result<Run> {
        let chunks = &self.chunks[chunks.start..chunks.end.min(self.chunks.len())];
        let mut builder = Builder::new(chunks.len())?;
        builder.share(chunks)?;
        builder.finish()
    }

    /// This run and then `other`, all of whose keys are greater.
    pub(super) fn followed_by(&self, other: &Run) -> Result<Run> {
        let Some((last, chunks)) = self.chunks.split_last() else {
            return other.part(0..usize::MAX);
        };
        let mut builder = Builder::new(self.chunks.len() + other.chunks.len())?;
        builder.share(chunks)?;
        // It may be too small for a chunk of its own.
        builder.extend(last)?;
        builder.share(&other.chunks)?;
        builder.finish()
    }

    /// The same keys in the same order, each entry replaced by what `replace` makes of it.
    pub(super) fn map(&self, mut replace: impl FnMut(Entry) -> Result<Entry>) -> Result<Run> {
        let mut builder = Builder::new(self.chunks.len())?;
        for entry in self.entries() {
            builder.extend(&[replace(*entry)?])?;
        }
        builder.finish()
    }
}

/// Puts a run together from its beginning.
struct Builder {
    run: Run,
    /// What the next chunk begins with.
    open: Vec<Entry>,
}

impl Builder {
    fn new(chunks: usize) -> Result<Builder> {
        let mut builder = Builder { run: Run::default(), open: Vec::new() };
        let Run { chunks: pointers, firsts, before, .. } = &mut builder.run;
        let reserved = pointers
            .try_reserve(chunks)
            .and_then(|()| firsts.try_reserve(chunks))
            .and_then(|()| before.try_reserve(chunks))
            .and_then(|()| builder.open.try_reserve(2 * CHUNK));
        reserved.map_err(|_| out_of_memory(chunks * CHUNK))?;
        Ok(builder)
    }

    fn is_small(&self) -> bool {
        self.run.len + self.open.len() < LEAST
    }

    fn extend(&mut self, entries: &[Entry]) -> Result<()> {
        for entries in entries.chunks(CHUNK) {
            if self.open.len() + entries.len() > 2 * CHUNK {
                self.close_chunk(CHUNK)?;
            }
            self.open.extend_from_slice(entries);
        }
        Ok(())
    }

    /// Makes a chunk of the first `len` entries that are open.
    fn close_chunk(&mut self, len: usize) -> Result<()> {
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(len).map_err(|_| out_of_memory(self.run.len))?;
        chunk.extend(self.open.drain(..len));
        self.push(Arc::new(chunk))
    }

    fn push(&mut self, chunk: Arc<Vec<Entry>>) -> Result<()> {
        let Some(&first) = chunk.first() else { return Ok(()) };
        let Run { chunks, firsts, before, len } = &mut self.run;
        let reserved = chunks
            .try_reserve(1)
            .and_then(|()| firsts.try_reserve(1))
            .and_then(|()| before.try_reserve(1));
        reserved.map_err(|_| out_of_memory(*len))?;
        firsts.push(first);
        before.push(*len);
        *len += chunk.len();
        chunks.push(chunk);
        Ok(())
    }

    /// Goes on with chunks of another run.
    fn share(&mut self, chunks: &[Arc<Vec<Entry>>]) -> Result<()> {
        for chunk in chunks {
            if !self.open.is_empty() {
                if self.open.len() < LEAST {
                    self.extend(chunk)?;
                    continue;
                }
                self.close_chunk(self.open.len())?;
            }
            self.push(Arc::clone(chunk))?;
        }
        Ok(())
    }

    /// Goes on with `entries` and the changes that fall among them.
    fn merge(&mut self, entries: &[Entry], changes: &[Entry], pins: &SegmentPins) -> Result<()> {
        let mut rest = entries;
        for changes in changes.chunks(TOGETHER) {
            prefetch(rest, changes, pins);
            for change in changes {
                let key = || pins.key(change.location());
                let near = near(rest, change.order());
                let (at, found) = search(&rest[near.clone()], change.order(), key, pins)?;
                let at = near.start + at;
                self.extend(&rest[..at])?;
                if !change.is_deleted() {
                    self.extend(std::slice::from_ref(change))?;
                }
                rest = &rest[at + usize::from(found)..];
            }
        }
        self.extend(rest)
    }

    fn finish(mut self) -> Result<Run> {
        self.close_chunk(self.open.len())?;
        Ok(self.run)
    }
}

/// The part of `entries` in which the place of a key of this `order` is, which is most often near
/// their beginning: where there are many changes.
fn near(entries: &[Entry], order: Order) -> Range<usize> {
    let mut end = 1;
    while entries.get(end - 1).is_some_and(|entry| entry.order() < order) {
        end *= 2;
    }
    // Further entries may be of the same order.
    let is_last = entries.get(end - 1).is_some_and(|entry| entry.order() > order);
    end / 2..if is_last { end } else { entries.len() }
}

/// Starts loading the records that merging `changes` among `entries` will compare.
fn prefetch(entries: &[Entry], changes: &[Entry], pins: &SegmentPins) {
    let mut rest = entries;
    for change in changes.iter().filter(|change| change.has_more()) {
        let order = change.order();
        rest = &rest[rest.partition_point(|entry| entry.order() < order)..];
        if let Some(entry) = rest.first().filter(|entry| entry.order() == order) {
            pins.prefetch(entry.location());
            pins.prefetch(change.location());
        }
    }
}
