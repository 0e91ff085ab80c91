//! When checkpoints run, and what is known of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Files;
use super::seal::AtSeal;
use super::unmap::Unmapper;
use crate::commit::Alarm;
use crate::error::{Error, ErrorKind, Result};
use crate::options::CheckpointAt;

/// After one failure no other is tried for this long; after more, for twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Figures about checkpoints.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
    pub(crate) is_running: bool,
    pub(crate) records_copied: u64,
    pub(crate) records_to_copy: u64,
    pub(crate) error: Option<Error>,
}

/// The checkpoints of one open store.
pub(crate) struct Checkpoints {
    at: CheckpointAt,
    files: Mutex<Files>,
    /// Held by the one that runs.
    turn: Mutex<()>,
    /// 1 when the log has reached the limit, 2 when the logs are about to exceed what they may have
    /// together; stored by whoever writes.
    level: Arc<AtomicU8>,
    /// The store is being closed.
    cancelled: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    unmapper: Unmapper,
    is_running: AtomicBool,
    records_copied: AtomicU64,
    records_to_copy: AtomicU64,
    history: Mutex<History>,
    /// What was sealed by an attempt that failed when hardly a segment number was left.
    left_over: Mutex<Option<AtSeal>>,
}

#[derive(Default)]
struct History {
    done: u64,
    bytes: u64,
    failed: u64,
    /// Since the last that succeeded.
    failed_in_a_row: u32,
    error: Option<Error>,
    /// The thread does not try before this.
    not_before: Option<Instant>,
}

impl Checkpoints {
    pub(crate) fn new(at: CheckpointAt, files: Files) -> Checkpoints {
        Checkpoints {
            at,
            files: Mutex::new(files),
            turn: Mutex::new(()),
            level: Arc::default(),
            cancelled: AtomicBool::new(false),
            thread: Mutex::new(None),
            unmapper: Unmapper::default(),
            is_running: AtomicBool::new(false),
            records_copied: AtomicU64::new(0),
            records_to_copy: AtomicU64::new(0),
            history: Mutex::default(),
            left_over: Mutex::default(),
        }
    }

    pub(crate) fn files(&self) -> &Mutex<Files> {
        &self.files
    }

    /// The timestamp of the snapshot that a log begun now builds on.
    pub(super) fn base(&self) -> i64 {
        self.files.lock().snapshot.map_or(0, |snapshot| snapshot.timestamp)
    }

    /// How many bytes a log may have.
    pub(super) fn limit(&self) -> u64 {
        let snapshot = self.files.lock().snapshot;
        self.at.limit(snapshot.map_or(0, |snapshot| snapshot.bytes))
    }

    /// What the writer's alarm is to be set to, for an empty log: when a checkpoint is due, and when
    /// writers are to be slowed down. What is left to three times the limit is for
    /// what slow ones write, and for space that is taken ahead.
    pub(crate) fn lengths(&self) -> [u64; Alarm::LEVELS] {
        let limit = self.limit();
        let others = self.files.lock().sealed_bytes();
        if limit == u64::MAX {
            return [limit; Alarm::LEVELS];
        }
        let most = limit.saturating_add(limit).saturating_sub(others);
        [limit, most.max(limit / 4)]
    }

    /// The same for the log that the store was opened with.
    pub(crate) fn first_lengths(&self) -> [u64; Alarm::LEVELS] {
        let [due, most] = self.lengths();
        let others = self.files.lock().sealed_bytes();
        [if due == u64::MAX { due } else { due.saturating_sub(others) }, most]
    }

    /// The same for a log of `len` bytes after a failure: when it is `more` bytes longer.
    pub(crate) fn later(&self, len: u64, more: u64) -> [u64; Alarm::LEVELS] {
        [len.saturating_add(more), u64::MAX]
    }

    /// Where the writer's alarm stores what the log has reached.
    pub(crate) fn level(&self) -> &Arc<AtomicU8> {
        &self.level
    }

