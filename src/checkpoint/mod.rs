//! Turning logs into a snapshot while readers and writers go on.
//!
//! ```text
//! seal      another log takes the place of wal.log, which goes on under its sealed name;
//!           the records in order, as of that instant
//! copy      snapshot.dat.tmp from those records, synced and put in force
//! relocate  slots of the index that point at what was copied now point at the copy;
//!           the old files are retired
//! remove    the sealed logs
//! unmap     the old files, once nobody reads them any more; large ones after the call returns
//! ```
//! A writer waits for the sealing, which is a rename and a few pointers, and for a few hundred slots
//! at a time. A reader waits for nothing. Whatever fails, the sealed logs stay until a later
//! checkpoint or close has them in a snapshot; so does a crash at any point.

mod background;
mod copy;
mod relocate;
mod seal;
mod unmap;

pub(crate) use background::{Checkpoints, Due};
pub(crate) use copy::write_at_rest;

use parking_lot::Mutex;
use std::sync::Arc;

use crate::commit::Committer;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Index;
use crate::io::{Directory, SegmentSet, Segments, Step};
use crate::ordered::Standing;
use crate::recovery::{Sealed, SnapshotInForce};
use crate::wal::{Syncer, sealed_log_name};
use seal::AtSeal;

/// What the logs of an open store build on, and which of them there are.
pub(crate) struct Files {
    /// The snapshot that is durable.
    pub(crate) snapshot: Option<SnapshotInForce>,
    /// The segments whose entries are those of a snapshot: more than one after a checkpoint that
    /// failed amid moving.
    pub(crate) snapshots: SegmentSet,
    /// Sealed logs that have not been removed.
    pub(crate) sealed: Vec<Sealed>,
    /// Of a log that no mark opens, which is one of the Go store's, once it is sealed.
    pub(crate) unmarked: Option<Arc<Syncer>>,
}

impl Files {
    pub(crate) fn new(snapshot: Option<SnapshotInForce>, sealed: Vec<Sealed>) -> Files {
        let mut snapshots = SegmentSet::default();
        if let Some(snapshot) = snapshot {
            snapshots.insert(snapshot.segment);
        }
        Files { snapshot, snapshots, sealed, unmarked: None }
    }

    /// Bytes of entries in sealed logs.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.sealed.iter().map(|log| log.bytes).sum()
    }

    /// To be called before a snapshot of what is sealed is put in force. Should the power fail then, a
    /// log may be back under the name that it had before it was sealed. One without marks does not tell
    /// that the snapshot covers it, and is replayed: so none of it may be missing.
    pub(crate) fn sync_unmarked(files: &Mutex<Files>) -> Result<()> {
        let unmarked = files.lock().unmarked.clone();
        unmarked.map_or(Ok(()), |syncer| syncer.sync(Step::UnmarkedSealedLog))
    }

    /// Removes the sealed logs: a durable snapshot has what is in them.
    pub(crate) fn remove_sealed(files: &Mutex<Files>, directory: &Directory) -> Result<()> {
        let sealed = files.lock().sealed.clone();
        for log in sealed {
            // One that comes back after a power failure is known by its generation to be covered.
            directory.remove(&sealed_log_name(log.generation))?;
            files.lock().sealed.retain(|other| other.generation != log.generation);
        }
        Ok(())
    }
}

/// What a checkpoint works on. One runs at a time: whoever makes one of these has seen to it.
pub(crate) struct Checkpoint<'a> {
    pub(crate) directory: &'a Arc<Directory>,
    pub(crate) segments: &'a Arc<Segments>,
    pub(crate) index: &'a Index,
    pub(crate) committer: &'a Committer,
    pub(crate) standing: &'a Mutex<Standing>,
    pub(crate) checkpoints: &'a Checkpoints,
    /// Whether pages of a log are made ready ahead of the writer.
    pub(crate) prepare: bool,
}

impl Checkpoint<'_> {
    /// Has everything that was written before this call in a durable snapshot. Returns how many
    /// bytes that has, 0 when there was nothing to do.
    ///
    /// # Errors
    /// Those of the system calls, `Corrupt` when a record cannot be read any more, `Poisoned`,
    /// `OutOfMemory`, and `Closed` when the store is closed meanwhile. Nothing is lost: what was
    /// sealed stays.
    pub(crate) fn run(&self) -> Result<u64> {
        self.checkpoints.unmapper().join();
        let mut bytes = 0;
        let left_over = self.checkpoints.take_left_over();
        if let Some(sealed) = left_over.filter(|_| self.is_short_of_numbers()) {
            bytes = self.finish(sealed)?;
        }
        let Some(sealed) = self.seal()? else { return Ok(bytes) };
        self.check_wanted()?;
        self.finish(sealed)
    }

    /// Puts a snapshot of what was sealed in force, and lets go of the old files.
    fn finish(&self, mut sealed: AtSeal) -> Result<u64> {
        let snapshot = match self.copy(&mut sealed) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Each attempt that seals the log takes numbers, and none gives any back until one
                // succeeds. So that one can, however many have failed, this one is gone on with.
                if self.is_short_of_numbers() && error.kind() != ErrorKind::Closed {
                    self.checkpoints.leave_over(sealed);
                }
                return Err(error);
            }
        };
        self.relocate(&sealed, &snapshot)?;
        let bytes = snapshot.bytes();
        let retired = sealed.retired;
        let is_retired = |id| retired.contains(id);
        let retired_bytes = sealed.ordered.pins().mapped_bytes(is_retired);
        // What is in there keeps the old files mapped.
        drop((sealed, snapshot));
        let removed = Files::remove_sealed(self.checkpoints.files(), self.directory);
        self.checkpoints.unmapper().unmap(self.segments, retired, retired_bytes);
        removed.map(|()| bytes)
    }

    /// Syncs the directory, whose names the logs depend on: if that fails, it is final as for a log.
    fn sync_names(&self, step: Step) -> Result<()> {
        self.directory.sync(step).inspect_err(|error| {
            if let Some(log) = &self.committer.lock().log {
                log.syncer()
                    .poison(&format!("a checkpoint could not sync the directory ({error})"));
            }
        })
    }

    /// Whether nobody closes the store meanwhile.
    fn check_wanted(&self) -> Result<()> {
        if self.checkpoints.is_cancelled() {
            let path = self.directory.path();
            let message = format!(
                "the checkpoint of {} was given up, since the store was closed meanwhile; nothing \
                 is lost",
                path.display()
            );
            return Err(Error::new(ErrorKind::Closed, message).at(path, None));
        }
        Ok(())
    }
}
