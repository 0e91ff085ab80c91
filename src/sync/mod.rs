//! The primitives that threads meet through, in one place, so that a model checker can stand in
//! for them.
//!
//! An ordinary build gets the standard library's and parking_lot's, by re-export: this module
//! then costs nothing. With `--cfg loom` (`make test_models`) it is [`model`], whose primitives
//! are loom's, which tries every order of events, and every value that a load may see, for the
//! code of `commit`, `index` and `io::epoch` as it stands.
//!
//! What only ever runs under the writer's lock, the log, keeps using the real ones, and so does
//! `std::sync::Arc`: its counting is the standard library's business.

mod join;
#[cfg(loom)]
mod model;

pub(crate) use join::{is_parallel, join};
#[cfg(loom)]
pub(crate) use model::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::thread;

    pub(crate) use parking_lot::{Mutex, MutexGuard};

    /// parking_lot's, in a dress that loom's fits as well.
    #[derive(Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits until notified, or until `deadline`, if there is one; then true is returned.
        pub(crate) fn wait_until<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            deadline: Option<std::time::Instant>,
        ) -> (MutexGuard<'a, T>, bool) {
            let is_late = match deadline {
                Some(deadline) => self.0.wait_until(&mut guard, deadline).timed_out(),
                None => {
                    self.0.wait(&mut guard);
                    false
                }
            };
            (guard, is_late)
        }
    }

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{
            AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, fence,
        };
    }

    /// A cell that a lock of our own making protects.
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
            work(self.0.get())
        }
    }

    /// Says when an object is used and when it is freed. Nothing here; a model fails when a use
    /// is not ordered before the freeing.
    pub(crate) struct Lifetime;

    impl Lifetime {
        pub(crate) fn new() -> Lifetime {
            Lifetime
        }

        #[inline(always)]
        pub(crate) fn used(&self) {}

        #[inline(always)]
        pub(crate) fn ended(&self) {}
    }

    /// Frees what nobody reaches any more.
    #[inline]
    pub(crate) fn free<T: ?Sized>(object: Box<T>) {
        drop(object);
    }

    /// A static that each run of a model begins with anew.
    macro_rules! global {
        ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr;) => {
            $(#[$attribute])* $visibility static $name: $type = $init;
        };
    }

    /// A `Cell` of each thread's own, without a destructor.
    macro_rules! thread_cell {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;) => {
            thread_local! {
                $(#[$attribute])* static $name: std::cell::Cell<$type> = const {
                    std::cell::Cell::new($init)
                };
            }
        };
    }

    /// A static of each thread's own, with a destructor.
    macro_rules! thread_static {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;) => {
            thread_local! {
                $(#[$attribute])* static $name: $type = const { $init };
            }
        };
    }

    pub(crate) use {global, thread_cell, thread_static};
}
#[cfg(not(loom))]
pub(crate) use real::*;
