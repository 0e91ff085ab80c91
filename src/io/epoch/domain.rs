//! The threads that read, and what waits for them to leave.

use std::any::Any;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering;

use super::barrier;
use super::lock::DomainLock;
use crate::io::fork::at_fork;
use crate::sync::atomic::AtomicU64;
use crate::sync::{free, global, thread_cell, thread_static};

global! {
    /// The current epoch; advanced by every retirement.
    pub(super) static EPOCH: AtomicU64 = AtomicU64::new(1);
}

global! {
    /// The newest epoch that garbage waits for readers to leave, or `OUTSIDE` when none waits.
    pub(super) static WAITING: AtomicU64 = AtomicU64::new(OUTSIDE);
}

/// Less than every epoch.
const OUTSIDE: u64 = 0;

/// Retired objects gathered before a heavy barrier is spent on them. A system call for each
/// would show in the latencies of writes. A model cannot retire that many.
const BATCH: usize = if cfg!(loom) { 1 } else { 16 };

/// A thread's announcement that it is reading. Slots live for ever and are used again. Only the
/// thread that holds one stores to it; which that is changes under the domain's lock.
#[repr(align(128))] // two lines: processors fetch them in pairs
pub(super) struct Slot(AtomicU64);

/// The content of a slot, in one word so that entering and leaving is one store each: the epoch
/// at which the thread entered, or `OUTSIDE`; whether the slot is only borrowed, by a thread that
/// is past having one of its own; and the number of guards that it holds.
#[derive(Clone, Copy)]
pub(super) struct Presence(u64);

impl Presence {
    const EPOCH_SHIFT: u32 = 24;
    const BORROWED: u64 = 1 << 23;
    const GUARDS: u64 = Presence::BORROWED - 1;

    #[inline]
    pub(super) fn guards(self) -> u64 {
        self.0 & Presence::GUARDS
    }

    #[inline]
    pub(super) fn epoch(self) -> u64 {
        self.0 >> Presence::EPOCH_SHIFT
    }

    #[inline]
    pub(super) fn is_borrowed(self) -> bool {
        self.0 & Presence::BORROWED != 0
    }

    /// That of a thread that takes its first guard at `epoch`.
    #[inline]
    pub(super) fn entered(self, epoch: u64) -> Presence {
        Presence(self.0 + (epoch << Presence::EPOCH_SHIFT) + 1)
    }

    /// Eight million guards on one thread would be a leak of them: the process is stopped rather
    /// than something freed that one of them protects.
    #[inline]
    pub(super) fn one_guard_more(self) -> Presence {
        if self.guards() == Presence::GUARDS {
            std::process::abort();
        }
        Presence(self.0 + 1)
    }

    #[inline]
    pub(super) fn one_guard_less(self) -> Presence {
        Presence(self.0 - 1)
    }
}

impl Slot {
    #[inline]
    pub(super) fn presence(&self) -> Presence {
        // Relaxed: this thread stored it, or the domain's lock was passed on.
        Presence(self.0.load(Ordering::Relaxed))
    }

    /// Relaxed: the barrier pair orders it.
    #[inline]
    pub(super) fn set_presence(&self, presence: Presence) {
        self.0.store(presence.0, Ordering::Relaxed);
    }

    /// Takes back the announcement. Release pairs with the Acquire in the scan: what was read was
    /// read before it is freed.
    #[inline]
    pub(super) fn leave(&self, presence: Presence) {
        self.0.store(presence.0 & Presence::BORROWED, Ordering::Release);
    }

    fn set_borrowed(&self, borrowed: bool) {
        let others = self.presence().0 & !Presence::BORROWED;
        self.set_presence(Presence(others | if borrowed { Presence::BORROWED } else { 0 }));
    }
}

/// Everything behind the lock.
struct Domain {
    /// Every slot there is, held by a thread or free.
    slots: Vec<&'static Slot>,
    free: Vec<&'static Slot>,
    garbage: Vec<Garbage>,
}

struct Garbage {
    /// To be freed when no slot holds an epoch up to this one.
    epoch: u64,
    object: Box<dyn Any + Send>,
}

global! {
    static DOMAIN: DomainLock<Domain> =
        DomainLock::new(Domain { slots: Vec::new(), free: Vec::new(), garbage: Vec::new() });
}

thread_cell! {
    /// The thread's slot, once it has one. Without a destructor, so that it can be had for as
    /// long as the thread runs, and at the cost of a load.
    static SLOT: Option<&'static Slot> = None;
}

