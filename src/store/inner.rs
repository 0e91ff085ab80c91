//! What all clones of a handle share.

use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::checkpoint::{Checkpoints, Files};
use crate::commit::{Alarm, Committer, Gate, Passage};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Index;
use crate::io::{
    Directory, FileSystem, HeldLock, Lock, LockAttempt, Segments, Step, fork_count, notice_forks,
};
use crate::options::{Durability, Options};
use crate::ordered::Standing;
use crate::recovery::{Recovered, RecoveryReport, recover};

/// Locked by whoever has the directory open.
pub(crate) const LOCK_NAME: &str = "LOCK";

pub(super) struct Inner {
    pub(super) index: Arc<Index>,
    pub(super) segments: Arc<Segments>,
    /// Locked before the committer by whoever needs both.
    pub(super) standing: Mutex<Standing>,
    /// Bytes of memory that `standing` takes.
    pub(super) standing_bytes: AtomicUsize,
    pub(super) committer: Committer,
    pub(super) options: Options,
    pub(super) directory: Arc<Directory>,
    pub(super) checkpoints: Checkpoints,
    /// How many `Store`s there are: threads of its own keep this alive, too.
    pub(super) handles: AtomicUsize,
    /// This itself, for such a thread.
    itself: OnceLock<Weak<Inner>>,
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

    pub(super) fn open(
        file_system: &dyn FileSystem,
        path: &Path,
        options: &Options,
    ) -> Result<Arc<Inner>> {
        notice_forks();
        let forks = fork_count();
        let create = options.create && !options.read_only;
        let directory = Directory::open(file_system, path, create)?;
        let lock = wait_for_lock(&directory, options)?;
        let segments = Arc::new(Segments::new());
        let recovered = recover(&directory, options, &segments)?;
        let Recovered { mut writer, snapshot, sealed, report } = recovered;
        let checkpoints = Checkpoints::new(options.checkpoint_at, Files::new(snapshot, sealed));
        writer.alarm = Alarm::new(checkpoints.first_lengths(), checkpoints.level().clone());
        let inner = Arc::new(Inner {
            index: writer.index.index().clone(),
            segments,
            standing: Mutex::default(),
            standing_bytes: AtomicUsize::new(0),
            committer: Committer::new(writer, Gate::new(forks), options.transaction_timeout)
                .in_slices(options.transaction_slice),
            options: options.clone(),
            directory: Arc::new(directory),
            checkpoints,
            handles: AtomicUsize::new(1),
            itself: OnceLock::new(),
            report,
            lock: Mutex::new(Some(lock)),
        });
        let _set = inner.itself.set(Arc::downgrade(&inner)).is_ok();
        Ok(inner)
    }

    /// This itself, as an owner.
    pub(super) fn itself(&self) -> Option<Arc<Inner>> {
        self.itself.get()?.upgrade()
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
        self.gate().is_closed()
    }

    #[inline]
    pub(super) fn gate(&self) -> &Gate {
        self.committer.gate()
    }

    /// Fails when the store cannot be used. Waits for a batch that is being published.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        // One comparison for all of it.
        if self.gate().is_open() { Ok(()) } else { self.wait() }
    }

    /// What [`check`](Inner::check) does when the gate is not open.
    #[cold]
    pub(super) fn wait(&self) -> Result<()> {
        self.passed(self.gate().wait())
    }

    pub(super) fn passed(&self, passage: Passage) -> Result<()> {
        match passage {
            Passage::Open => Ok(()),
            Passage::Closed => Err(self.closed_error()),
            Passage::Forked => self.check_not_forked(),
        }
    }

    /// Fails in a forked child: before anything that takes a lock, which another thread of the
    /// parent may have held when the process forked.
    pub(super) fn check_not_forked(&self) -> Result<()> {
        if !self.gate().is_forked() {
            return Ok(());
        }
        let message = format!(
            "{} was opened by the parent of this forked process; open it again in the child, \
             after the parent has closed it",
            self.path().display()
        );
        Err(Error::new(ErrorKind::Forked, message).at(self.path(), None))
    }

    pub(super) fn closed_error(&self) -> Error {
        let message = format!("the store {} is closed; open it again", self.path().display());
        Error::new(ErrorKind::Closed, message).at(self.path(), None)
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.check()?;
        let (syncer, end) = match &self.committer.lock().log {
            Some(log) => (log.syncer().clone(), log.end()),
            None if self.is_read_only() => return Ok(()),
            None => return Err(self.closed_error()),
        };
        // Without the writer, so that other threads go on.
        syncer.sync(Step::Explicit)?;
        if let Some(log) = &mut self.committer.lock().log {
            log.note_synced(&syncer, end);
        }
        Ok(())
    }
}

/// Takes the directory's lock, waiting for as long as the options allow.
fn wait_for_lock(directory: &Directory, options: &Options) -> Result<Box<dyn HeldLock>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::io::simulated::{Fault, FaultPlan, Image, SimulatedDisk};
    use crate::store::Store;

    #[test]
    fn who_cannot_lock_a_read_only_file_system_is_told_what_to_do() {
        let open = |at| {
            let disk = SimulatedDisk::new(&Image::default());
            disk.plan(Some(FaultPlan { at, fault: Fault::Errno(libc::EROFS), sticky: false }));
            Store::open_on(&disk, Path::new("/data"), &Options::new()).err()
        };
        let errors = (0..20).filter_map(open);
        let told: Vec<_> = errors.filter(|error| error.to_string().contains("LOCK")).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].kind(), ErrorKind::Io);
        assert!(told[0].to_string().ends_with("; open it read-only"), "{}", told[0]);
    }
}
