//! The mapped files of a store by number, so that 48 bits say where a record is.
//!
//! A log that grows is mapped in windows, each a segment of its own, and a snapshot is one
//! segment; up to 255 are mapped at once.
#![allow(unsafe_code)]

use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;

use super::epoch::{Epoch, Guard};
use super::mapping::{HeldMapping, MappedBytes, Mapping, PinnedBytes};
use super::prefetch::prefetch;
use crate::error::{Error, Result};
use crate::record::Run;

/// The number of a segment. 0 is never used, so that no location is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId(u8);

/// Where a run begins: 8 bits of segment above 40 bits of offset.
///
/// A location is made by whoever wrote or checked the whole record there, and given to others
/// only afterwards; that is what makes reading at a location sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(u64);

impl Location {
    /// Bits of a location; those above are zero.
    pub(crate) const BITS: u32 = 48;
    const OFFSET_BITS: u32 = 40;

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

    pub(crate) fn segment_id(self) -> SegmentId {
        SegmentId(self.segment() as u8)
    }

    #[inline]
    fn segment(self) -> usize {
        (self.0 >> Location::OFFSET_BITS) as usize
    }

    #[inline]
    fn offset(self) -> usize {
        (self.0 & ((1 << Location::OFFSET_BITS) - 1)) as usize
    }
}

const SLOTS: usize = 256;

/// The table of segments. Any thread reads it; installing and retiring take a lock.
pub(crate) struct Segments {
    slots: [AtomicPtr<HeldMapping>; SLOTS],
    /// Serializes the writers of `slots`.
    writer: Mutex<()>,
}

impl Segments {
    pub(crate) fn new() -> Segments {
        Segments {
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS],
            writer: Mutex::new(()),
        }
    }

    /// Gives `mapping` a number, or `None` when all are taken.
    pub(crate) fn install(&self, mapping: Arc<Mapping>) -> Option<SegmentId> {
        let _writer = self.writer.lock();
        // Relaxed: slots change only under the lock.
        let free = (1..SLOTS).find(|&id| self.slots[id].load(Ordering::Relaxed).is_null())?;
        // Release pairs with the Acquire in `Guard::load`. Readers learn of the segment from a
        // location published even later, but need not rely on that.
        self.slots[free]
            .store(Box::into_raw(Box::new(HeldMapping::new(mapping))), Ordering::Release);
        Some(SegmentId(free as u8))
    }

    /// Takes every segment out; each is unmapped when nobody reads or pins it any more.
    pub(crate) fn retire_all(&self) {
        let _writer = self.writer.lock();
        for slot in &self.slots {
            Epoch.retire(slot);
        }
    }

    /// All segments of this instant, by number: pins for a scan.
    pub(crate) fn snapshot(&self, guard: &Guard<'_>) -> SegmentPins {
        let pin = |held: &HeldMapping| HeldMapping::new(held.mapping().clone());
        SegmentPins(self.slots.iter().map(|slot| guard.load(slot).map(pin)).collect())
    }

    /// The bytes from `location` on, or `None` when its segment has been retired.
    #[inline]
    pub(crate) fn at<'g>(
        &'g self,
        location: Location,
        guard: &'g Guard<'_>,
    ) -> Option<MappedBytes<'g>> {
        let held = guard.load(&self.slots[location.segment() % SLOTS])?;
        held.bytes_from(location.offset())
    }

    /// `bytes`, a slice of some segment, kept mapped by reference count; `None` when the segment
    /// has been retired.
    pub(crate) fn pin(&self, bytes: &[u8], guard: &Guard<'_>) -> Option<PinnedBytes> {
        let mut segments = self.slots.iter().filter_map(|slot| guard.load(slot));
        segments.find_map(|held| PinnedBytes::new(held.mapping(), bytes))
    }

    /// Starts loading the cache lines of the record at `location`.
    #[inline]
    pub(crate) fn prefetch(&self, location: Location, guard: &Guard<'_>) {
        if let Some(held) = guard.load(&self.slots[location.segment() % SLOTS]) {
            prefetch_record(held.mapping(), location);
        }
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            let segment = *slot.get_mut();
            if !segment.is_null() {
                // SAFETY: a non-null slot holds a box made by `install`; `&mut self` says that
                // no reader is left.
                drop(unsafe { Box::from_raw(segment) });
            }
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

    /// `bytes` of the segment of `location`, pinned on their own.
    pub(crate) fn pin(&self, location: Location, bytes: &[u8]) -> Option<PinnedBytes> {
        PinnedBytes::new(self.mapping(location)?, bytes)
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
