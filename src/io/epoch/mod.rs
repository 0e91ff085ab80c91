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

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use domain::{EPOCH, Presence, Slot, current_slot};

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

    /// Takes `*slot` out, if it is not null, and drops the box when no guard can still see it.
    /// Whoever owns the slot made it from a box, and stores to it from one thread at a time.
    pub(crate) fn retire<T: Send + 'static>(self, slot: &AtomicPtr<T>) {
        // Acquire pairs with the store that published the pointer, so that the drop sees the
        // object whole.
        let retired = slot.swap(ptr::null_mut(), Ordering::AcqRel);
        if !retired.is_null() {
            // SAFETY: the pointer came from `Box::into_raw` and was just taken out of the only
            // slot that held it, so this is its only owner.
            domain::retire(unsafe { Box::from_raw(retired) });
        }
    }

    /// Frees what no reader can see any more, without waiting for more to be retired.
    pub(crate) fn flush(self) {
        domain::collect();
    }
}

impl Guard<'_> {
    /// The object that `slot` points at, valid while this guard lives.
    #[inline]
    pub(crate) fn load<'g, T>(&'g self, slot: &'g AtomicPtr<T>) -> Option<&'g T> {
        // Acquire pairs with the Release of whoever stored the pointer.
        let pointer = slot.load(Ordering::Acquire);
        // SAFETY: slots hold null or a pointer from `Box::into_raw`, and are emptied only by
        // `Epoch::retire`, which frees the object after this guard has gone.
        unsafe { pointer.as_ref() }
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

    fn canary(drops: &Arc<AtomicU64>) -> *mut Canary {
        let canary = Canary { alive: AtomicBool::new(true), drops: drops.clone() };
        Box::into_raw(Box::new(canary))
    }

    #[test]
    fn an_object_outlives_the_guards_that_may_see_it_and_no_longer() {
        let drops = Arc::new(AtomicU64::new(0));
        let slot = AtomicPtr::new(canary(&drops));
        let outer = Epoch.enter();
        let inner = Epoch.enter();
        let seen = outer.load(&slot).unwrap();
        Epoch.retire(&slot);
        Epoch.flush();
        drop(inner);
        assert!(seen.alive.load(Ordering::Relaxed));
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(outer);
        assert_eq!(drops.load(Ordering::Relaxed), 1, "the last reader to leave frees it");
    }

    #[test]
    fn readers_never_see_a_freed_object() {
        let drops = Arc::new(AtomicU64::new(0));
        let slot = AtomicPtr::new(canary(&drops));
        let stop = AtomicBool::new(false);
        const ROUNDS: u64 = 20_000;
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let guard = Epoch.enter();
                        if let Some(canary) = guard.load(&slot) {
                            assert!(canary.alive.load(Ordering::Relaxed));
                        }
                    }
                });
            }
            for _ in 0..ROUNDS {
                Epoch.retire(&slot);
                slot.store(canary(&drops), Ordering::Release);
            }
            stop.store(true, Ordering::Relaxed);
        });
        Epoch.retire(&slot);
        Epoch.flush();
        // Another test's guard may be in the way of the last ones.
        assert!(drops.load(Ordering::Relaxed) > ROUNDS - 1_000);
    }
}
