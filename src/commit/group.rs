//! Group commit: concurrent synced writes share one sync.
//!
//! The first writer to find no leader leads: it commits its own write while the others stage
//! theirs in the *gathering* group. When its sync is done it hands the lead to the first of
//! those, which commits the whole group, and so on. Nobody waits for a group to fill: a group is
//! what came while the one before it was being synced.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::request::{Request, Staged};
use super::token::Token;
use super::writer::{Outcome, share_among};
use super::{Answer, Gate, Write, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::AtomicU8;
use crate::sync::thread::{self, Thread};
use crate::sync::{Mutex, MutexGuard};

/// A request with more bytes than this is not copied to be staged; it takes its turn alone.
const STAGING_LIMIT: usize = 1 << 20;

/// How often a leader lets others go first before it syncs.
const MOST_YIELDS: usize = 8;

/// The way in for every write.
pub(crate) struct Committer {
    /// What readers pass.
    gate: Gate,
    token: Token,
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
    /// For a store whose readers pass `gate`, and whose writers wait for a transaction of another
    /// thread for as long as `patience`.
    pub(crate) fn new(writer: Writer, gate: Gate, patience: Duration) -> Committer {
        let token = Token::new(patience);
        Committer { gate, token, writer: Mutex::new(writer), queue: Mutex::default() }
    }

    /// As it is, but writers wait for no longer than `slice` at a time.
    pub(crate) fn in_slices(self, slice: Duration) -> Committer {
        Committer { token: self.token.in_slices(slice), ..self }
    }

    #[inline]
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The writer, once no write is under way.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock()
    }

    /// The writer, once no write is under way and no transaction is open.
    ///
    /// # Errors
    /// `InvalidArgument` on the thread that has one open; `Locked` when it takes too long.
    #[inline]
    pub(crate) fn lock_idle(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        if self.token.is_free() { Ok(writer) } else { self.token.wait(writer) }
    }

    /// The writer, unless a transaction is open.
    pub(crate) fn lock_if_idle(&self) -> Option<MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        self.token.is_free().then_some(writer)
    }

    /// Commits one write without syncing it. Returns whether the key was there before.
    #[inline]
    pub(crate) fn commit(&self, write: Write<'_>) -> Result<bool> {
        Turn::take(self)?.commit(write)
    }

    /// Commits a request without syncing it.
    pub(crate) fn commit_request(&self, request: Request<'_>) -> Outcome {
        Turn::take(self)?.commit_request(request, false)
    }

    /// Commits a request and syncs it, together with others that come at the same time.
    pub(crate) fn commit_synced(&self, request: Request<'_>) -> Outcome {
        if !self.token.is_free() {
            // Outside the queue, so that each waits for as long as it may.
            drop(self.lock_idle()?);
        }
        if request.size() > STAGING_LIMIT {
            return Turn::take(self)?.commit_request(request, true);
        }
        let mut queue = self.queue.lock();
        if !queue.led {
            queue.led = true;
            drop(queue);
            let lead = Lead { committer: self, gathered: None };
            let outcome = Turn::take(self).and_then(|turn| turn.commit_request(request, true));
            lead.hand_on(outcome.as_ref().err());
            return outcome;
        }
        let gathering = &mut queue.gathering;
        if !gathering.staged.push(request) {
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
        let mut lead = Lead { committer: self, gathered: None };
        self.let_others_join();
        // Before the group is taken, so that it gathers while another write holds the lock.
        let turn = Turn::take(self);
        let gathered = lead.gathered.insert(mem::take(&mut self.queue.lock().gathering));
        let outcomes = match turn {
            Ok(turn) => turn.commit_group(&gathered.staged),
            Err(error) => share_among(&error, error.kind(), gathered.members.len()),
        };
        let failure = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        let failure = failure.map(|error| error.share(error.kind(), "the group before failed"));
        if let Some(gathered) = lead.gathered.take() {
            gathered.finish(outcomes);
        }
        lead.hand_on(failure.as_ref());
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

    /// Begins a transaction of this thread: until it is ended, nobody else writes.
    ///
    /// # Errors
    /// Those of [`lock_idle`](Committer::lock_idle); `Closed`; `Poisoned`.
    pub(crate) fn begin_transaction(&self) -> Result<()> {
        let mut writer = self.lock_idle()?;
        writer.usable_log()?;
        self.token.take();
        Ok(())
    }

    /// Commits what the open transaction has written, and ends it.
    pub(crate) fn commit_transaction(&self, request: Request<'_>, sync: bool) -> Outcome {
        let mut turn = Turn { committer: self, writer: self.writer.lock(), done: false };
        let outcome = turn.commit_one(request, sync);
        self.token.release();
        outcome
    }

    /// Ends the open transaction without a write.
    pub(crate) fn end_transaction(&self) {
        let _writer = self.writer.lock();
        self.token.release();
    }

    /// Commits `requests` as one group.
    #[cfg(test)]
    pub(crate) fn commit_together<'a>(
        &self,
        requests: impl Iterator<Item = Request<'a>>,
    ) -> Vec<Outcome> {
        let mut staged = Staged::default();
        requests.for_each(|request| assert!(staged.push(request)));
        self.writer.lock().commit_group(&self.gate, staged.iter(), true)
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
                gathered.finish(share_among(error, ErrorKind::Indeterminate, count));
            }
        }
    }
}

