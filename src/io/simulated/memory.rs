//! The content of one simulated file: the memory that stands for its pages in the cache.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;

use super::SECTOR;
use super::content::{Content, is_zero};
use super::faults::Operations;
use super::trace::Sector;
use crate::io::Access;
use crate::io::mapping::{Mapping, Region};

/// The largest simulated file. All of it is one mapping, so that none within it ever moves; what
/// is not touched takes no memory.
pub(super) const CAPACITY: usize = 1 << 20;

/// Bytes at a fixed address, zero at first, shared by everyone who has the file mapped.
///
/// Who may touch which of them when is the business of the module `mapping`, and of the disk,
/// which reads and writes them only while nobody stores to them: what runs on a simulated disk
/// writes from one thread at a time.
pub(super) struct Memory {
    /// There until this is dropped.
    pages: Option<MmapRaw>,
    /// All bytes from here on are zero.
    used: AtomicUsize,
    /// How many mappings of it can be stored to.
    writable: AtomicUsize,
    /// Whether there was such a mapping since it was last asked for.
    was_writable: AtomicBool,
}

/// Pages that are used again, all zero: making them and faulting them in is what a simulated disk
/// would otherwise spend its time on.
static POOL: Mutex<Vec<MmapRaw>> = Mutex::new(Vec::new());

impl Memory {
    pub(super) fn new() -> Memory {
        let pooled = POOL.lock().pop();
        let pages =
            pooled.unwrap_or_else(|| MmapOptions::new().len(CAPACITY).map_anon().unwrap().into());
        Memory {
            pages: Some(pages),
            used: AtomicUsize::new(0),
            writable: AtomicUsize::new(0),
            was_writable: AtomicBool::new(false),
        }
    }

    fn base(&self) -> *mut u8 {
        self.pages.as_ref().map_or(ptr::null_mut(), MmapRaw::as_mut_ptr)
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= CAPACITY);
        // SAFETY: in bounds; nobody stores meanwhile, as said above.
        unsafe { slice::from_raw_parts(self.base().add(range.start), range.len()) }
    }

    /// The sector that begins at `at`, of which the file has `len` bytes.
    pub(super) fn sector(&self, at: usize, len: usize) -> Sector {
        let mut sector = [0; SECTOR];
        sector[..len].copy_from_slice(self.bytes(at..at + len));
        Arc::new(sector)
    }

    /// Whether anybody may have stored to a mapping of it since this was last called.
    pub(super) fn may_have_changed(&self) -> bool {
        // Acquire pairs with the Release of a mapping that goes: its stores are seen. Who has it
        // mapped now may store later.
        let is_writable = self.writable.load(Ordering::Acquire) > 0;
        self.was_writable.swap(is_writable, Ordering::AcqRel)
    }

    /// The numbers of the sectors in which it is not what `known` says.
    pub(super) fn changed(&self, known: &Content) -> Vec<usize> {
        let (stored, len) = (known.stored(), known.len());
        if self.bytes(0..stored.len()) == stored && self.is_zero(stored.len()..len) {
            return Vec::new();
        }
        let changed = |number: &usize| {
            let (at, end) = (number * SECTOR, ((number + 1) * SECTOR).min(len));
            let (from, to) = (at.min(stored.len()), end.min(stored.len()));
            self.bytes(at..at + to - from) != &stored[from..to]
                || !self.is_zero(at + to - from..end)
        };
        (0..known.sectors()).filter(changed).collect()
    }

    pub(super) fn is_zero(&self, range: Range<usize>) -> bool {
        is_zero(self.bytes(range))
    }

    /// Stores `bytes` from `at` on.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= CAPACITY);
        self.note_used(at + bytes.len());
        // SAFETY: in bounds; a slice that somebody may hold of these bytes could change in the
        // real file system too.
        unsafe { ptr::copy(bytes.as_ptr(), self.base().add(at), bytes.len()) }
    }

    /// Has zeros from `at` on.
    pub(super) fn clear(&self, at: usize) {
        let used = self.used.load(Ordering::Relaxed);
        if at < used {
            // SAFETY: in bounds, as all that was used is; otherwise as in `write`.
            unsafe { ptr::write_bytes(self.base().add(at), 0, used - at) }
        }
    }

    fn note_used(&self, end: usize) {
        // Relaxed: tests drive a disk from one thread at a time, and whoever drops this is the last.
        self.used.fetch_max(end, Ordering::Relaxed);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Now, and not when it is used again: who looks where nothing is mapped any more is not to
        // find what was there.
        self.clear(0);
        POOL.lock().extend(self.pages.take());
    }
}

/// Maps `len` bytes of `memory` from `offset` on. Reading its pages in counts as an operation.
pub(super) fn map(
    memory: &Arc<Memory>,
    operations: &Arc<Operations>,
    path: &Path,
    offset: u64,
    len: u64,
    access: Access,
) -> Arc<Mapping> {
    let (start, len) = (offset as usize, len as usize);
    assert!(start + len <= CAPACITY);
    let is_writable = access == Access::ReadWrite;
    if is_writable {
        memory.note_used(start + len);
        memory.writable.fetch_add(1, Ordering::AcqRel);
        memory.was_writable.store(true, Ordering::Release);
    }
    let base = NonNull::new(memory.base().wrapping_add(start)).unwrap();
    let region = Mapped { operations: operations.clone(), memory: memory.clone(), is_writable };
    // SAFETY: in bounds of the memory, which the region keeps.
    Arc::new(unsafe { Mapping::new(base, len, path, offset, Box::new(region)) })
}

struct Mapped {
    operations: Arc<Operations>,
    memory: Arc<Memory>,
    is_writable: bool,
}

impl Region for Mapped {
    fn populate(&self, _start: usize, _len: usize, _write: bool) -> io::Result<()> {
        self.operations.begin().map(drop)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.is_writable {
            // Release pairs with the Acquire in `may_have_changed`.
            self.memory.writable.fetch_sub(1, Ordering::Release);
        }
    }
}