thread_static! {
    /// Gives the slot back when the thread ends.
    static AT_EXIT: AtExit = AtExit(Cell::new(None));
}

/// The thread's slot, too.
struct AtExit(Cell<Option<&'static Slot>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        let Some(slot) = self.0.get() else { return };
        if slot.presence().guards() == 0 {
            give_back(slot);
        } else {
            // A guard outlives this, in another of the thread's variables, and will do it.
            slot.set_borrowed(true);
        }
    }
}

/// The calling thread's slot.
#[inline]
pub(super) fn current_slot() -> &'static Slot {
    SLOT.get().unwrap_or_else(first_slot)
}

#[cold]
fn first_slot() -> &'static Slot {
    let slot = take_slot();
    // A thread whose destructors have run gives it back after each use.
    slot.set_borrowed(AT_EXIT.try_with(|exit| exit.0.set(Some(slot))).is_err());
    SLOT.set(Some(slot));
    slot
}

fn take_slot() -> &'static Slot {
    at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    DOMAIN.with(|domain| {
        barrier::detect();
        domain.free.pop().unwrap_or_else(|| {
            let slot: &'static Slot = Box::leak(Box::new(Slot(AtomicU64::new(OUTSIDE))));
            domain.slots.push(slot);
            slot
        })
    })
}

/// The calling thread, which holds no guard, does without `slot` from now on.
fn give_back(slot: &'static Slot) {
    SLOT.set(None);
    slot.set_borrowed(false);
    DOMAIN.with(|domain| domain.free.push(slot));
}

/// Drops `object`, which nobody can reach any more, once nobody still looks at it.
pub(super) fn retire(object: Box<dyn Any + Send>) {
    if set_aside(object) {
        collect();
    }
}

/// As [`retire`], and leaves the freeing to the next who collects. Returns whether that is due.
pub(super) fn set_aside(object: Box<dyn Any + Send>) -> bool {
    DOMAIN.with(|domain| {
        // Release: who sees the new epoch sees that the object was taken out. Under the lock,
        // so that `garbage` is in ascending order of epoch.
        let epoch = EPOCH.fetch_add(1, Ordering::AcqRel);
        domain.garbage.push(Garbage { epoch, object });
        domain.garbage.len() >= BATCH
    })
}

/// Frees all garbage that no reader can see any more.
pub(super) fn collect() {
    let newest = DOMAIN.with(|domain| domain.garbage.last().map(|garbage| garbage.epoch));
    let Some(newest) = newest else { return };
    // Before the barrier: a reader that the scan finds inside will find this when it leaves.
    WAITING.fetch_max(newest, Ordering::Relaxed);
    if !barrier::heavy() {
        // Nothing is known of who reads what: rather keep it.
        return;
    }
    // Objects are dropped without the lock: unmapping a file takes long.
    let unreachable: Vec<Garbage> = DOMAIN.with(|domain| {
        // Acquire pairs with the Release in `Slot::leave`.
        let presences = domain.slots.iter().map(|slot| Presence(slot.0.load(Ordering::Acquire)));
        let entered = presences.map(Presence::epoch);
        let oldest = entered.filter(|&epoch| epoch != OUTSIDE).min().unwrap_or(u64::MAX);
        // Only what was retired before the barrier, and before any reader entered.
        let end = domain
            .garbage
            .partition_point(|garbage| garbage.epoch <= newest && garbage.epoch < oldest);
        let unreachable = domain.garbage.drain(..end).collect();
        if domain.garbage.is_empty() {
            WAITING.store(OUTSIDE, Ordering::Relaxed);
        }
        unreachable
    });
    for garbage in unreachable {
        free(garbage.object);
    }
}

/// A reader left that something waited for, or that had only borrowed its slot.
#[cold]
pub(super) fn left_late(slot: &'static Slot) {
    if slot.presence().is_borrowed() {
        give_back(slot);
    }
    collect();
}

extern "C" fn before_fork() {
    DOMAIN.lock();
}

extern "C" fn after_fork_in_parent() {
    DOMAIN.unlock();
}

extern "C" fn after_fork_in_child() {
    // The other threads do not exist here, so none of them will ever leave.
    let own = SLOT.get();
    let clear = |domain: &mut Domain| {
        for &slot in &domain.slots {
            if !own.is_some_and(|own| ptr::eq(own, slot)) {
                slot.set_presence(Presence(OUTSIDE));
            }
        }
    };
    // SAFETY: `before_fork` took the lock on this thread.
    unsafe { DOMAIN.with_locked(clear) };
    DOMAIN.unlock();
}
