//! The threads that read, and what waits for them to leave.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::barrier;
use crate::io::fork::at_fork;

/// The current epoch; advanced by every retirement.
pub(super) static EPOCH: AtomicU64 = AtomicU64::new(1);

/// The newest epoch that garbage waits for readers to leave, or `OUTSIDE` when none waits.
pub(super) static WAITING: AtomicU64 = AtomicU64::new(OUTSIDE);

/// In a slot: its thread is not reading. Less than every epoch.
pub(super) const OUTSIDE: u64 = 0;

/// Retired objects gathered before a heavy barrier is spent on them. A system call for each
/// would show in the latencies of writes.
const BATCH: usize = 16;

/// A thread's announcement that it is reading. Slots live for ever and are used again.
#[repr(align(128))] // two lines: processors fetch them in pairs
pub(super) struct Slot {
    /// The epoch at which the thread entered, or `OUTSIDE`.
    pub(super) entered: AtomicU64,
    /// How many guards the thread holds; only that thread looks.
    depth: Cell<usize>,
    /// Whether it was lent to a thread that is past having one of its own.
    temporary: Cell<bool>,
}

// SAFETY: the cells are touched only by the thread that holds the slot, which passes from one to
// the next through the domain's lock.
unsafe impl Sync for Slot {}

impl Slot {
    #[inline]
    pub(super) fn depth(&self) -> usize {
        self.depth.get()
    }

    #[inline]
    pub(super) fn set_depth(&self, depth: usize) {
        self.depth.set(depth);
    }

    #[inline]
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.get()
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
    #[expect(dead_code, reason = "held for its drop")]
    object: Box<dyn Any + Send>,
}

/// A spin lock: it is held for a few instructions, and unlike one that parks threads it can be
/// taken before a fork and released on both sides.
struct Locked {
    taken: AtomicBool,
    domain: UnsafeCell<Domain>,
}

// SAFETY: the domain is reached only through `with`, which holds the lock; the slots in it are
// `Sync`, the garbage `Send`.
unsafe impl Sync for Locked {}

static DOMAIN: Locked = Locked {
    taken: AtomicBool::new(false),
    domain: UnsafeCell::new(Domain { slots: Vec::new(), free: Vec::new(), garbage: Vec::new() }),
};

impl Locked {
    /// Runs `work`, which must not come back here or panic, under the lock.
    fn with<R>(&self, work: impl FnOnce(&mut Domain) -> R) -> R {
        self.lock();
        // SAFETY: the lock is held, so this is the only reference.
        let result = work(unsafe { &mut *self.domain.get() });
        self.unlock();
        result
    }

    fn lock(&self) {
        let mut spins = 0;
        // Acquire pairs with the Release in `unlock`.
        while self.taken.swap(true, Ordering::Acquire) {
            spins += 1;
            if spins % 64 == 0 { thread::yield_now() } else { hint::spin_loop() }
        }
    }

    fn unlock(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

thread_local! {
    /// The thread's slot, once it has one. Without a destructor, so that it can be had for as
    /// long as the thread runs, and at the cost of a load.
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    /// Gives the slot back when the thread ends.
    static AT_EXIT: AtExit = const { AtExit };
}

struct AtExit;

impl Drop for AtExit {
    fn drop(&mut self) {
        let Some(slot) = SLOT.get() else { return };
        if slot.depth() == 0 {
            give_back(slot);
        } else {
            // A guard outlives this, in another of the thread's variables, and will do it.
            slot.temporary.set(true);
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
    slot.temporary.set(AT_EXIT.try_with(|_| ()).is_err());
    SLOT.set(Some(slot));
    slot
}

fn take_slot() -> &'static Slot {
    at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    DOMAIN.with(|domain| {
        barrier::detect();
        domain.free.pop().unwrap_or_else(|| {
            let slot: &'static Slot = Box::leak(Box::new(Slot {
                entered: AtomicU64::new(OUTSIDE),
                depth: Cell::new(0),
                temporary: Cell::new(false),
            }));
            domain.slots.push(slot);
            slot
        })
    })
}

/// The calling thread, which holds no guard, does without `slot` from now on.
fn give_back(slot: &'static Slot) {
    SLOT.set(None);
    slot.temporary.set(false);
    DOMAIN.with(|domain| domain.free.push(slot));
}

/// Drops `object`, which nobody can reach any more, once nobody still looks at it.
pub(super) fn retire(object: Box<dyn Any + Send>) {
    let due = DOMAIN.with(|domain| {
        // Release: who sees the new epoch sees that the object was taken out. Under the lock,
        // so that `garbage` is in ascending order of epoch.
        let epoch = EPOCH.fetch_add(1, Ordering::AcqRel);
        domain.garbage.push(Garbage { epoch, object });
        domain.garbage.len() >= BATCH
    });
    if due {
        collect();
    }
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
    let free: Vec<Garbage> = DOMAIN.with(|domain| {
        // Acquire pairs with the Release in `leave`.
        let entered = domain.slots.iter().map(|slot| slot.entered.load(Ordering::Acquire));
        let oldest = entered.filter(|&epoch| epoch != OUTSIDE).min().unwrap_or(u64::MAX);
        // Only what was retired before the barrier, and before any reader entered.
        let end = domain
            .garbage
            .partition_point(|garbage| garbage.epoch <= newest && garbage.epoch < oldest);
        let free = domain.garbage.drain(..end).collect();
        if domain.garbage.is_empty() {
            WAITING.store(OUTSIDE, Ordering::Relaxed);
        }
        free
    });
    drop(free);
}

/// A reader left that something waited for, or that had only borrowed its slot.
#[cold]
pub(super) fn left_late(slot: &'static Slot) {
    if slot.is_temporary() {
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
    // SAFETY: `before_fork` took the lock on this thread.
    let domain = unsafe { &mut *DOMAIN.domain.get() };
    for &slot in &domain.slots {
        if !own.is_some_and(|own| ptr::eq(own, slot)) {
            slot.entered.store(OUTSIDE, Ordering::Relaxed);
        }
    }
    DOMAIN.unlock();
}
