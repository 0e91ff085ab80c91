//! The state that changes with every write, behind one lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::pending::{Appended, Part, PartKind, Pending};
use super::request::{Answer, CompareAndSet, Increment, Request};
use super::{Change, Clock, Gate, Write, batch};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{IndexWriter, KeyHash};
use crate::io::{Location, Step};
use crate::record::Run;
use crate::wal::Log;

/// The log, the writer's side of the index, and the clock.
pub(crate) struct Writer {
    /// `None` once the store is closed, and in one that was opened read-only.
    pub(crate) log: Option<Log>,
    pub(crate) index: IndexWriter,
    pub(crate) clock: Clock,
    /// Writes committed, and the groups they were committed in.
    pub(crate) writes: u64,
    pub(crate) groups: u64,
    pub(crate) alarm: Alarm,
}

/// Says when the log has reached a length at which something is to be done about it.
pub(crate) struct Alarm {
    /// The lengths, in bytes, for each level from 1 on.
    at: [u64; Alarm::LEVELS],
    /// The next of them.
    next: u64,
    level: Arc<AtomicU8>,
}

impl Alarm {
    pub(crate) const LEVELS: usize = 2;

    /// Stores to `level` the highest level whose length, of those in `at`, the log has reached.
    pub(crate) fn new(at: [u64; Alarm::LEVELS], level: Arc<AtomicU8>) -> Alarm {
        let mut alarm = Alarm { at, next: 0, level };
        alarm.set(at);
        alarm
    }

    /// Never does.
    pub(crate) fn never() -> Alarm {
        Alarm::new([u64::MAX; Alarm::LEVELS], Arc::default())
    }

    /// From now on for these lengths, none of which is reached yet as far as anybody is told.
    pub(crate) fn set(&mut self, at: [u64; Alarm::LEVELS]) {
        (self.at, self.next) = (at, at.into_iter().min().unwrap_or(u64::MAX));
        self.level.store(0, Ordering::Relaxed);
    }

    /// The log is `len` bytes long, which is at least `next`.
    #[cold]
    fn ring(&mut self, len: u64) {
        let reached = self.at.iter().rposition(|&at| at <= len).map_or(0, |level| level + 1);
        // Each length once; whoever hears it sets them again.
        self.next = self.at.into_iter().filter(|&at| at > len).min().unwrap_or(u64::MAX);
        // Relaxed: whoever hears it takes the writer's lock to look.
        self.level.store(reached as u8, Ordering::Relaxed);
    }
}

/// What became of a request.
pub(super) type Outcome = Result<Answer>;

/// Keys of a batch whose cache misses overlap while it is published.
const PREFETCHED: usize = 32;

impl Writer {
    /// The log, unless the store is closed or poisoned.
    pub(super) fn usable_log(&mut self) -> Result<&mut Log> {
        let Some(log) = &mut self.log else {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; open it again"));
        };
        log.syncer().check()?;
        Ok(log)
    }

    /// Commits one write. Returns whether the key was there before.
    pub(super) fn commit(&mut self, write: Write<'_>, sync: bool) -> Result<bool> {
        self.usable_log()?;
        self.index.reserve(write.hash)?;
        let nothing = write.change == Change::Delete && !self.contains(write);
        let location = if nothing { None } else { Some(self.append_entry(write, Clock::now())?) };
        if sync {
            self.sync()?;
        }
        let Some(location) = location else { return Ok(false) };
        self.count_group(1);
        Ok(self.publish(write.change, write.hash, write.key, location))
    }

    fn contains(&self, write: Write<'_>) -> bool {
        self.index.contains(write.hash, write.key)
    }

