//! The mapped files of a store by number, so that 48 bits say where a record is.
//!
//! A log that grows is mapped in windows, each a segment of its own, and a snapshot is one
//! segment; up to 255 are mapped at once.
//!
//! A number is given to another mapping only when nobody who may have read a location with it can
//! still be about to look there: when the epoch has freed what it stood for. Pins keep mappings
//! by reference count, and have a table of numbers of their own, so they keep no number.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::epoch::{Epoch, Guard, Retirable};
use super::mapping::{HeldMapping, MappedBytes, Mapping, PinnedBytes};
use super::prefetch::prefetch;
use crate::error::{Error, Result};
use crate::record::{ByteSource, Run};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicBool;

/// The number of a segment. 0 is never used, so that no location is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId(u8);

impl SegmentId {
    #[inline]
    pub(crate) fn number(self) -> usize {
        usize::from(self.0)
    }
}

/// Where a run begins: 8 bits of segment above 40 bits of offset.
///
/// A location is made by whoever wrote or checked the whole record there, and given to others
/// only afterwards; that is what makes reading at a location sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u64);

impl Location {
    /// Bits of a location; those above are zero.
    pub(crate) const BITS: u32 = 48;
    /// Of those, the lower ones are the offset.
    pub(crate) const OFFSET_BITS: u32 = 40;

    #[inline]
    pub(crate) fn new(segment: SegmentId, offset: usize) -> Location {
        debug_assert!((offset as u64) < 1 << Location::OFFSET_BITS);
        Location(u64::from(segment.0) << Location::OFFSET_BITS | offset as u64)
    }

    /// The location with these bits, which came from [`Location::bits`]; higher bits are ignored.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Location {
        Location(bits & ((1 << Location::BITS) - 1))
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The location of what lies `bytes` further on in the same segment.
    #[inline]
    pub(crate) fn plus(self, bytes: usize) -> Location {
        Location(self.0 + bytes as u64)
    }

    pub(crate) fn segment_id(self) -> SegmentId {
        SegmentId(self.segment() as u8)
    }

    /// A location in no segment: that of a deleted key whose delete is in no file any more.
    pub(crate) const NOWHERE: Location = Location(0);

    /// Whether it is in a segment, be it mapped or not.
    pub(crate) fn is_somewhere(self) -> bool {
        self.segment() != 0
    }

    #[inline]
    fn segment(self) -> usize {
        (self.0 >> Location::OFFSET_BITS) as usize
    }

    /// The offset in its segment.
    #[inline]
    pub(crate) fn offset(self) -> usize {
        (self.0 & ((1 << Location::OFFSET_BITS) - 1)) as usize
    }
}

/// In a model every slot costs.
const SLOTS: usize = if cfg!(loom) { 4 } else { 256 };

/// How many numbers [`Segments::install_unless_last`] leaves.
const LAST_NUMBERS: usize = if cfg!(loom) { 0 } else { 8 };

/// Numbers of segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SegmentSet([u64; 4]);

impl SegmentSet {
    pub(crate) fn insert(&mut self, id: SegmentId) {
        self.0[usize::from(id.0) / 64] |= 1 << (id.0 % 64);
    }

    pub(crate) fn remove(&mut self, id: SegmentId) {
        self.0[usize::from(id.0) / 64] &= !(1 << (id.0 % 64));
    }

    #[inline]
    pub(crate) fn contains(&self, id: SegmentId) -> bool {
        self.0[usize::from(id.0) / 64] >> (id.0 % 64) & 1 == 1
    }

    fn iter(self) -> impl Iterator<Item = SegmentId> {
        (0..=u8::MAX).map(SegmentId).filter(move |&id| self.contains(id))
    }
}

/// Which numbers are taken, and the mappings whose numbers no longer are.
struct Numbers {
    taken: [AtomicBool; SLOTS],
    freed: Mutex<Freed>,
}

#[derive(Default)]
struct Freed {
    /// To be unmapped by whoever has the time.
    mappings: Vec<Arc<Mapping>>,
    /// Whether somebody waits for them.
    gathered: bool,
}

/// A number in use. Given back when the epoch frees what holds it. That may be on any thread, with
/// any lock held, so if somebody waits for it the mapping is not unmapped there, which takes long for
/// a large one.
pub(super) struct Lease {
    number: usize,
    numbers: Arc<Numbers>,
    mapping: Arc<Mapping>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut freed = self.numbers.freed.lock();
        if freed.gathered {
            freed.mappings.push(self.mapping.clone());
        }
        drop(freed);
        // Release pairs with the Acquire in `install`: what readers did with the number is done.
        self.numbers.taken[self.number].store(false, Ordering::Release);
    }
}

/// The table of segments. Any thread reads it; installing and retiring take a lock.
pub(crate) struct Segments {
    slots: [Retirable<HeldMapping>; SLOTS],
    numbers: Arc<Numbers>,
    /// Pins of all segments, until one is installed or retired. Its lock serializes the writers of
    /// `slots`.
    pins: Mutex<Option<Arc<SegmentPins>>>,
}

