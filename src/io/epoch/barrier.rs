//! The asymmetric barrier: free for readers, a system call for whoever retires.
//!
//! Between a `light` of one thread and a `heavy` of another there is a full barrier; between two
//! `light`s there is nothing.

use std::sync::atomic::{Ordering, compiler_fence};

use crate::sync::atomic::{AtomicU8, fence};
use crate::sync::global;

global! {
    /// How `heavy` does its part; set by the first call of [`detect`].
    static STRATEGY: AtomicU8 = AtomicU8::new(UNKNOWN);
}

const UNKNOWN: u8 = 0;
/// `heavy` has the kernel interrupt every running thread of the process.
const MEMBARRIER: u8 = 1;
/// There is no such call, so `light` is a full barrier too.
const FENCES: u8 = 2;

/// The readers' part.
#[inline]
pub(super) fn light() {
    // Relaxed: nobody enters before `detect` has set it, and it does not change after.
    if STRATEGY.load(Ordering::Relaxed) == MEMBARRIER {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The retiring thread's part. False when the barrier could not be had: then nothing may be
/// concluded from what slots hold.
pub(super) fn heavy() -> bool {
    fence(Ordering::SeqCst);
    match STRATEGY.load(Ordering::Relaxed) {
        MEMBARRIER => system::barrier() || (system::register() && system::barrier()),
        FENCES => true,
        _ => false,
    }
}

/// Finds out what the kernel offers. Called before a thread's first `light`.
pub(super) fn detect() {
    if STRATEGY.load(Ordering::Relaxed) == UNKNOWN {
        let found = if system::register() { MEMBARRIER } else { FENCES };
        // Every thread that gets here finds the same; the domain's lock orders the rest.
        STRATEGY.store(found, Ordering::Relaxed);
    }
}

#[cfg(all(target_os = "linux", not(any(miri, loom))))]
mod system {
    /// Announces that this process will use [`barrier`]. False where that cannot be done: before
    /// Linux 4.14, or in a sandbox that forbids the call.
    pub(super) fn register() -> bool {
        call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    /// Has every running thread of this process execute a full barrier.
    pub(super) fn barrier() -> bool {
        call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }

    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }
}

/// In a model the call is missing, or it can be had and fails: see [`crate::models`].
#[cfg(loom)]
mod system {
    pub(super) fn register() -> bool {
        crate::sync::has_failing_barrier()
    }

    pub(super) fn barrier() -> bool {
        false
    }
}

#[cfg(not(any(all(target_os = "linux", not(miri)), loom)))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier() -> bool {
        false
    }
}