    /// Commits requests in their order, with at most one sync. Each has its own outcome. The gate is
    /// that of the readers.
    pub(super) fn commit_group<'a>(
        &mut self,
        gate: &Gate,
        requests: impl Iterator<Item = Request<'a>> + Clone,
        sync: bool,
    ) -> Vec<Outcome> {
        let count = requests.clone().count();
        let mut pending = match self.prepare(requests.clone(), count) {
            Ok(pending) => pending,
            Err(error) => return share(error, None, count),
        };
        let mut outcomes = Vec::with_capacity(count);
        let now = Clock::now();
        for (position, request) in requests.enumerate() {
            outcomes.push(self.append(position, request, now, &mut pending));
        }
        if sync && let Err(error) = self.sync() {
            return share(error, Some(ErrorKind::Indeterminate), count);
        }
        if !pending.parts.is_empty() {
            self.count_group(pending.appended().len() as u64);
        }
        self.publish_all(gate, &pending, &mut outcomes);
        outcomes
    }

    /// Makes sure that nothing but the log can refuse the requests.
    fn prepare<'a>(
        &mut self,
        requests: impl Iterator<Item = Request<'a>>,
        count: usize,
    ) -> Result<Pending<'a>> {
        self.usable_log()?;
        self.index.reserve_all(requests.flat_map(Request::hashes))?;
        Pending::with_room(count)
    }

    /// Appends what `request` comes to, given all that is before it in the log. The answer of a set
    /// or a delete is known only when it is published.
    fn append<'a>(
        &mut self,
        position: usize,
        request: Request<'a>,
        now: i64,
        pending: &mut Pending<'a>,
    ) -> Outcome {
        match request {
            Request::Write(write) => {
                self.append_write(position, write.key, write, PartKind::Write, now, pending)?;
                Ok(Answer::Existed(false))
            }
            Request::Batch(operations) => {
                self.usable_log()?;
                let Writer { log, index, clock, .. } = self;
                let Some(log) = log else { return Ok(Answer::Done) };
                let count = batch::append(operations, log, index, clock, pending)?;
                if count > 0 {
                    pending.parts.push(Part { request: position, count, kind: PartKind::Batch });
                }
                Ok(Answer::Done)
            }
            Request::CompareAndSet(CompareAndSet { hash, key, expected, new }) => {
                let matches = pending.with_value(&self.index, hash, key, |value| value == expected);
                if matches {
                    let change = if new.is_some() { Change::Set } else { Change::Delete };
                    let write = Write { change, key, value: new.unwrap_or_default(), hash };
                    self.append_write(position, key, write, PartKind::Answered, now, pending)?;
                }
                Ok(Answer::Matched(matches))
            }
            Request::Increment(Increment { hash, key, delta }) => {
                let sum = pending
                    .with_value(&self.index, hash, key, |value| add(key.len(), value, delta))?;
                let write = Write { change: Change::Set, key, value: &sum.to_be_bytes(), hash };
                self.append_write(position, key, write, PartKind::Answered, now, pending)?;
                Ok(Answer::Sum(sum))
            }
        }
    }

    /// Appends one write of `key`, unless it deletes a key that is not there.
    fn append_write<'a>(
        &mut self,
        request: usize,
        key: &'a [u8],
        write: Write<'_>,
        kind: PartKind,
        now: i64,
        pending: &mut Pending<'a>,
    ) -> Result<()> {
        if write.change == Change::Delete && !pending.contains(&self.index, write.hash, key) {
            return Ok(());
        }
        pending.reserve(1)?;
        let location = self.append_entry(write, now)?;
        pending.push(Appended {
            change: write.change,
            hash: write.hash,
            key,
            location,
            superseded: false,
        });
        pending.parts.push(Part { request, count: 1, kind });
        Ok(())
    }

    fn append_entry(&mut self, write: Write<'_>, now: i64) -> Result<Location> {
        let timestamp = self.clock.tick(now);
        let run = Run { key: write.key, value: write.value };
        self.usable_log()?.append(write.change.operation(), timestamp, run)
    }

    /// Publishes what was appended, in the order of the log.
    fn publish_all(&mut self, gate: &Gate, pending: &Pending<'_>, outcomes: &mut [Outcome]) {
        let mut rest = pending.appended();
        for part in &pending.parts {
            let (writes, after) = rest.split_at(part.count);
            rest = after;
            match (part.kind, writes) {
                (PartKind::Batch, writes) => self.publish_batch(gate, writes),
                (kind, [write]) => {
                    let Appended { change, hash, key, location, .. } = *write;
                    let existed = self.publish(change, hash, key, location);
                    if kind == PartKind::Write {
                        outcomes[part.request] = Ok(Answer::Existed(existed));
                    }
                }
                _ => debug_assert!(false, "only a batch has several writes"),
            }
        }
    }

    fn publish(&mut self, change: Change, hash: KeyHash, key: &[u8], location: Location) -> bool {
        match change {
            Change::Set => self.index.set(hash, key, location),
            Change::Delete => self.index.delete(hash, key, location),
        }
    }

    /// Publishes the writes of a batch, so that readers see all of them or none.
    fn publish_batch(&mut self, gate: &Gate, writes: &[Appended<'_>]) {
        let _publishing = gate.publish();
        for group in writes.chunks(PREFETCHED) {
            for write in group {
                self.index.prefetch_line(write.hash);
            }
            for write in group {
                self.index.prefetch_record(write.hash);
            }
            for &Appended { change, hash, key, location, superseded } in group {
                match change {
                    _ if superseded => {}
                    Change::Set => drop(self.index.set_uncounted(hash, key, location)),
                    Change::Delete => drop(self.index.delete_uncounted(hash, key, location)),
                }
            }
        }
        self.index.store_len();
    }

    /// Makes the log durable, also for a request that wrote nothing: what it found may be due to a
    /// write that is not durable yet. An error means that nobody can tell what is on
    /// the disk, whoever found the sync to fail.
    fn sync(&mut self) -> Result<()> {
        match &mut self.log {
            Some(log) if !log.is_synced() => {
                log.sync(Step::Group).map_err(|error| indeterminate(&error))
            }
            _ => Ok(()),
        }
    }

    fn count_group(&mut self, writes: u64) {
        self.groups += 1;
        self.writes += writes;
        let len = self.log.as_ref().map_or(0, |log| log.end());
        if len >= self.alarm.next {
            self.alarm.ring(len);
        }
    }
}

