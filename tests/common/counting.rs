//! A global allocator that counts: how much one stretch of work asks for at once, and in all at
//! its peak. Each thread is counted by itself, so that the test harness's are not in the way.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

pub struct Counting;

fn count_taken(bytes: usize) {
    let live = LIVE.get() + bytes as isize;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    LARGEST.set(LARGEST.get().max(bytes));
}

fn count_freed(bytes: usize) {
    LIVE.set(LIVE.get() - bytes as isize);
}

// SAFETY: every call goes to the system's allocator as it came. What counts it neither allocates
// nor has anything to drop.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_taken(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_taken(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_freed(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both are there while it copies.
        count_taken(new_size);
        count_freed(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// What a stretch of work allocated.
#[derive(Debug, Clone, Copy)]
pub struct Allocated {
    /// The most that was held at once, beyond what was held before, in bytes.
    pub peak: usize,
    /// The largest single request, in bytes.
    pub largest: usize,
}

/// Runs `work` and says what this thread allocated for it.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    let before = LIVE.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    let peak = (PEAK.get() - before).max(0) as usize;
    (result, Allocated { peak, largest: LARGEST.get() })
}
