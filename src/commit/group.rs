//! Group commit: concurrent synced writes share one sync.
//!
//! The first writer to find no leader leads: it commits its own write while the others stage
//! theirs in the *gathering* group. When its sync is done it hands the lead to the first of
//! those, which commits the whole group, and so on. Nobody waits for a group to fill: a group is
//! what came while the one before it was being synced.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, Thread};

use parking_lot::{Mutex, MutexGuard};

use super::writer::{Outcome, share};
use super::{Staged, Write, Writer};
use crate::error::{Error, ErrorKind};

/// A write with more bytes than this is not copied to be staged; it takes its turn alone.
const STAGING_LIMIT: usize = 1 << 20;

/// How often a leader lets others go first before it syncs.
const MOST_YIELDS: usize = 8;

/// The way in for every write.
pub(crate) struct Committer {
    writer: Mutex<Writer>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Whether somebody leads. Whoever sets it must see the lead handed on or given up.
    led: bool,
    gathering: Gathering,
}

/// The group that will be committed next.
#[derive(Default)]
struct Gathering {
    staged: Staged,
    /// The threads that wait, one for each staged write.
    members: Vec<Thread>,
    group: Arc<Group>,
}

/// What the members of a group wait for.
#[derive(Default)]
struct Group {
    /// One of the constants below. Stored with Release and loaded with Acquire: who sees
    /// `FINISHED` sees the outcomes.
    progress: AtomicU8,
    /// One for each member once the group is finished; each takes its own.
    outcomes: Mutex<Vec<Option<Outcome>>>,
}

/// The first member is to lead.
const LEAD: u8 = 1;
/// The outcomes are there.
const FINISHED: u8 = 2;

impl Committer {
    pub(crate) fn new(writer: Writer) -> Committer {
        Committer { writer: Mutex::new(writer), queue: Mutex::default() }
    }

    /// The writer, once no write is under way.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// Commits a write without syncing it.
    #[inline]
    pub(crate) fn commit(&self, write: Write<'_>) -> Outcome {
        self.writer.lock().commit(write, false)
    }

    /// Commits a write and syncs it, together with others that come at the same time.
    pub(crate) fn commit_synced(&self, write: Write<'_>) -> Outcome {
        if write.key.len() + write.value.len() > STAGING_LIMIT {
            return self.writer.lock().commit(write, true);
        }
        let mut queue = self.queue.lock();
        if !queue.led {
            queue.led = true;
            drop(queue);
            let outcome = self.writer.lock().commit(write, true);
            self.hand_on(outcome.as_ref().err());
            return outcome;
        }
        let gathering = &mut queue.gathering;
        if !gathering.staged.push(write) {
            let message = "no memory to queue the write; nothing of it was written";
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        let position = gathering.members.len();
        gathering.members.push(thread::current());
        let group = gathering.group.clone();
        drop(queue);
        if group.wait() == LEAD && position == 0 {
            self.lead_gathered();
        }
        group.outcome(position)
    }

    /// Commits the gathering group, whose first member this thread is.
    fn lead_gathered(&self) {
        self.let_others_join();
        // Before the group is taken, so that it gathers while another write holds the lock.
        let mut writer = self.writer.lock();
        let gathered = mem::take(&mut self.queue.lock().gathering);
        let outcomes = writer.commit_group(&gathered.staged);
        drop(writer);
        let failure = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        let failure = failure.map(|error| error.share(error.kind(), "the group before failed"));
        gathered.finish(outcomes);
        self.hand_on(failure.as_ref());
    }

    /// Lets threads that are about to write do so, as long as more come each time: the members
    /// of the last group have just been woken, and would otherwise take turns with this one in
    /// two groups of half the size. Gives up the processor, not time.
    fn let_others_join(&self) {
        let staged = || self.queue.lock().gathering.members.len();
        let mut before = staged();
        for _ in 0..MOST_YIELDS {
            thread::yield_now();
            let now = staged();
            if now == before {
                break;
            }
            before = now;
        }
    }

    /// How many writes wait to be committed together.
    #[cfg(test)]
    pub(super) fn staged(&self) -> usize {
        self.queue.lock().gathering.members.len()
    }

    /// Hands the lead to the next group, if there is one. After a failed sync there is nothing
    /// to lead: those who wait are told.
    fn hand_on(&self, failure: Option<&Error>) {
        let mut queue = self.queue.lock();
        let Some(first) = queue.gathering.members.first() else {
            queue.led = false;
            return;
        };
        match failure.filter(|error| error.kind() == ErrorKind::Indeterminate) {
            None => {
                let first = first.clone();
                queue.gathering.group.progress.store(LEAD, Ordering::Release);
                drop(queue);
                first.unpark();
            }
            Some(error) => {
                queue.led = false;
                let gathered = mem::take(&mut queue.gathering);
                drop(queue);
                let count = gathered.members.len();
                gathered.finish(share(error, ErrorKind::Indeterminate, count));
            }
        }
    }
}

impl Gathering {
    /// Gives every member its outcome. Each is woken by itself: waking them through a shared
    /// condition would have them pass its lock from one to the next.
    fn finish(self, outcomes: Vec<Outcome>) {
        *self.group.outcomes.lock() = outcomes.into_iter().map(Some).collect();
        self.group.progress.store(FINISHED, Ordering::Release);
        for member in self.members {
            member.unpark();
        }
    }
}

impl Group {
    /// Waits until the group is to be led or is finished.
    fn wait(&self) -> u8 {
        loop {
            match self.progress.load(Ordering::Acquire) {
                0 => thread::park(),
                progress => return progress,
            }
        }
    }

    /// Waits for the outcome of the member at `position`, and takes it.
    fn outcome(&self, position: usize) -> Outcome {
        while self.progress.load(Ordering::Acquire) != FINISHED {
            thread::park();
        }
        let outcome = self.outcomes.lock().get_mut(position).and_then(Option::take);
        outcome.unwrap_or_else(|| {
            // A leader gives every member an outcome, and each takes its own once.
            Err(Error::new(ErrorKind::Indeterminate, "the outcome of the write was lost"))
        })
    }
}
