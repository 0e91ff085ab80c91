//! The lock of the domain.

use std::sync::atomic::Ordering;

use crate::sync::atomic::AtomicBool;
use crate::sync::{UnsafeCell, spin_loop, thread};

/// A spin lock: it is held for a few instructions, and unlike one that parks threads it can be
/// taken before a fork and released on both sides.
pub(crate) struct SpinLock<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by whoever holds the lock.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> SpinLock<T> {
        SpinLock { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> SpinLock<T> {
        SpinLock { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `work`, which must not come back here or panic, under the lock.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        self.lock();
        // SAFETY: the lock is held.
        let result = unsafe { self.with_locked(work) };
        self.unlock();
        result
    }

    /// Runs `work` under the lock, which stays held.
    ///
    /// # Safety
    /// This thread holds the lock, and is not in another call of this.
    pub(super) unsafe fn with_locked<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the lock is held, so this is the only reference.
        self.value.with_mut(|value| work(unsafe { &mut *value }))
    }

    pub(super) fn lock(&self) {
        let mut spins = 0;
        while !self.try_lock() {
            spins += 1;
            if spins % 64 == 0 { thread::yield_now() } else { spin_loop() }
        }
    }

    fn try_lock(&self) -> bool {
        // Acquire pairs with the Release in `unlock`.
        self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(super) fn unlock(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

#[cfg(not(loom))]
pub(super) type DomainLock<T> = SpinLock<T>;

/// In models threads wait for the domain without spinning: each turn would be one more thing to
/// try. The spin lock has a model of its own.
#[cfg(loom)]
pub(super) struct DomainLock<T>(crate::sync::Mutex<T>);

#[cfg(loom)]
impl<T> DomainLock<T> {
    pub(super) fn new(value: T) -> DomainLock<T> {
        DomainLock(crate::sync::Mutex::new(value))
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock())
    }

    /// For forks, of which there are none in a model.
    pub(super) fn lock(&self) {}

    pub(super) fn unlock(&self) {}

    pub(super) unsafe fn with_locked<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        self.with(work)
    }
}
