//! Whose turn it is while a transaction is open: its own thread's, and nobody else's.
//!
//! The token is a number, changed under the writer's lock, which is held for no longer than that:
//! never while the caller's code runs. Everybody else who wants to write waits here until the
//! transaction ends, or until the time that the options allow is over. The thread that has the
//! transaction would wait for itself, and is refused at once.

use std::sync::atomic::{AtomicU64 as Counter, Ordering};
use std::time::{Duration, Instant};

use super::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::AtomicU64;
use crate::sync::{Condvar, MutexGuard, thread_cell};

/// Nobody's number.
const NOBODY: u64 = 0;

pub(super) struct Token {
    /// The thread that began the transaction which is open. Stored under the writer's lock, so who
    /// holds that sees what is so. Who does not may see what was, except of itself.
    owner: AtomicU64,
    released: Condvar,
    /// How long a caller may be kept waiting.
    patience: Duration,
    /// How long to wait for it at a time: less than that if the caller comes back.
    slice: Duration,
}

thread_cell! {
    /// Numbers the threads that have asked; a thread's own is never given out again.
    static NUMBER: u64 = NOBODY;
}

fn this_thread() -> u64 {
    static NEXT: Counter = Counter::new(NOBODY + 1);
    if NUMBER.get() == NOBODY {
        // Relaxed: the numbers only have to be different.
        NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

impl Token {
    pub(super) fn new(patience: Duration) -> Token {
        let (owner, released) = (AtomicU64::new(NOBODY), Condvar::default());
        Token { owner, released, patience, slice: patience }
    }

    /// As it is, but who waits is told after `slice` that the time is over.
    pub(super) fn in_slices(self, slice: Duration) -> Token {
        Token { slice: slice.min(self.patience), ..self }
    }

    /// Whether no transaction is open. Exact for who holds the writer's lock, and for the thread that
    /// has one open; for others, what was so a moment ago.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        // Relaxed: the lock orders it; without it nothing depends on the answer being the last one.
        self.owner.load(Ordering::Relaxed) == NOBODY
    }

    /// Waits, letting go of the writer, until no transaction is open.
    ///
    /// # Errors
    /// `InvalidArgument` for the thread that has it open; `Locked` after the time that is allowed.
    #[cold]
    pub(super) fn wait<'a>(
        &self,
        mut writer: MutexGuard<'a, Writer>,
    ) -> Result<MutexGuard<'a, Writer>> {
        // `None` when that is beyond the clock's range: wait for ever.
        let deadline = Instant::now().checked_add(self.slice);
        while !self.is_free() {
            self.refuse_owner()?;
            let (guard, is_late) = self.released.wait_until(writer, deadline);
            writer = guard;
            if is_late && !self.is_free() {
                return Err(self.timed_out());
            }
        }
        Ok(writer)
    }

    /// Fails on the thread that has a transaction open.
    pub(super) fn refuse_owner(&self) -> Result<()> {
        if self.owner.load(Ordering::Relaxed) != this_thread() {
            return Ok(());
        }
        let message = "this thread has a transaction open, and would wait for itself; write through \
                       the transaction, or commit or abort it first";
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }

    fn timed_out(&self) -> Error {
        let message = format!(
            "another thread's transaction has been open for longer than {:?}; nothing was written; \
             try again, or allow for more time with the transaction timeout",
            self.patience
        );
        Error::new(ErrorKind::Locked, message)
    }

    /// Gives it to this thread. The caller holds the writer, and it is free.
    pub(super) fn take(&self) {
        self.owner.store(this_thread(), Ordering::Relaxed);
    }

    /// Takes it back, from whatever thread has it. The caller holds the writer.
    pub(super) fn release(&self) {
        self.owner.store(NOBODY, Ordering::Relaxed);
        self.released.notify_all();
    }
}
