//! Noticing a fork without a system call per operation.
//!
//! A forked child shares the parent's lock and mapped log; if both wrote, the log would be torn.
//! `pthread_atfork` counts the forks on the way from the first ancestor that opened a store to
//! this process; a store remembers the count at which it was opened.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_fork() {
    // Only one thread runs in a new child, so nothing has to be ordered.
    FORKS.fetch_add(1, Ordering::Relaxed);
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
    REGISTER.call_once(|| register(nothing, nothing, count_fork));
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
