//! Deferred freeing: what lock-free readers may still be looking at is freed when the last of
//! them has left.
//!
//! This is epoch-based reclamation (Fraser, 2004) with the asymmetric barrier of userspace RCU
//! (Desnoyers et al., 2012): a reader enters and leaves with one plain store each, and the rare
//! retiring thread pays with a `membarrier` system call, which has every running thread execute
//! a full barrier. A locked instruction per read, which general-purpose libraries need, would
//! keep the processor from overlapping one read's cache misses with the next one's: measured, it
//! adds two thirds to a get. `docs/DESIGN.md` has the figures.
//!
//! **Why nothing is freed under a reader.** A reader stores the epoch it saw into its slot, then
//! loads pointers. Whoever retires an object has taken its pointer out, then advances the epoch
//! from `e` to `e + 1`, issues the heavy barrier, and reads all slots; the object may be freed
//! once no slot holds an epoch up to `e`. Consider a reader that got hold of the object:
//! - It cannot have seen `e + 1`: that load acquires what the advance released, the removal.
//!   So its slot holds at most `e`, if its store has become visible.
//! - Its store is visible: the reader executed the heavy barrier's full barrier either after the
//!   store, which makes it visible to the scan, or before it, and then its pointer loads came
//!   after the removal and did not find the object.
//! - A slot that was registered after the scan belongs to a thread that locked the domain after
//!   the scan did, and so sees the removal.
#![allow(unsafe_code)]

mod barrier;
mod domain;
mod lock;
mod retirable;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

use domain::{EPOCH, Presence, Slot, current_slot};
#[cfg(all(test, loom))]
pub(crate) use lock::SpinLock;
pub(crate) use retirable::Retirable;

/// Entered by readers before they follow a pointer that may be retired. There is one domain of
/// readers for the whole process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch;

/// While it lives, nothing that was reachable when it was entered is freed. Bound to its thread;
/// entering again on the same thread costs a counter.
///
/// Empty on purpose: leaving looks the thread's slot up again. A pointer to it would be moved
/// about in memory with what the guard protects, and the processor would have to wait for those
/// moves, hence for the record, before it could run ahead into the next read.
pub(crate) struct Guard<'a> {
    /// Not `Send`: the slot is this thread's.
    unsend: PhantomData<(&'a (), *const ())>,
}

impl Epoch {
    #[inline]
    pub(crate) fn enter<'a>(self) -> Guard<'a> {
        enter(current_slot())
    }

    /// Runs `read` under a guard: what [`enter`](Epoch::enter) is for where nothing is to be kept,
    /// with the thread's slot looked up once.
    #[inline]
    pub(crate) fn with<R>(self, read: impl FnOnce(&Guard<'_>) -> R) -> R {
        /// Also when `read` panics.
        struct LeaveOnDrop(&'static Slot);
        impl Drop for LeaveOnDrop {
            #[inline]
            fn drop(&mut self) {
                drop_guard(self.0);
            }
        }
        let leave = LeaveOnDrop(current_slot());
        let guard = ManuallyDrop::new(enter(leave.0));
        read(&guard)
    }

    /// Frees what no reader can see any more, without waiting for more to be retired.
    pub(crate) fn flush(self) {
        domain::collect();
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // The one that `enter` used: it stays the thread's while it has a guard.
        drop_guard(current_slot());
    }
}

#[inline]
fn enter<'a>(slot: &'static Slot) -> Guard<'a> {
    let presence = slot.presence();
    if presence.guards() == 0 {
        // Acquire pairs with the Release in `retire`; see the module's reasoning.
        slot.set_presence(presence.entered(EPOCH.load(Ordering::Acquire)));
        barrier::light();
    } else {
        slot.set_presence(presence.one_guard_more());
    }
    Guard { unsend: PhantomData }
}

#[inline]
fn drop_guard(slot: &'static Slot) {
    let presence = slot.presence();
    if presence.guards() == 1 {
        leave(slot, presence);
    } else {
        slot.set_presence(presence.one_guard_less());
    }
}

#[inline]
fn leave(slot: &'static Slot, presence: Presence) {
    slot.leave(presence);
    // Either the scan sees the store above, or this sees that something waits.
    barrier::light();
    if presence.epoch() <= domain::WAITING.load(Ordering::Relaxed) || presence.is_borrowed() {
        domain::left_late(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::thread;
    use std::time::{Duration, Instant};

    /// Says when it is dropped, and makes a use after that visible.
    struct Canary {
        alive: AtomicBool,
        drops: Arc<AtomicU64>,
    }

    impl Drop for Canary {
        fn drop(&mut self) {
            self.alive.store(false, Ordering::Relaxed);
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn canary(drops: &Arc<AtomicU64>) -> Box<Canary> {
        Box::new(Canary { alive: AtomicBool::new(true), drops: drops.clone() })
    }

    /// Waits for what the last reader to leave does, which may be one of another test.
    fn until(freed: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !freed() {
            assert!(Instant::now() < deadline, "the last reader to leave frees it");
            thread::yield_now();
        }
    }

    #[test]
    fn an_object_outlives_the_guards_that_may_see_it_and_no_longer() {
        let drops = Arc::new(AtomicU64::new(0));
        let slot = Retirable::vacant();
        slot.replace(canary(&drops));
        let outer = Epoch.enter();
        let inner = Epoch.enter();
        let seen = slot.load(&outer).unwrap();
        slot.retire();
        Epoch.flush();
        drop(inner);
        assert!(seen.alive.load(Ordering::Relaxed));
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(outer);
        until(|| drops.load(Ordering::Relaxed) == 1);
    }

    #[test]
    fn readers_never_see_a_freed_object() {
        let drops = Arc::new(AtomicU64::new(0));
        let slot = Retirable::vacant();
        slot.replace(canary(&drops));
        let stop = AtomicBool::new(false);
        const ROUNDS: u64 = 20_000;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let guard = Epoch.enter();
                        if let Some(canary) = slot.load(&guard) {
                            assert!(canary.alive.load(Ordering::Relaxed));
                        }
                    }
                });
            }
            for _ in 0..ROUNDS {
                slot.retire();
                slot.replace(canary(&drops));
            }
            stop.store(true, Ordering::Relaxed);
        });
        slot.retire();
        Epoch.flush();
        until(|| drops.load(Ordering::Relaxed) == ROUNDS + 1);
    }
}
