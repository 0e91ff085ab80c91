//! The one place where an object is kept that readers reach without a lock.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::Ordering;

use super::{Guard, domain};
use crate::sync::atomic::AtomicPtr;
use crate::sync::free;

/// Owns an object, or is vacant. Readers look at the object under a [`Guard`]; whoever takes it
/// out leaves it to the epoch, which frees it when the last of those readers has left.
///
/// Invariant: the pointer is null or came from a box, and no other `Retirable` that anybody else
/// can reach holds the same one. Every method keeps it, whichever threads call them.
pub(crate) struct Retirable<T> {
    pointer: AtomicPtr<T>,
    /// As a box: an owner of a `T`.
    owned: PhantomData<Box<T>>,
}

impl<T> Retirable<T> {
    pub(crate) fn vacant() -> Retirable<T> {
        Retirable { pointer: AtomicPtr::new(ptr::null_mut()), owned: PhantomData }
    }

    /// Whether it held nothing at some time during the call.
    pub(crate) fn is_vacant(&self) -> bool {
        // Relaxed: the object is not looked at.
        self.pointer.load(Ordering::Relaxed).is_null()
    }
}

impl<T: Send + Sync + 'static> Retirable<T> {
    /// The object, valid while `guard` lives.
    #[inline]
    pub(crate) fn load<'g>(&'g self, _guard: &'g Guard<'_>) -> Option<&'g T> {
        // Acquire pairs with the Release of whoever stored the pointer.
        let pointer = self.pointer.load(Ordering::Acquire);
        // SAFETY: by the invariant it is null or a box's; while the guard lives nobody frees what
        // is taken out here, and the borrow of `self` says that nobody drops it in place.
        unsafe { pointer.as_ref() }
    }

    /// Puts `object` in, and retires what was there.
    pub(crate) fn replace(&self, object: Box<T>) {
        self.exchange(Box::into_raw(object));
    }

    /// Takes the object out, if there is one, to be freed when no guard can still see it.
    pub(crate) fn retire(&self) {
        self.exchange(ptr::null_mut());
    }

    /// As [`retire`](Retirable::retire), without freeing anything yet: for a caller who holds a
    /// lock. [`Epoch::flush`](super::Epoch::flush) does.
    pub(crate) fn set_aside(&self) {
        if let Some(old) = self.swap(ptr::null_mut()) {
            domain::set_aside(old);
        }
    }

    fn exchange(&self, new: *mut T) {
        if let Some(old) = self.swap(new) {
            domain::retire(old);
        }
    }

    /// Puts `new` in, and returns what was there, which readers may still be looking at: it goes
    /// to the domain.
    fn swap(&self, new: *mut T) -> Option<Box<T>> {
        // Release pairs with the Acquire in `load`: readers see the new object whole. Acquire pairs
        // with the Release that published the old one, so that its drop does, too.
        let old = self.pointer.swap(new, Ordering::AcqRel);
        // SAFETY: null or a box's, by the invariant, and just taken out of the only place that held
        // it, so this is its only owner.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }

    /// Puts `successor` in, which takes what was there over, in the vacant place that `place`
    /// names in it: whoever reaches the one can go on to the other.
    pub(crate) fn supersede(
        &self,
        successor: Box<T>,
        place: impl FnOnce(&mut T) -> &mut Retirable<T>,
    ) {
        let new = Box::into_raw(successor);
        // SAFETY: just taken from its box. The reference is not used once others reach the object.
        let place: &Retirable<T> = place(unsafe { &mut *new });
        debug_assert!(place.is_vacant());
        // Relaxed: the object is not looked at.
        let mut old = self.pointer.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange, from which on the place owns `old`.
            place.pointer.store(old, Ordering::Relaxed);
            // Release as in `exchange`.
            match self.pointer.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => old = other,
            }
        }
    }
}

impl<T> Drop for Retirable<T> {
    fn drop(&mut self) {
        // Relaxed: `&mut self` says that nobody else reaches it.
        let pointer = self.pointer.load(Ordering::Relaxed);
        if !pointer.is_null() {
            // SAFETY: a box's, by the invariant, and nobody looks at it any more.
            free(unsafe { Box::from_raw(pointer) });
        }
    }
}
