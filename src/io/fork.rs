//! Noticing a fork without a system call per operation.
//!
//! A forked child shares the parent's lock and mapped log; if both wrote, the log would be torn.
//! `pthread_atfork` counts the forks on the way from the first ancestor that opened a store to
//! this process; a store remembers the count at which it was opened. A child also gives up its
//! copies of the parent's locks.
#![allow(unsafe_code)]

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Descriptors that a child must not keep: a lock is held for as long as any copy of its
/// descriptor is open, so a child that outlives its parent would keep the directory locked.
static CLOSED_IN_CHILDREN: [AtomicI32; 128] = [const { AtomicI32::new(NONE) }; 128];

const NONE: RawFd = -1;

extern "C" fn in_new_child() {
    // Only one thread runs in a new child, so nothing has to be ordered.
    FORKS.fetch_add(1, Ordering::Relaxed);
    for slot in &CLOSED_IN_CHILDREN {
        let descriptor = slot.swap(NONE, Ordering::Relaxed);
        if descriptor != NONE {
            // SAFETY: `ClosedInChildren` has registered the descriptor of a file that it owns,
            // and its drop leaves the descriptor alone in a child.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// An open file whose descriptor is closed in every child of a fork.
pub(super) struct ClosedInChildren {
    file: ManuallyDrop<File>,
    forks: u64,
}

impl ClosedInChildren {
    pub(super) fn new(file: File) -> ClosedInChildren {
        let descriptor = file.as_raw_fd();
        let claim = |slot: &AtomicI32| {
            // Relaxed: a fork takes a copy of all memory, whatever the order.
            slot.compare_exchange(NONE, descriptor, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        // With more locks than slots, some stay open in children, which is what is usual.
        let _claimed = CLOSED_IN_CHILDREN.iter().any(claim);
        ClosedInChildren { file: ManuallyDrop::new(file), forks: fork_count() }
    }

    /// The file, unless this is a child, where it is closed or belongs to the parent.
    pub(super) fn file(&self) -> Option<&File> {
        (fork_count() == self.forks).then_some(&*self.file)
    }
}

impl Drop for ClosedInChildren {
    fn drop(&mut self) {
        if fork_count() != self.forks {
            return;
        }
        let descriptor = self.file.as_raw_fd();
        for slot in &CLOSED_IN_CHILDREN {
            let release =
                slot.compare_exchange(descriptor, NONE, Ordering::Relaxed, Ordering::Relaxed);
            if release.is_ok() {
                break;
            }
        }
        // SAFETY: dropped here and nowhere else.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

extern "C" fn nothing() {}

/// How many forks lie between the first ancestor that opened a store and this process: constant
/// within a process, different in its children.
#[inline]
pub(crate) fn fork_count() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Begins to count forks. Called before the first count is remembered.
pub(crate) fn notice_forks() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| register(nothing, nothing, in_new_child));
}

/// Has `before`, `in_parent` and `in_child` called around every fork from now on; further calls
/// do nothing.
pub(super) fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| register(before, in_parent, in_child));
}

fn register(before: extern "C" fn(), in_parent: extern "C" fn(), in_child: extern "C" fn()) {
    // A failure (out of memory) leaves forks unnoticed; there is nobody to tell, and the
    // directory's lock still keeps unrelated processes out.
    // SAFETY: the handlers are functions without arguments that touch only atomics and what
    // they have locked, which is allowed around a fork.
    unsafe {
        let result = libc::pthread_atfork(
            Some(as_handler(before)),
            Some(as_handler(in_parent)),
            Some(as_handler(in_child)),
        );
        debug_assert_eq!(result, 0);
    }
}

fn as_handler(function: extern "C" fn()) -> unsafe extern "C" fn() {
    function
}
