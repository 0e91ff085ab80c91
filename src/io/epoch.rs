//! Deferred freeing: what lock-free readers may still be looking at is freed when the last of
//! them has left. The mechanism is the Hyaline scheme (Nikolaev and Ravindran, 2021) as
//! implemented by `seize`; the field's older word, epoch, is used for it here.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, Ordering};

use seize::{Collector, Guard as _, LocalGuard, reclaim};

/// One domain of readers: guards of one epoch protect only what is retired into the same one.
pub(crate) struct Epoch {
    collector: Collector,
}

/// While it lives, nothing that was reachable when it was entered is freed. Bound to its thread;
/// entering again on the same thread costs a counter.
pub(crate) struct Guard<'a>(LocalGuard<'a>);

impl Epoch {
    /// Retired objects wait until this many are together. Low, since they are few and large:
    /// tables of the index and mapped files.
    const BATCH: usize = 4;

    pub(crate) fn new() -> Epoch {
        Epoch { collector: Collector::new().batch_size(Epoch::BATCH) }
    }

    #[inline]
    pub(crate) fn enter(&self) -> Guard<'_> {
        Guard(self.collector.enter())
    }

    /// Takes `*slot` out, if it is not null, and drops the box when no guard can still see it.
    /// Whoever owns the slot made it from a box, and stores to it from one thread at a time.
    pub(crate) fn retire<T: Send + 'static>(&self, slot: &AtomicPtr<T>) {
        // Acquire pairs with the store that published the pointer, so that the drop sees the
        // object whole; Release orders the removal after whatever replaced the object.
        let retired = slot.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if !retired.is_null() {
            // SAFETY: the pointer came from `Box::into_raw` and was just taken out of the only
            // slot that held it, so no later guard can reach it, and it is retired once.
            unsafe { self.collector.retire(retired, reclaim::boxed) };
        }
    }
}

impl<'a> Guard<'a> {
    /// The object that `slot` points at, valid while this guard lives.
    #[inline]
    pub(crate) fn load<'g, T>(&'g self, slot: &'g AtomicPtr<T>) -> Option<&'g T> {
        // Acquire pairs with the Release of whoever stored the pointer.
        let pointer = self.0.protect(slot, Ordering::Acquire);
        // SAFETY: slots hold null or a pointer from `Box::into_raw`, and are emptied only by
        // `Epoch::retire`, which frees the object after this guard has gone.
        unsafe { pointer.as_ref() }
    }
}