/// The sum of `delta` and the number in `value`, the value of a key of `key_len` bytes.
pub(crate) fn add(key_len: usize, value: Option<&[u8]>, delta: i64) -> Result<i64> {
    let number = match value {
        None => 0,
        Some(value) => match <[u8; 8]>::try_from(value) {
            Ok(bytes) => i64::from_be_bytes(bytes),
            Err(_) => {
                let message = format!(
                    "the key of {key_len} bytes has a value of {} bytes, and a number has 8; \
                     nothing was written",
                    value.len()
                );
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        },
    };
    number.checked_add(delta).ok_or_else(|| {
        let message = format!(
            "the key of {key_len} bytes has the number {number}, and adding {delta} leaves the \
             range of 64 bits; nothing was written"
        );
        Error::new(ErrorKind::InvalidArgument, message)
    })
}

/// The error of a write whose sync failed.
fn indeterminate(error: &Error) -> Error {
    let lead = "the write may or may not survive; read it back after opening the store again";
    error.share(ErrorKind::Indeterminate, lead)
}

/// `error`, as `kind` if that is another, for each of `count` requests.
fn share(error: Error, kind: Option<ErrorKind>, count: usize) -> Vec<Outcome> {
    let kind = kind.unwrap_or(error.kind());
    if count == 1 && error.kind() == kind {
        return vec![Err(error)];
    }
    share_among(&error, kind, count)
}

/// `error` for each of `count` requests of a group.
pub(super) fn share_among(error: &Error, kind: ErrorKind, count: usize) -> Vec<Outcome> {
    (0..count).map(|_| Err(error.share(kind, "the group of writes failed"))).collect()
}