impl Segments {
    pub(crate) fn new() -> Segments {
        let taken = std::array::from_fn(|_| AtomicBool::new(false));
        Segments {
            slots: std::array::from_fn(|_| Retirable::vacant()),
            numbers: Arc::new(Numbers { taken, freed: Mutex::new(Freed::default()) }),
            pins: Mutex::new(None),
        }
    }

    /// Gives `mapping` a number, or `None` when all are taken.
    pub(crate) fn install(&self, mapping: Arc<Mapping>) -> Option<SegmentId> {
        let mut pins = self.pins.lock();
        // Acquire pairs with the Release of whoever gave the number back.
        let is_free = |&number: &usize| !self.numbers.taken[number].load(Ordering::Acquire);
        let number = (1..SLOTS).find(is_free)?;
        // Relaxed: the lock orders those who take numbers.
        self.numbers.taken[number].store(true, Ordering::Relaxed);
        let lease = Lease { number, numbers: self.numbers.clone(), mapping: mapping.clone() };
        self.slots[number].replace(Box::new(HeldMapping::new(mapping, Some(lease))));
        *pins = None;
        Some(SegmentId(number as u8))
    }

    /// As [`install`](Segments::install), but the last numbers are not given away: with those a
    /// checkpoint can still be made, which gives back most of the others.
    pub(crate) fn install_unless_last(&self, mapping: Arc<Mapping>) -> Option<SegmentId> {
        if self.numbers_left() > LAST_NUMBERS { self.install(mapping) } else { None }
    }

    /// How many numbers are free.
    pub(crate) fn numbers_left(&self) -> usize {
        // Relaxed: an estimate.
        let taken = self.numbers.taken.iter().skip(1);
        taken.filter(|taken| !taken.load(Ordering::Relaxed)).count()
    }

    /// The segments there are.
    pub(crate) fn all(&self) -> SegmentSet {
        let _pins = self.pins.lock();
        let mut all = SegmentSet::default();
        for (number, slot) in self.slots.iter().enumerate() {
            if !slot.is_vacant() {
                all.insert(SegmentId(number as u8));
            }
        }
        all
    }

    /// Takes these segments out: who looks for a record there finds nothing from now on. Nothing is
    /// unmapped yet; [`unmap_retired`](Segments::unmap_retired) does that.
    pub(crate) fn retire(&self, retired: SegmentSet) {
        let mut pins = self.pins.lock();
        self.numbers.freed.lock().gathered = true;
        for id in retired.iter() {
            self.slots[usize::from(id.0) % SLOTS].set_aside();
        }
        *pins = None;
    }

    /// Unmaps what was retired, as far as nobody reads or pins it any more. To be called without
    /// any lock: it can take long.
    pub(crate) fn unmap_retired(&self) {
        Epoch.flush();
        let mappings = std::mem::take(&mut self.numbers.freed.lock().mappings);
        drop(mappings);
    }

    /// As [`unmap_retired`](Segments::unmap_retired), the last time: what somebody still reads is
    /// unmapped by whoever is the last to let go of it.
    pub(crate) fn leave_retired(&self) {
        self.numbers.freed.lock().gathered = false;
        self.unmap_retired();
    }

    /// Whether the epoch has freed these segments, which were retired.
    pub(crate) fn are_free(&self, retired: SegmentSet) -> bool {
        let taken = |id: SegmentId| &self.numbers.taken[usize::from(id.0) % SLOTS];
        // Relaxed: only whether to wait on depends on it.
        !retired.iter().any(|id| taken(id).load(Ordering::Relaxed))
    }

    /// Takes every segment out; each is unmapped when nobody reads or pins it any more.
    pub(crate) fn retire_all(&self) {
        let mut pins = self.pins.lock();
        for slot in &self.slots {
            slot.set_aside();
        }
        *pins = None;
        drop(pins);
        self.leave_retired();
    }

    /// All segments of this instant, by number: pins for a scan. Everybody shares the same ones
    /// until a segment is installed or retired.
    pub(crate) fn pins(&self) -> Arc<SegmentPins> {
        let mut pins = self.pins.lock();
        Arc::clone(pins.get_or_insert_with(|| {
            let guard = Epoch.enter();
            let pin = |held: &HeldMapping| HeldMapping::new(held.mapping().clone(), None);
            Arc::new(SegmentPins(
                self.slots.iter().map(|slot| slot.load(&guard).map(pin)).collect(),
            ))
        }))
    }

