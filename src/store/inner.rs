//! What all clones of a handle share.

use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::commit::{Change, Committer, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Index;
use crate::io::{
    Directory, Epoch, FileSystem, HeldLock, Lock, LockAttempt, RealFileSystem, Segments,
    fork_count, notice_forks,
};
use crate::options::{Durability, Options};
use crate::recovery::{Recovered, RecoveryReport, SnapshotInForce, recover};

/// Locked by whoever has the directory open.
const LOCK_NAME: &str = "LOCK";

/// No process has been forked that often.
const CLOSED: u64 = u64::MAX;

pub(super) struct Inner {
    /// The fork count of the process that opened the store, which is that of the process that
    /// uses it as long as both are the same; `CLOSED` once it is closed. Set before the index and
    /// the segments are emptied, so that a reader that finds nothing can tell why.
    usable_at: AtomicU64,
    /// The same, whether closed or not.
    forks: u64,
    pub(super) index: Arc<Index>,
    pub(super) segments: Arc<Segments>,
    pub(super) committer: Committer,
    pub(super) options: Options,
    pub(super) directory: Box<dyn Directory>,
    pub(super) snapshot: Option<SnapshotInForce>,
    report: RecoveryReport,
    pub(super) lock: Mutex<Option<Box<dyn HeldLock>>>,
}

/// What a forked child inherited and must not free, in a list, so that it does not count as a leak.
struct LeftBehind {
    #[expect(dead_code, reason = "held for ever")]
    inner: Arc<Inner>,
    #[expect(dead_code, reason = "keeps the rest of the list reachable")]
    next: *mut LeftBehind,
}

static LEFT_BEHIND: AtomicPtr<LeftBehind> = AtomicPtr::new(ptr::null_mut());

impl Inner {
    /// Keeps `inner` for as long as this process lives.
    pub(super) fn leave_behind(inner: Arc<Inner>) {
        // Relaxed: nobody follows these pointers. An entry that a race leaves out of the list is
        // kept all the same.
        let next = LEFT_BEHIND.load(Ordering::Relaxed);
        LEFT_BEHIND.store(Box::into_raw(Box::new(LeftBehind { inner, next })), Ordering::Relaxed);
    }

    pub(super) fn open(path: &Path, options: &Options) -> Result<Inner> {
        notice_forks();
        let forks = fork_count();
        let create = options.create && !options.read_only;
        let directory = RealFileSystem.open_directory(path, create)?;
        let lock = wait_for_lock(&*directory, options)?;
        let segments = Arc::new(Segments::new());
        let Recovered { writer, snapshot, report } = recover(&*directory, options, &segments)?;
        Ok(Inner {
            usable_at: AtomicU64::new(forks),
            forks,
            index: writer.index.index().clone(),
            segments,
            committer: Committer::new(writer),
            options: options.clone(),
            directory,
            snapshot,
            report,
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.options.read_only
    }

    pub(super) fn durability(&self) -> Durability {
        self.options.durability
    }

    pub(super) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with the Release in `mark_closed`; see `usable_at`.
        self.usable_at.load(Ordering::Acquire) == CLOSED
    }

    /// Makes every later operation fail with `Closed`.
    pub(super) fn mark_closed(&self) {
        self.usable_at.store(CLOSED, Ordering::Release);
    }

    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        // One comparison for both. Acquire as in `is_closed`.
        if self.usable_at.load(Ordering::Acquire) != fork_count() {
            return Err(self.unusable());
        }
        Ok(())
    }

    /// Fails in a forked child: before anything that takes a lock, which another thread of the
    /// parent may have held when the process forked.
    pub(super) fn check_not_forked(&self) -> Result<()> {
        if fork_count() == self.forks {
            return Ok(());
        }
        let message = format!(
            "{} was opened by the parent of this forked process; open it again in the child, \
             after the parent has closed it",
            self.path().display()
        );
        Err(Error::new(ErrorKind::Forked, message).at(self.path(), None))
    }

    #[cold]
    fn unusable(&self) -> Error {
        match self.check_not_forked() {
            Err(forked) => forked,
            Ok(()) => self.closed_error(),
        }
    }

    pub(super) fn closed_error(&self) -> Error {
        let message = format!("the store {} is closed; open it again", self.path().display());
        Error::new(ErrorKind::Closed, message).at(self.path(), None)
    }

    fn check_writable(&self) -> Result<()> {
        self.check()?;
        if self.is_read_only() {
            let path = self.path();
            let message = format!(
                "{} was opened read-only; open it without that option to write",
                path.display()
            );
            return Err(Error::new(ErrorKind::ReadOnly, message).at(path, None));
        }
        Ok(())
    }

    /// Commits one write. Returns whether the key existed before.
    pub(super) fn write(
        &self,
        change: Change,
        key: &[u8],
        value: &[u8],
        durability: Durability,
    ) -> Result<bool> {
        self.check_writable()?;
        // A key that is too long now may have been set under another limit: it can be deleted.
        if change == Change::Set {
            check_len("key", key.len(), self.options.max_key_len)?;
            check_len("value", value.len(), self.options.max_value_len)?;
        }
        let hash = self.index.hash(key);
        self.index.prefetch_line(hash, &Epoch.enter());
        let write = Write { change, key, value, hash };
        let outcome = match durability {
            Durability::Os => self.committer.commit(write),
            Durability::Sync => self.committer.commit_synced(write),
        };
        outcome.map_err(|error| match error.kind() {
            // Overtaken by a close; this one names the directory.
            ErrorKind::Closed => self.closed_error(),
            _ => error,
        })
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.check()?;
        let (syncer, end) = match &self.committer.lock().log {
            Some(log) => (log.syncer().clone(), log.end()),
            None if self.is_read_only() => return Ok(()),
            None => return Err(self.closed_error()),
        };
        // Without the writer, so that other threads go on.
        syncer.sync()?;
        if let Some(log) = &mut self.committer.lock().log {
            log.note_synced(end);
        }
        Ok(())
    }
}

fn check_len(what: &str, len: usize, limit: u64) -> Result<()> {
    if len as u64 <= limit {
        return Ok(());
    }
    let message = format!("the {what} has {len} bytes, more than the limit of {limit}");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Takes the directory's lock, waiting for as long as the options allow.
fn wait_for_lock(directory: &dyn Directory, options: &Options) -> Result<Box<dyn HeldLock>> {
    let lock = if options.read_only { Lock::Shared } else { Lock::Exclusive };
    // `None` when the timeout is beyond the clock's range: wait for ever.
    let deadline = Instant::now().checked_add(options.lock_timeout);
    let mut pause = Duration::from_millis(1);
    loop {
        let holder = match directory.try_lock(LOCK_NAME, lock)? {
            LockAttempt::Acquired(held) => return Ok(held),
            LockAttempt::HeldBy(holder) => holder,
        };
        let left = deadline.map_or(pause, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(Error::locked(directory.path(), holder));
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
