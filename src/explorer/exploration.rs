//! What is to be explored, what has been, and by whom.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use foldhash::quality::FixedState;
use parking_lot::Mutex;

use crate::io::simulated::Random;

/// A broken promise: what happened, and where.
pub(super) type Outcome = Result<(), String>;

/// How far to look, and what has been found. Clones share the latter.
#[derive(Clone)]
pub(super) struct Exploration {
    pub(super) seed: u64,
    /// How many alternatives of undecided things are all tried; beyond, a sample is.
    pub(super) exhaustive: usize,
    /// How many are sampled.
    pub(super) samples: usize,
    explored: Arc<Explored>,
}

#[derive(Default)]
struct Explored {
    /// Fingerprints of the disk images that were recovered.
    states: Mutex<HashSet<u64>>,
    /// Fingerprints of the checks that were made: of the same image, with the same expected of it.
    checks: Mutex<HashSet<u64>>,
    recoveries: AtomicU64,
    faults: AtomicU64,
}

impl Exploration {
    pub(super) fn new(seed: u64, exhaustive: usize, samples: usize) -> Exploration {
        Exploration { seed, exhaustive, samples, explored: Arc::default() }
    }

    /// The same with samples of its own.
    pub(super) fn of_seed(&self, number: u64) -> Exploration {
        Exploration { seed: self.seed.wrapping_add(number), ..self.clone() }
    }

    /// Whether nobody has made this check yet: what it finds is the same each time.
    pub(super) fn is_new(&self, check: impl Hash) -> bool {
        /// Beyond that many the old ones are forgotten, and perhaps repeated.
        const REMEMBERED: usize = 8 << 20;
        let fingerprint = FixedState::with_seed(0).hash_one(check);
        let mut checks = self.explored.checks.lock();
        if checks.len() == REMEMBERED {
            checks.clear();
        }
        checks.insert(fingerprint)
    }

    pub(super) fn random(&self, salt: u64) -> Random {
        Random::new(self.seed ^ salt.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }

    /// Takes note of a disk image, by its fingerprint.
    pub(super) fn note_state(&self, fingerprint: u64) {
        self.explored.states.lock().insert(fingerprint);
    }

    // Relaxed, here and below: figures to print.
    pub(super) fn note_recovery(&self) {
        self.explored.recoveries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_fault(&self) {
        self.explored.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// How many different disk images there were.
    pub(super) fn states(&self) -> usize {
        self.explored.states.lock().len()
    }

    pub(super) fn recoveries(&self) -> u64 {
        self.explored.recoveries.load(Ordering::Relaxed)
    }

    pub(super) fn faults(&self) -> u64 {
        self.explored.faults.load(Ordering::Relaxed)
    }
}

/// How many distinct states are explored: what `KVSTORE_CRASH_STATES` says, or a few thousand.
pub(super) fn wanted_states() -> usize {
    let wanted = std::env::var("KVSTORE_CRASH_STATES").ok();
    wanted.map_or(5_000, |count| count.parse().expect("KVSTORE_CRASH_STATES is a number"))
}

pub(super) fn seed() -> u64 {
    let seed = std::env::var("KVSTORE_CRASH_SEED").ok();
    seed.map_or(1, |seed| seed.parse().expect("KVSTORE_CRASH_SEED is a number"))
}

/// Explores, and takes a panic for a failure.
pub(super) fn attempt(explore: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(explore)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// Calls `explore` with each of `jobs` in turn, on as many threads as there are processors, until one
/// fails.
pub(super) fn for_each<J>(
    jobs: impl Iterator<Item = J> + Send,
    explore: impl Fn(&J) -> Outcome + Sync,
) -> Outcome {
    let (jobs, failed) = (Mutex::new(jobs), AtomicBool::new(false));
    let work = || -> Outcome {
        while !failed.load(Ordering::Relaxed) {
            let next = jobs.lock().next();
            let Some(job) = next else { break };
            let outcome = attempt(|| explore(&job));
            if outcome.is_err() {
                failed.store(true, Ordering::Relaxed);
                return outcome;
            }
        }
        Ok(())
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })
}