    /// The bytes from `location` on, or `None` when its segment has been retired.
    #[inline]
    pub(crate) fn at<'g>(
        &'g self,
        location: Location,
        guard: &'g Guard<'_>,
    ) -> Option<MappedBytes<'g>> {
        let held = self.slots[location.segment() % SLOTS].load(guard)?;
        held.bytes_from(location.offset())
    }

    /// `bytes`, a slice of some segment, kept mapped by reference count; `None` when the segment
    /// has been retired.
    pub(crate) fn pin(&self, bytes: &[u8], guard: &Guard<'_>) -> Option<PinnedBytes> {
        let mut segments = self.slots.iter().filter_map(|slot| slot.load(guard));
        segments.find_map(|held| PinnedBytes::new(held.mapping(), bytes))
    }

    /// Starts loading the cache lines of the record at `location`.
    #[inline]
    pub(crate) fn prefetch(&self, location: Location, guard: &Guard<'_>) {
        if let Some(held) = self.slots[location.segment() % SLOTS].load(guard) {
            prefetch_record(held.mapping(), location);
        }
    }
}

/// The segments of one instant, kept mapped.
pub(crate) struct SegmentPins(Box<[Option<HeldMapping>]>);

impl SegmentPins {
    /// The bytes from `location` on, which was taken at that instant.
    #[inline]
    pub(crate) fn at(&self, location: Location) -> Option<MappedBytes<'_>> {
        self.0.get(location.segment())?.as_ref()?.bytes_from(location.offset())
    }

    #[inline]
    pub(crate) fn prefetch(&self, location: Location) {
        if let Some(mapping) = self.mapping(location) {
            prefetch_record(mapping, location);
        }
    }

    /// The record at `location`.
    ///
    /// # Errors
    /// `Corrupt` when its length fields lead out of the file.
    #[inline]
    pub(crate) fn record(&self, location: Location) -> Result<Run<'_>> {
        let record = self.at(location).and_then(|source| Run::decode(&source));
        record.ok_or_else(|| self.garbled(location))
    }

    /// The key of the record at `location`; errors are those of [`record`](SegmentPins::record).
    #[inline]
    pub(crate) fn key(&self, location: Location) -> Result<&[u8]> {
        let key = self.at(location).and_then(|source| Run::decode_key(&source));
        key.ok_or_else(|| self.garbled(location))
    }

    /// The error for a record that can no longer be read.
    #[cold]
    pub(crate) fn garbled(&self, location: Location) -> Error {
        let (path, offset) = self.describe(location);
        let what = "a record cannot be read any more; check memory and disk, and open it again";
        Error::corrupt(&path, offset, what)
    }

    /// `len` bytes of the file that begin `before` bytes before `location`: the whole entry that
    /// the record at `location` belongs to.
    pub(crate) fn entry(&self, location: Location, before: usize, len: usize) -> Option<&[u8]> {
        self.mapping(location)?.bytes(location.offset().checked_sub(before)?, len)
    }

    /// The file that `location` is in, and its offset there, for messages.
    pub(crate) fn describe(&self, location: Location) -> (PathBuf, u64) {
        match self.mapping(location) {
            Some(mapping) => {
                let offset = mapping.file_offset() + location.offset() as u64;
                (mapping.path().to_path_buf(), offset)
            }
            None => (PathBuf::new(), 0),
        }
    }

    /// `len` bytes from `location` on, which belong to a record that was read.
    #[inline]
    pub(crate) fn bytes(&self, location: Location, len: usize) -> Option<&[u8]> {
        self.at(location)?.bytes(0, len)
    }

    /// `bytes` of the segment of `location`, pinned on their own.
    pub(crate) fn pin(&self, location: Location, bytes: &[u8]) -> Option<PinnedBytes> {
        PinnedBytes::new(self.mapping(location)?, bytes)
    }

    /// Bytes of the mapped files whose numbers `is_wanted`.
    pub(crate) fn mapped_bytes(&self, is_wanted: impl Fn(SegmentId) -> bool) -> usize {
        self.mappings().filter(|&(id, _)| is_wanted(id)).map(|(_, mapping)| mapping.len()).sum()
    }

    /// The mapped files.
    pub(crate) fn mappings(&self) -> impl Iterator<Item = (SegmentId, &Arc<Mapping>)> {
        let held = self.0.iter().enumerate();
        held.filter_map(|(id, held)| Some((SegmentId(id as u8), held.as_ref()?.mapping())))
    }

    fn mapping(&self, location: Location) -> Option<&Arc<Mapping>> {
        self.0.get(location.segment())?.as_ref().map(HeldMapping::mapping)
    }
}

#[inline]
fn prefetch_record(mapping: &Mapping, location: Location) {
    // A typical record spans two or three lines; more would crowd out other loads.
    for line in 0..3 {
        prefetch(mapping.address(location.offset() + line * 64));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::io::heap_mapping;

    #[test]
    fn the_last_numbers_are_for_checkpoints() {
        let segments = Segments::new();
        let mut given = 0;
        while segments.install_unless_last(heap_mapping(vec![1])).is_some() {
            given += 1;
        }
        assert_eq!((given, segments.numbers_left()), (SLOTS - 1 - LAST_NUMBERS, LAST_NUMBERS));
        for _ in 0..LAST_NUMBERS {
            assert!(segments.install(heap_mapping(vec![1])).is_some());
        }
        assert!(segments.install(heap_mapping(vec![1])).is_none());
    }
}
