//! The primitives under loom, with the interfaces of the real ones.
#![allow(unsafe_code, reason = "objects are dropped in place, their memory kept")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::ptr;

pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::thread_local as thread_static;

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, fence,
    };
}

/// loom's mutex in the dress of parking_lot's.
#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// loom's, which knows no time: whoever waits is notified, or it is a deadlock.
#[derive(Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _deadline: Option<std::time::Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        match self.0.wait(guard) {
            Ok(guard) => (guard, false),
            Err(poisoned) => (poisoned.into_inner(), false),
        }
    }
}

pub(crate) mod thread {
    use std::sync::Arc;

    pub(crate) use loom::thread::yield_now;

    /// A thread that can be unparked. loom's own would wake a thread from a lock it waits for,
    /// and forgets an unpark that came before the thread waited for a lock.
    #[derive(Clone)]
    pub(crate) struct Thread(Arc<loom::sync::Notify>);

    loom::thread_local! {
        static CURRENT: Thread = Thread(Arc::new(loom::sync::Notify::new()));
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    /// Returns without an unpark, too, as the real one may.
    pub(crate) fn park() {
        current().0.wait();
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }
}

/// Fails the model unless every use is ordered before the end.
pub(crate) struct Lifetime(UnsafeCell<()>);

// SAFETY: there is nothing in the cell; loom checks the accesses.
unsafe impl Sync for Lifetime {}

impl Lifetime {
    pub(crate) fn new() -> Lifetime {
        Lifetime(UnsafeCell::new(()))
    }

    pub(crate) fn used(&self) {
        self.0.with(|_| ());
    }

    pub(crate) fn ended(&self) {
        self.0.with_mut(|_| ());
    }
}

/// Drops `object` and keeps its memory, so that a use after this is reported, by its
/// [`Lifetime`], and does not crash.
pub(crate) fn free<T: ?Sized>(object: Box<T>) {
    let object = Box::into_raw(object);
    // SAFETY: just taken from its box, which nothing else owned.
    unsafe { ptr::drop_in_place(object) };
}

/// A static, whose value belongs to one run of a model: a run must not see what the one before
/// left behind.
pub(crate) struct Global<T: 'static>(pub(crate) fn() -> T);

std::thread_local! {
    /// Counts runs. All threads of a model are coroutines on the one thread that explores it, so
    /// what is that thread's own is the model's own.
    static RUN: Cell<u64> = const { Cell::new(0) };
    static FAILING_BARRIER: Cell<bool> = const { Cell::new(false) };
    /// By the address of the global: the run, and the value in it.
    static VALUES: RefCell<HashMap<usize, (u64, &'static dyn Any)>> = RefCell::default();
}

/// To be called first in each run.
pub(crate) fn begin_run(failing_barrier: bool) {
    RUN.set(RUN.get() + 1);
    FAILING_BARRIER.set(failing_barrier);
}

/// Whether the epoch's heavy barrier is a system call, which fails.
pub(crate) fn has_failing_barrier() -> bool {
    FAILING_BARRIER.get()
}

impl<T> Deref for Global<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let address = ptr::from_ref(self) as usize;
        let found = VALUES.with_borrow(|values| values.get(&address).copied());
        let value = match found {
            Some((run, value)) if run == RUN.get() => value,
            _ => {
                let value: &'static dyn Any = Box::leak(Box::new((self.0)()));
                VALUES.with_borrow_mut(|values| values.insert(address, (RUN.get(), value)));
                value
            }
        };
        value.downcast_ref().unwrap_or_else(|| unreachable!("stored with this type above"))
    }
}

macro_rules! global {
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $init:expr;) => {
        $(#[$attribute])*
        $visibility static $name: $crate::sync::Global<$type> = $crate::sync::Global(|| $init);
    };
}

/// A cell of each thread's own; vacant again once the thread's destructors run.
pub(crate) struct ThreadCell<T: 'static>(pub(crate) &'static loom::thread::LocalKey<Cell<T>>);

impl<T: Copy + Default> ThreadCell<T> {
    pub(crate) fn get(&'static self) -> T {
        self.0.try_with(Cell::get).unwrap_or_default()
    }

    pub(crate) fn set(&'static self, value: T) {
        // An error says that the cell is gone, which is to be vacant.
        let _gone = self.0.try_with(|cell| cell.set(value));
    }
}

macro_rules! thread_cell {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr;) => {
        $(#[$attribute])*
        static $name: $crate::sync::ThreadCell<$type> = {
            loom::thread_local! {
                static CELL: std::cell::Cell<$type> = std::cell::Cell::new($init);
            }
            $crate::sync::ThreadCell(&CELL)
        };
    };
}

pub(crate) use {global, thread_cell};
