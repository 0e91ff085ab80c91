//! Counting operations and making some of them fail.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::io::Step;

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The system call fails with this `errno`.
    Errno(i32),
    /// A write stores half of its bytes; other calls do not mind.
    Short,
    /// The process dies: nothing happens, now and ever after.
    Death,
}

/// Which operation goes wrong, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultPlan {
    /// Counted from the next operation, which is number 0.
    pub(crate) at: u64,
    pub(crate) fault: Fault,
    /// Whether every later operation goes wrong as well.
    pub(crate) sticky: bool,
}

/// What a disk can do to copy a file without its bytes passing through the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cloning {
    /// Nothing.
    #[default]
    Unsupported,
    /// The kernel copies.
    Copies,
    /// Two files share blocks.
    Shares,
}

/// The operations of one disk.
#[derive(Default)]
pub(super) struct Operations {
    count: AtomicU64,
    plan: Mutex<Option<FaultPlan>>,
    fired: AtomicBool,
    /// The step that has no effect.
    skipped: Mutex<Option<Step>>,
    has_skipped: AtomicBool,
    cloning: Mutex<Cloning>,
}

/// How an operation is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    Normally,
    /// A write is to store half of its bytes.
    Short,
}

impl Operations {
    /// Counts an operation.
    ///
    /// # Errors
    /// What the plan says of it.
    pub(super) fn begin(&self) -> io::Result<Begun> {
        // Relaxed: tests drive a disk from one thread at a time.
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let plan = self.plan.lock();
        let Some(plan) = plan.filter(|plan| {
            number == plan.at || number > plan.at && (plan.sticky || plan.fault == Fault::Death)
        }) else {
            return Ok(Begun::Normally);
        };
        self.fired.store(true, Ordering::Relaxed);
        match plan.fault {
            Fault::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
            Fault::Short => Ok(Begun::Short),
            Fault::Death => Err(io::Error::other("the process is dead")),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Replaces the plan; its count begins now.
    pub(super) fn plan(&self, plan: Option<FaultPlan>) {
        let from = self.count();
        self.fired.store(false, Ordering::Relaxed);
        *self.plan.lock() = plan.map(|plan| FaultPlan { at: from + plan.at, ..plan });
    }

    /// Whether the process has died.
    pub(super) fn is_dead(&self) -> bool {
        self.fired() && self.plan.lock().is_some_and(|plan| plan.fault == Fault::Death)
    }

    /// Whether the plan has made an operation fail.
    pub(super) fn fired(&self) -> bool {
        self.fired.load(Ordering::Relaxed)
    }

    pub(super) fn set_cloning(&self, cloning: Cloning) {
        *self.cloning.lock() = cloning;
    }

    pub(super) fn cloning(&self) -> Cloning {
        *self.cloning.lock()
    }

    pub(super) fn skip(&self, step: Option<Step>) {
        *self.skipped.lock() = step;
        self.has_skipped.store(false, Ordering::Relaxed);
    }

    /// Whether that step has come since.
    pub(super) fn has_skipped(&self) -> bool {
        self.has_skipped.load(Ordering::Relaxed)
    }

    /// Whether `step` is to have no effect.
    pub(super) fn skips(&self, step: Step) -> bool {
        let skips = *self.skipped.lock() == Some(step);
        self.has_skipped.fetch_or(skips, Ordering::Relaxed);
        skips
    }
}
