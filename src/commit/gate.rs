//! The gate that every read passes: whether the store can be used, and whether just now a batch is
//! being published, which readers must see all of or nothing.
//!
//! It is one word, which a get has always compared with the number of forks. So batches add nothing
//! to it, not even a load:
//!
//! | word | who passes |
//! |---|---|
//! | the fork count of the process that opened the store | that process, but not its children |
//! | [`PUBLISHING`] | nobody for the moment: a batch is half published |
//! | [`CLOSED`] | nobody |
//!
//! Only who holds the writer's lock stores to it.
//!
//! # Why no reader sees a part of a batch
//! To publish a batch the writer stores `PUBLISHING`, then the slots of the index, each with Release,
//! then the fork count, with Release. A reader loads the word with Acquire, passes or waits, and then
//! loads slots with Acquire.
//!
//! *A reader that has seen a slot of a batch sees all of the batch in every later read.* Its Acquire
//! load of the slot reads from a Release store that comes after the store of `PUBLISHING`, so that
//! store happens before whatever the reader does next. By coherence its next load of the word reads
//! `PUBLISHING` or something later; it waits on the first, and passes on the fork count that ended
//! the publication or a later one, whose Acquire load makes all slots of the batch visible. It is the
//! same for a reader on another thread that the first has told of what it saw, since telling is what
//! happens-before is made of. No fence is needed: the Relaxed store of `PUBLISHING` is ordered before
//! each slot by the slot's own Release.
//!
//! *One read looks at one key*, so a read that passed the gate before `PUBLISHING` and is still under
//! way sees the old value or the new one, and either is right: it overlaps the publication. If it
//! sees the old one, it takes its place before the batch, and it had begun by then; if the new
//! one, behind it, and the above holds for whatever follows. (A key that occurs twice in a batch
//! would break this, so only the last write of each is published.)
//!
//! *The number of keys* is stored once for a batch, so it counts as one more key.
//!
//! *Reads of several keys* ([`Gate::consistently`]) count publications: they load the count, pass the
//! gate, read, and load the count again. A publication that began before the first load has ended,
//! since the gate was passed after it: the count is stored with Release after `PUBLISHING`, so who
//! loads it with Acquire sees that store or a later one in the word. One that begins later and of
//! which a slot was seen has made the second load differ: the count is stored before the slot, whose
//! Release store the Acquire load of the slot reads from, so the next load of the count sees that one
//! or a later one. (No fence, since every slot is loaded with Acquire.) So if both loads agree, what
//! was seen has all of the batches up to that count, and nothing of those after it.
//!
//! *Views and scans* are of an instant at which the writer's lock is held, which a publication never
//! lets go of; and they pass the gate first.
//!
//! Waiting costs a short spin, and then the lock that the publishing writer holds.

use std::sync::atomic::Ordering;

use crate::io::fork_count;
use crate::sync::atomic::AtomicU64;
use crate::sync::{Mutex, MutexGuard, spin_loop};

/// No process has been forked that often.
const CLOSED: u64 = u64::MAX;
const PUBLISHING: u64 = u64::MAX - 1;

/// How often a reader looks again before it waits for the lock: a small batch is published in less.
const SPINS: usize = if cfg!(loom) { 0 } else { 200 };

/// How often a read of several keys is tried before it keeps batches out.
const TRIES: usize = if cfg!(loom) { 1 } else { 8 };

/// In cache lines of its own: readers of all processors keep them, as long as nobody stores there.
#[repr(align(128))]
pub(crate) struct Gate {
    word: AtomicU64,
    /// The fork count of the process that opened the store.
    forks: u64,
    /// How many publications of batches have begun.
    publications: AtomicU64,
    /// Held during each.
    passage: Mutex<()>,
}

/// What a gate says to those who do not pass at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    Open,
    Closed,
    /// This process is a child of the one that opened the store.
    Forked,
}