    /// Whether a checkpoint is due. One load.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        // Relaxed: what it is about is looked up under the writer's lock.
        self.level.load(Ordering::Relaxed) > 0
    }

    /// Whether writers are so much faster than the checkpoint that runs that they are to wait a
    /// little. While checkpoints fail they never are.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.level.load(Ordering::Relaxed) > 1
    }

    /// Whether a checkpoint is due that may be tried; from now on it is not.
    pub(crate) fn take_due(&self) -> Due {
        if self.level.swap(0, Ordering::Relaxed) == 0 {
            return Due::No;
        }
        let not_before = self.history.lock().not_before;
        match not_before {
            Some(at) if Instant::now() < at => Due::Later(self.pause_bytes(1)),
            _ => Due::Now,
        }
    }

    /// How much longer the log is to be before another attempt after `failures`.
    fn pause_bytes(&self, failures: u32) -> u64 {
        (self.limit() >> 3_u32.saturating_sub(failures.saturating_sub(1))).max(4096)
    }

    /// Waits until no checkpoint runs, and keeps others from running.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the Release in `cancel`.
        self.cancelled.load(Ordering::Acquire)
    }

    /// Has the checkpoint that runs end soon, and none begin.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Takes a [`cancel`](Checkpoints::cancel) back.
    pub(crate) fn allow(&self) {
        self.cancelled.store(false, Ordering::Release);
    }

    /// What unmaps the old files.
    pub(crate) fn unmapper(&self) -> &Unmapper {
        &self.unmapper
    }

    /// Waits for the threads to end. Not to be called with anything locked that it needs.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // An error would be a panic of the thread, which has nothing to lose.
            drop(thread.join());
        }
        self.unmapper.join();
    }

    /// Has a thread do `work`, unless one does already, or the store is being closed. False when no
    /// thread can be had: that counts as a checkpoint that has failed.
    #[must_use]
    pub(crate) fn start(&self, work: impl FnOnce() + Send + 'static) -> bool {
        let mut thread = self.thread.lock();
        let is_running = thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if is_running || self.is_cancelled() {
            // The one that runs may have looked already whether another is due.
            return true;
        }
        // Joined and not just let go of, so that none is left when the store is closed; not here,
        // where a write would wait for it.
        let before = thread.take();
        let work = move || {
            drop(before.map(JoinHandle::join));
            work();
        };
        let name = "kvstore-checkpoint".to_owned();
        match thread::Builder::new().name(name).spawn(work) {
            Ok(started) => {
                *thread = Some(started);
                true
            }
            Err(error) => {
                let message = format!("no thread could be started for a checkpoint: {error}");
                self.note(&Err(Error::new(ErrorKind::OutOfMemory, message)));
                false
            }
        }
    }

    /// Keeps what was sealed for the next attempt.
    pub(super) fn leave_over(&self, sealed: AtSeal) {
        *self.left_over.lock() = Some(sealed);
    }

    /// What the last attempt has left over, if nothing was sealed since.
    pub(crate) fn take_left_over(&self) -> Option<AtSeal> {
        self.left_over.lock().take()
    }

    /// A checkpoint of `records` records begins to copy.
    pub(super) fn begin(&self, records: u64) {
        // Relaxed, here and below: figures for statistics.
        self.records_copied.store(0, Ordering::Relaxed);
        self.records_to_copy.store(records, Ordering::Relaxed);
    }

    pub(super) fn reached(&self, records: u64) {
        self.records_copied.store(records, Ordering::Relaxed);
    }

    /// Runs `checkpoint`, and takes note of what becomes of it: the bytes of its snapshot.
    pub(crate) fn account(&self, checkpoint: impl FnOnce() -> Result<u64>) -> Result<()> {
        /// Also when it panics.
        struct NotRunning<'a>(&'a Checkpoints);
        impl Drop for NotRunning<'_> {
            fn drop(&mut self) {
                self.0.begin(0);
                self.0.is_running.store(false, Ordering::Relaxed);
            }
        }
        self.is_running.store(true, Ordering::Relaxed);
        let running = NotRunning(self);
        let result = checkpoint();
        drop(running);
        self.note(&result);
        result.map(drop)
    }

    fn note(&self, result: &Result<u64>) {
        let mut history = self.history.lock();
        match result {
            Ok(bytes) => {
                history.done += u64::from(*bytes > 0);
                history.bytes += bytes;
                (history.failed_in_a_row, history.error, history.not_before) = (0, None, None);
            }
            // Given up, since the store is closed.
            Err(error) if error.kind() == ErrorKind::Closed => {}
            Err(error) => {
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(history.failed_in_a_row.min(16));
                history.failed += 1;
                history.failed_in_a_row += 1;
                history.error = Some(error.again());
                history.not_before = Instant::now().checked_add(pause.min(LONGEST_PAUSE));
            }
        }
    }

    /// How much longer the log is to be before another is tried, if the last one has failed.
    pub(crate) fn pause(&self) -> Option<u64> {
        let failures = self.history.lock().failed_in_a_row;
        (failures > 0 && self.limit() < u64::MAX).then(|| self.pause_bytes(failures))
    }

    pub(crate) fn figures(&self) -> Figures {
        let history = self.history.lock();
        Figures {
            done: history.done,
            failed: history.failed,
            bytes: history.bytes,
            is_running: self.is_running.load(Ordering::Relaxed),
            records_copied: self.records_copied.load(Ordering::Relaxed),
            records_to_copy: self.records_to_copy.load(Ordering::Relaxed),
            error: history.error.as_ref().map(Error::again),
        }
    }
}

/// Whether a checkpoint is to be begun.
pub(crate) enum Due {
    No,
    Now,
    /// When the log is so many bytes longer.
    Later(u64),
}
