//! A mapped range of a file, and the only ways to look at its bytes or change them.
//!
//! Invariant, on which every slice below rests: **a byte that a slice has been given out for is
//! never stored to again.** A log's bytes are stored once, through the one [`MappedTail`] over
//! them, before any location in them is known to anybody; a snapshot's are never stored to.
//! (One exception: recovery overwrites what it cuts from a damaged log, after copying it; a value
//! that an earlier handle of this process pinned beyond the damage then reads as zeros.)
//! Other processes keep out because of the directory's lock. What the library cannot exclude is
//! a failing disk or a foreign program that shortens a mapped file: the kernel then answers a
//! read with SIGBUS, as in every store that maps its data.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::epoch::Guard;
use super::file::retried;
use super::segments::Lease;
use crate::error::{Error, Result};
use crate::record::ByteSource;
use crate::sync::Lifetime;

/// What backs a [`Mapping`]: dropping it unmaps.
pub(super) trait Region: Send + Sync {
    /// Brings the pages of a range in, ready to be stored to if `write`; fails where touching
    /// them would raise SIGBUS.
    fn populate(&self, start: usize, len: usize, write: bool) -> io::Result<()>;

    /// The open file that is mapped, where it is one of the operating system.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A mapped range of a file. It stays mapped while anybody holds the [`Arc`] around it.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    path: PathBuf,
    /// Offset in the file of the first byte.
    file_offset: u64,
    region: Box<dyn Region>,
}

// SAFETY: `base` points into `region`, which is Send and lives as long; access to the bytes
// follows the module's invariant whichever thread does it.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared access only reads bytes that are never stored to again.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// # Safety
    /// `base` points to `len` bytes that stay readable while `region` lives, and writable too if
    /// a [`MappedTail`] is to be made over the mapping.
    pub(super) unsafe fn new(
        base: NonNull<u8>,
        len: usize,
        path: &Path,
        file_offset: u64,
        region: Box<dyn Region>,
    ) -> Mapping {
        Mapping { base, len, path: path.to_path_buf(), file_offset, region }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Offset in the file of the mapping's first byte.
    pub(crate) fn file_offset(&self) -> u64 {
        self.file_offset
    }

    /// The open file that is mapped, where it is one of the operating system.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.region.descriptor()
    }

    /// `len` bytes from `start`, or `None` beyond the end. Only for bytes that are final: below
    /// the end of a log, or in a snapshot.
    #[inline]
    pub(crate) fn bytes(&self, start: usize, len: usize) -> Option<&[u8]> {
        let end = start.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: in bounds of the mapping, which outlives the borrow of `self`. The callers,
        // which are `Segments` by published locations, and recovery before any append, ask for
        // final bytes only, so nobody stores to them.
        Some(unsafe { slice::from_raw_parts(self.base.as_ptr().add(start), len) })
    }

    /// The address of the byte at `offset`, which may lie beyond the end: for prefetching only.
    #[inline]
    pub(super) fn address(&self, offset: usize) -> *const u8 {
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Reads the pages of a range from the disk: an I/O error becomes an error here, where it
    /// would be a SIGBUS at the first touch.
    pub(crate) fn load(&self, start: usize, len: usize) -> Result<()> {
        let len = len.min(self.len.saturating_sub(start));
        retried(|| self.region.populate(start, len, false)).map_err(|source| {
            let offset = self.file_offset + start as u64;
            Error::io("read", &self.path, source).at(&self.path, Some(offset))
        })
    }

    /// Makes pages ready to be stored to. Best effort: a page that is not ready is faulted in by
    /// the first store.
    pub(crate) fn prepare_writes(&self, start: usize, len: usize) -> io::Result<()> {
        self.region.populate(start, len.min(self.len.saturating_sub(start)), true)
    }
}

/// The one writer of a mapping's bytes from some offset on.
///
/// Whoever makes one (the log) sees to it that no other tail covers the same bytes of the file,
/// and that nobody has been given a slice of bytes at or beyond its position.
pub(crate) struct MappedTail {
    mapping: Arc<Mapping>,
    position: usize,
}

impl MappedTail {
    /// A tail over a writable mapping from `position` on.
    pub(crate) fn new(mapping: Arc<Mapping>, position: usize) -> MappedTail {
        MappedTail { mapping, position }
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Offset in the mapping of the next byte.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.mapping.len - self.position
    }

    /// The next `len` bytes, to be stored to, or `None` when fewer are left. They are final when
    /// the borrow ends.
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.remaining() {
            return None;
        }
        let start = self.position;
        self.position += len;
        // SAFETY: in bounds of a writable mapping. The position only grows, so these bytes were
        // never given out before, and the log guarantees that no other tail covers them.
        Some(unsafe { slice::from_raw_parts_mut(self.mapping.base.as_ptr().add(start), len) })
    }
}