impl Gate {
    /// Open for this process, whose fork count `forks` is.
    pub(crate) fn new(forks: u64) -> Gate {
        let (word, publications) = (AtomicU64::new(forks), AtomicU64::new(0));
        Gate { word, forks, publications, passage: Mutex::new(()) }
    }

    /// Whether a read may begin; if not, [`wait`](Gate::wait) says what to do.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        // Acquire pairs with the Release stores of `close` and of `Publishing`.
        self.word.load(Ordering::Acquire) == fork_count()
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) == CLOSED
    }

    /// Whether this process is a child of the one that opened the store: such a child must take no
    /// lock, which another thread of the parent may have held when it forked.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        fork_count() != self.forks
    }

    /// Lets nobody pass from now on. The caller holds the writer's lock, and closes before it empties
    /// the index: a reader that finds nothing can tell why.
    pub(crate) fn close(&self) {
        self.word.store(CLOSED, Ordering::Release);
    }

    /// Waits for the batch that is being published, if one is.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait(&self) -> Passage {
        if self.is_forked() {
            return Passage::Forked;
        }
        let mut spins = 0;
        loop {
            match self.word.load(Ordering::Acquire) {
                CLOSED => return Passage::Closed,
                PUBLISHING if spins < SPINS => spin_loop(),
                PUBLISHING => drop(self.passage.lock()),
                _ => return Passage::Open,
            }
            spins += 1;
        }
    }

    /// What `look` makes of something that a batch changes at once, such as the number of keys. For
    /// who cannot be told that the gate lets nobody pass.
    #[inline]
    pub(crate) fn look<R>(&self, look: impl FnOnce() -> R) -> R {
        if !self.is_open() {
            let _passage = self.wait();
        }
        look()
    }

    /// What `read` makes of several keys, none of them looked at amid the publication of a batch. It
    /// is called again when one came between; so it must do no more than look.
    ///
    /// # Errors
    /// Why the gate lets nobody pass.
    pub(crate) fn consistently<R>(&self, mut read: impl FnMut() -> R) -> Result<R, Passage> {
        for _ in 0..TRIES {
            // Acquire pairs with the Release in `publish`. Before the word is looked at.
            let before = self.publications.load(Ordering::Acquire);
            self.pass()?;
            let result = read();
            // Relaxed: whatever was loaded with Acquire came before.
            if self.publications.load(Ordering::Relaxed) == before {
                return Ok(result);
            }
        }
        // Batches follow each other faster than this reads.
        self.pass()?;
        let _passage = self.passage.lock();
        self.pass()?;
        Ok(read())
    }

    fn pass(&self) -> Result<(), Passage> {
        if self.is_open() {
            return Ok(());
        }
        match self.wait() {
            Passage::Open => Ok(()),
            other => Err(other),
        }
    }

    /// Begins the publication of a batch, which ends when what is returned is dropped. The caller
    /// holds the writer's lock, and the store is not closed.
    pub(crate) fn publish(&self) -> Publishing<'_> {
        let passage = self.passage.lock();
        // Relaxed: nothing but this and its successors depends on it; the stores that follow order it.
        self.word.store(PUBLISHING, Ordering::Relaxed);
        let count = self.publications.load(Ordering::Relaxed) + 1;
        // Release pairs with the Acquire in `consistently`: who sees it sees the word as above. That
        // it comes before the slots is what their own Release says.
        self.publications.store(count, Ordering::Release);
        Publishing { gate: self, _passage: passage }
    }
}

/// A batch is being published. Also if that panics, readers go on: the store then takes no more
/// writes, and reads as it was left.
pub(crate) struct Publishing<'a> {
    gate: &'a Gate,
    _passage: MutexGuard<'a, ()>,
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire in `is_open` and `wait`: who passes sees all of the batch.
        // The passage is free only then.
        self.gate.word.store(self.gate.forks, Ordering::Release);
    }
}
