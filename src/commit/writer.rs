//! The state that changes with every write, behind one lock.

use super::{Change, Clock, Staged, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::io::Location;
use crate::record::{Operation, Run};
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
}

/// What became of a write: whether the key existed before.
pub(super) type Outcome = Result<bool>;

/// A write that is in the log and not yet published.
struct Appended<'a> {
    position: usize,
    write: Write<'a>,
    location: Location,
}

impl Writer {
    /// The log, unless the store is closed or poisoned.
    fn usable_log(&mut self) -> Result<&mut Log> {
        let Some(log) = &mut self.log else {
            return Err(Error::new(ErrorKind::Closed, "the store is closed; open it again"));
        };
        log.syncer().check()?;
        Ok(log)
    }

    /// Commits one write.
    pub(super) fn commit(&mut self, write: Write<'_>, sync: bool) -> Outcome {
        self.usable_log()?;
        self.index.reserve(write.hash)?;
        let location = self.append(write, Clock::now(), || false)?;
        if sync {
            self.sync()?;
        }
        let Some(location) = location else { return Ok(false) };
        self.count_group(1);
        Ok(self.publish(write, location))
    }

    /// Commits staged writes in their order, with one sync. Each has its own outcome.
    pub(super) fn commit_group(&mut self, staged: &Staged) -> Vec<Outcome> {
        let prepared = self.usable_log().map(|_| ());
        let hashes = || staged.iter().map(|write| write.hash);
        if let Err(error) = prepared.and_then(|()| self.index.reserve_all(hashes())) {
            return share(&error, error.kind(), staged.writes.len());
        }
        let mut outcomes = Vec::with_capacity(staged.writes.len());
        let mut appended = Vec::with_capacity(staged.writes.len());
        let now = Clock::now();
        for (position, write) in staged.iter().enumerate() {
            let earlier = || hashes().take(position).any(|hash| hash == write.hash);
            outcomes.push(match self.append(write, now, earlier) {
                Ok(Some(location)) => {
                    appended.push(Appended { position, write, location });
                    Ok(false)
                }
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            });
        }
        if let Err(error) = self.sync() {
            return share(&error, ErrorKind::Indeterminate, staged.writes.len());
        }
        if !appended.is_empty() {
            self.count_group(appended.len() as u64);
        }
        for Appended { position, write, location } in appended {
            outcomes[position] = Ok(self.publish(write, location));
        }
        outcomes
    }

    /// Appends `write` to the log, unless it deletes a key that is not there. `earlier` tells
    /// whether an unpublished write of the same group may concern the same key.
    fn append(
        &mut self,
        write: Write<'_>,
        now: i64,
        earlier: impl FnOnce() -> bool,
    ) -> Result<Option<Location>> {
        let operation = match write.change {
            Change::Set => Operation::Set,
            Change::Delete if self.index.contains(write.hash, write.key) || earlier() => {
                Operation::Delete
            }
            Change::Delete => return Ok(None),
        };
        let timestamp = self.clock.tick(now);
        let run = Run { key: write.key, value: write.value };
        self.usable_log()?.append(operation, timestamp, run).map(Some)
    }

    fn publish(&mut self, write: Write<'_>, location: Location) -> bool {
        match write.change {
            Change::Set => self.index.set(write.hash, write.key, location),
            Change::Delete => self.index.delete(write.hash, write.key, location),
        }
    }

    /// Makes the log durable, also for a delete that wrote nothing: that the key is absent may
    /// be due to a write that is not durable yet. An error means that nobody can tell what is on
    /// the disk, whoever found the sync to fail.
    fn sync(&mut self) -> Result<()> {
        match &mut self.log {
            Some(log) if !log.is_synced() => log.sync().map_err(|error| indeterminate(&error)),
            _ => Ok(()),
        }
    }

    fn count_group(&mut self, writes: u64) {
        self.groups += 1;
        self.writes += writes;
    }
}

/// The error of a write whose sync failed.
fn indeterminate(error: &Error) -> Error {
    let lead = "the write may or may not survive; read it back after opening the store again";
    error.share(ErrorKind::Indeterminate, lead)
}

/// `error` for each of `count` writes.
pub(super) fn share(error: &Error, kind: ErrorKind, count: usize) -> Vec<Outcome> {
    (0..count).map(|_| Err(error.share(kind, "the group of writes failed"))).collect()
}
