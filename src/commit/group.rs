//! Group commit: concurrent synced writes share one sync.
//!
//! The first writer to find no leader leads: it commits its own write while the others stage
//! theirs in the *gathering* group. When its sync is done it hands the lead to the first of
//! those, which commits the whole group, and so on. Nobody waits for a group to fill: a group is
//! what came while the one before it was being synced.

use std::mem;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::writer::{Outcome, share};
use super::{Staged, Write, Writer};
use crate::error::{Error, ErrorKind};

/// A write with more bytes than this is not copied to be staged; it takes its turn alone.
const STAGING_LIMIT: usize = 1 << 20;

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
    group: Arc<Group>,
}

/// Where the members of a group wait.
#[derive(Default)]
struct Group {
    progress: Mutex<Progress>,
    /// Wakes the first member, to lead.
    lead: Condvar,
    /// Wakes the others, to take their outcomes.
    done: Condvar,
}

#[derive(Default)]
struct Progress {
    lead: bool,
    /// One for each member once the group is committed; each takes its own.
    outcomes: Option<Vec<Option<Outcome>>>,
}

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
        let position = queue.gathering.staged.writes.len();
        if !queue.gathering.staged.push(write) {
            let message = "no memory to queue the write; nothing of it was written";
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        let group = queue.gathering.group.clone();
        drop(queue);
        if position == 0 { self.lead_when_told(&group) } else { group.outcome(position) }
    }

    /// Waits to become leader, then commits the gathering group, whose first member this is.
    fn lead_when_told(&self, group: &Group) -> Outcome {
        {
            let mut progress = group.progress.lock();
            while !progress.lead && progress.outcomes.is_none() {
                group.lead.wait(&mut progress);
            }
        }
        if let Some(outcome) = group.take(0) {
            return outcome;
        }
        // Before the group is taken, so that it gathers while another write holds the lock.
        let mut writer = self.writer.lock();
        let Gathering { staged, .. } = mem::take(&mut self.queue.lock().gathering);
        let outcomes = writer.commit_group(&staged);
        drop(writer);
        let failure = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        self.hand_on(failure);
        group.finish(outcomes);
        group.outcome(0)
    }

    /// How many writes wait to be committed together.
    #[cfg(test)]
    pub(super) fn staged(&self) -> usize {
        self.queue.lock().gathering.staged.writes.len()
    }

    /// Hands the lead to the next group, if there is one. After a failed sync there is nothing
    /// to lead: those who wait are told.
    fn hand_on(&self, failure: Option<&Error>) {
        let mut queue = self.queue.lock();
        if queue.gathering.staged.writes.is_empty() {
            queue.led = false;
            return;
        }
        match failure.filter(|error| error.kind() == ErrorKind::Indeterminate) {
            None => {
                queue.gathering.group.progress.lock().lead = true;
                queue.gathering.group.lead.notify_one();
            }
            Some(error) => {
                queue.led = false;
                let Gathering { staged, group } = mem::take(&mut queue.gathering);
                drop(queue);
                group.finish(share(error, ErrorKind::Indeterminate, staged.writes.len()));
            }
        }
    }
}

impl Group {
    fn finish(&self, outcomes: Vec<Outcome>) {
        self.progress.lock().outcomes = Some(outcomes.into_iter().map(Some).collect());
        self.lead.notify_one();
        self.done.notify_all();
    }

    /// Waits for the outcome of the member at `position`.
    fn outcome(&self, position: usize) -> Outcome {
        let mut progress = self.progress.lock();
        while progress.outcomes.is_none() {
            self.done.wait(&mut progress);
        }
        drop(progress);
        self.take(position).unwrap_or_else(|| {
            // A leader always gives every member an outcome, and each takes its own once.
            Err(Error::new(ErrorKind::Indeterminate, "the outcome of the write was lost"))
        })
    }

    fn take(&self, position: usize) -> Option<Outcome> {
        self.progress.lock().outcomes.as_mut()?.get_mut(position)?.take()
    }
}