/// Bytes of a mapped file that stay valid for as long as this lives, on any thread, also after
/// the store was closed: it keeps the file mapped.
#[derive(Clone)]
pub(crate) struct PinnedBytes {
    start: usize,
    len: usize,
    mapping: Arc<Mapping>,
}

impl PinnedBytes {
    /// Pins `bytes`, a slice of `mapping`; `None` when it is not one.
    pub(crate) fn new(mapping: &Arc<Mapping>, bytes: &[u8]) -> Option<PinnedBytes> {
        let start = (bytes.as_ptr() as usize).checked_sub(mapping.base.as_ptr() as usize)?;
        mapping.bytes(start, bytes.len())?;
        Some(PinnedBytes { start, len: bytes.len(), mapping: mapping.clone() })
    }
}

impl Deref for PinnedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // `new` has checked the bounds.
        self.mapping.bytes(self.start, self.len).unwrap_or_default()
    }
}

/// A mapping, held, with what every read needs at hand.
pub(super) struct HeldMapping {
    base: *const u8,
    len: usize,
    mapping: Arc<Mapping>,
    /// The segment number that it keeps from being used for another mapping.
    _lease: Option<Lease>,
    lifetime: Lifetime,
}

// SAFETY: `base` is that of `mapping`, which is Send and Sync.
unsafe impl Send for HeldMapping {}
// SAFETY: as above.
unsafe impl Sync for HeldMapping {}

impl HeldMapping {
    pub(super) fn new(mapping: Arc<Mapping>, lease: Option<Lease>) -> HeldMapping {
        let (base, len) = (mapping.address(0), mapping.len);
        HeldMapping { base, len, mapping, _lease: lease, lifetime: Lifetime::new() }
    }

    pub(super) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// The bytes from `start` on, or `None` when the mapping ends before.
    #[inline]
    pub(super) fn bytes_from(&self, start: usize) -> Option<MappedBytes<'_>> {
        self.lifetime.used();
        let len = self.len.checked_sub(start)?;
        let start = self.base.wrapping_add(start);
        Some(MappedBytes { start, len, mapping: PhantomData })
    }
}

#[cfg(loom)]
impl Drop for HeldMapping {
    fn drop(&mut self) {
        self.lifetime.ended();
    }
}

/// The bytes of a mapping from some offset on.
#[derive(Clone, Copy)]
pub(crate) struct MappedBytes<'a> {
    start: *const u8,
    len: usize,
    mapping: PhantomData<&'a Mapping>,
}

impl<'a> ByteSource<'a> for MappedBytes<'a> {
    #[inline]
    fn bytes(&self, start: usize, len: usize) -> Option<&'a [u8]> {
        if start.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: as in `Mapping::bytes`; the mapping is borrowed for 'a.
        Some(unsafe { slice::from_raw_parts(self.start.add(start), len) })
    }
}

/// Bytes of a mapped file that stay valid while this lives, by its guard: no copy, no shared
/// counter. Bound to its thread.
///
/// Two words, so that it is returned in registers: what is passed through memory in parts and
/// read back whole has the processor wait for it.
pub(crate) struct GuardedBytes<'a> {
    bytes: NonNull<[u8]>,
    _guard: Guard<'a>,
}

impl<'a> GuardedBytes<'a> {
    /// What `find` finds, with the guard that it was found under.
    #[inline]
    pub(crate) fn find(
        guard: Guard<'a>,
        find: impl for<'g> FnOnce(&'g Guard<'a>) -> Option<&'g [u8]>,
    ) -> Option<GuardedBytes<'a>> {
        let bytes = NonNull::from(find(&guard)?);
        Some(GuardedBytes { bytes, _guard: guard })
    }
}

impl Deref for GuardedBytes<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `find` borrowed it for as long as the guard lives, which is as long as `self`:
        // what a guard protects does not depend on where the guard is in memory.
        unsafe { self.bytes.as_ref() }
    }
}

/// A mapping of plain memory, for unit tests and fuzzing.
#[cfg(any(test, fuzzing))]
pub(crate) fn heap_mapping(bytes: Vec<u8>) -> Arc<Mapping> {
    struct Heap(#[expect(dead_code, reason = "owns the memory")] Vec<u8>);
    impl Region for Heap {
        fn populate(&self, _start: usize, _len: usize, _write: bool) -> io::Result<()> {
            Ok(())
        }
    }
    let mut bytes = bytes;
    let base = NonNull::new(bytes.as_mut_ptr()).unwrap();
    let len = bytes.len();
    // SAFETY: the vector's buffer stays where it is and lives as long as the region.
    Arc::new(unsafe { Mapping::new(base, len, Path::new("memory"), 0, Box::new(Heap(bytes))) })
}
