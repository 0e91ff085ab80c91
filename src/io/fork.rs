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

/// How many forks lie between the first ancestor that asked and this process: constant within a
/// process, different in its children.
#[inline]
pub(crate) fn fork_count() -> u64 {
    static REGISTER: Once = Once::new();
    if !REGISTER.is_completed() {
        // A failure (out of memory) leaves forks unnoticed; there is nobody to tell and the
        // lock still keeps other processes out.
        REGISTER.call_once(|| {
            // SAFETY: the handler is a plain function that only touches a static atomic, which
            // is safe in the child of a fork.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
    }
    FORKS.load(Ordering::Relaxed)
}