/// The lock of the writer, for one commit. A commit that panics has left the log in a state that
/// nobody knows, perhaps with a hole, behind which recovery would find nothing: no other write
/// may follow it.
struct Turn<'a> {
    committer: &'a Committer,
    writer: MutexGuard<'a, Writer>,
    done: bool,
}

impl Turn<'_> {
    /// Waits for it, and for an open transaction to end; errors are those of
    /// [`Committer::lock_idle`].
    #[inline]
    fn take(committer: &Committer) -> Result<Turn<'_>> {
        Ok(Turn { committer, writer: committer.lock_idle()?, done: false })
    }

    #[inline]
    fn commit(mut self, write: Write<'_>) -> Result<bool> {
        let outcome = self.writer.commit(write, false);
        self.done = true;
        outcome
    }

    fn commit_request(mut self, request: Request<'_>, sync: bool) -> Outcome {
        self.commit_one(request, sync)
    }

    fn commit_one(&mut self, request: Request<'_>, sync: bool) -> Outcome {
        let outcome = match request {
            Request::Write(write) => self.writer.commit(write, sync).map(Answer::Existed),
            request => {
                let requests = std::iter::once(request);
                let outcomes = self.writer.commit_group(&self.committer.gate, requests, sync);
                outcomes.into_iter().next().unwrap_or(Ok(Answer::Done))
            }
        };
        self.done = true;
        outcome
    }

    fn commit_group(mut self, staged: &Staged) -> Vec<Outcome> {
        let outcomes = self.writer.commit_group(&self.committer.gate, staged.iter(), true);
        self.done = true;
        outcomes
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.done
            && let Some(log) = &self.writer.log
        {
            log.syncer().poison("an earlier write panicked");
        }
    }
}

/// The duty of whoever leads: to hand the lead on. If the leader panics instead, those who wait
/// are told.
struct Lead<'a> {
    committer: &'a Committer,
    /// The group that the leader has taken and not finished.
    gathered: Option<Gathering>,
}

impl Lead<'_> {
    fn hand_on(self, failure: Option<&Error>) {
        let committer = self.committer;
        mem::forget(self);
        committer.hand_on(failure);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let message =
            "the thread that was to commit the write panicked; the write may or may not survive";
        let error = Error::new(ErrorKind::Indeterminate, message);
        if let Some(gathered) = self.gathered.take() {
            let count = gathered.members.len();
            gathered.finish(share_among(&error, ErrorKind::Indeterminate, count));
        }
        self.committer.hand_on(Some(&error));
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
