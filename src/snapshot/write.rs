//! Writing a snapshot.

use std::sync::Arc;

use super::blocks::Blocks;
use super::{SNAPSHOT_NAME, UNFINISHED_NAME};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Access, Directory, File, Mapping, Step};
use crate::record::{SnapshotHeader, encode_snapshot_header};

/// A snapshot being written: to its temporary name, or in a directory that nobody opens yet.
pub(crate) struct SnapshotWriter {
    pub(super) file: Arc<File>,
    pub(super) blocks: Blocks,
    entries_left: u32,
}

impl SnapshotWriter {
    /// Begins a snapshot of `count` entries under the temporary name, for
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// `TooLarge` for more entries than the header can count; `Io` and `NoSpace`.
    pub(crate) fn create(
        directory: &Directory,
        timestamp: i64,
        count: usize,
    ) -> Result<SnapshotWriter> {
        SnapshotWriter::create_as(UNFINISHED_NAME, directory, timestamp, count)
    }

    /// As [`create`](Self::create), under the name of the snapshot in force, for
    /// [`complete`](Self::complete): in a directory that is to appear only when it is whole. Until
    /// then it is no valid snapshot, since its header counts entries that are not there.
    pub(crate) fn create_in_place(
        directory: &Directory,
        timestamp: i64,
        count: usize,
    ) -> Result<SnapshotWriter> {
        SnapshotWriter::create_as(SNAPSHOT_NAME, directory, timestamp, count)
    }

    fn create_as(
        name: &str,
        directory: &Directory,
        timestamp: i64,
        count: usize,
    ) -> Result<SnapshotWriter> {
        let Ok(count) = u32::try_from(count) else {
            let message = format!("a snapshot cannot hold {count} records; the log is kept");
            return Err(Error::new(ErrorKind::TooLarge, message));
        };
        let file = Arc::new(directory.create_file_for(name, SNAPSHOT_NAME)?);
        let header = encode_snapshot_header(SnapshotHeader { timestamp, count });
        let mut blocks = Blocks::default();
        blocks.add(&header, &mut Vec::new())?;
        Ok(SnapshotWriter { file, blocks, entries_left: count })
    }

    /// Takes note that `records` more have been copied.
    pub(super) fn count(&mut self, records: usize) -> Result<()> {
        let records = u32::try_from(records).map_err(|_| miscounted())?;
        self.entries_left = self.entries_left.checked_sub(records).ok_or_else(miscounted)?;
        Ok(())
    }

    /// All of the content is there, and none of it durable.
    pub(crate) fn finish(self) -> Result<WrittenSnapshot> {
        let len = self.write_rest()?;
        Ok(WrittenSnapshot { file: self.file, len })
    }

    /// Makes the snapshot's content durable. Its name is for whoever makes the directory.
    pub(crate) fn complete(self) -> Result<()> {
        self.write_rest()?;
        self.file.sync_data(Step::NewSnapshot)
    }

    /// Returns how many bytes there are in all.
    fn write_rest(&self) -> Result<u64> {
        if self.entries_left > 0 {
            return Err(miscounted());
        }
        self.blocks.write_rest(&self.file)?;
        Ok(self.blocks.len())
    }
}

/// A snapshot that is complete under its temporary name.
pub(crate) struct WrittenSnapshot {
    file: Arc<File>,
    len: u64,
}

/// One that is durable, too, so that it may be put in force.
pub(crate) struct DurableSnapshot(());

impl WrittenSnapshot {
    pub(crate) fn map(&self) -> Result<Arc<Mapping>> {
        self.file.map(0, self.len, Access::ReadOnly)
    }

    pub(crate) fn sync(&self) -> Result<DurableSnapshot> {
        self.file.sync_data(Step::Snapshot)?;
        Ok(DurableSnapshot(()))
    }

    /// The error when it cannot be mapped for lack of a segment number.
    pub(crate) fn no_number_left(&self) -> Error {
        let path = self.file.path();
        let message = format!("no number is left to map {}; the log is kept", path.display());
        Error::new(ErrorKind::TooLarge, message).at(path, None)
    }
}

impl DurableSnapshot {
    /// Has it take the place of the one in force; durably once the directory is synced.
    pub(crate) fn put_in_force(self, directory: &Directory) -> Result<()> {
        directory.rename(UNFINISHED_NAME, SNAPSHOT_NAME)
    }
}

/// A snapshot that would not open must never be put in force.
fn miscounted() -> Error {
    let message = "the number of records changed while the snapshot was written; the log is kept";
    Error::new(ErrorKind::Corrupt, message)
}
