//! Writing a snapshot.

use super::{SNAPSHOT_NAME, UNFINISHED_NAME};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Directory, File, MAX_FILE_LEN};
use crate::record::encode_snapshot_header;
use crate::record::{Run, SNAPSHOT_ENTRY_OVERHEAD, SnapshotHeader, encode_snapshot_entry};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// A snapshot being written to its temporary name.
pub(crate) struct SnapshotWriter<'d> {
    directory: &'d dyn Directory,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    written: u64,
    entries_left: u32,
}

impl<'d> SnapshotWriter<'d> {
    /// Begins a snapshot of `count` entries.
    ///
    /// # Errors
    /// `TooLarge` for more entries than the header can count; `Io` and `NoSpace`.
    pub(crate) fn create(
        directory: &'d dyn Directory,
        timestamp: i64,
        count: usize,
    ) -> Result<SnapshotWriter<'d>> {
        let Ok(count) = u32::try_from(count) else {
            let message = format!("a snapshot cannot hold {count} records; the log is kept");
            return Err(Error::new(ErrorKind::TooLarge, message));
        };
        let file = directory.create(UNFINISHED_NAME)?;
        let mut buffer = Vec::with_capacity(2 * BUFFER);
        buffer.extend_from_slice(&encode_snapshot_header(SnapshotHeader { timestamp, count }));
        Ok(SnapshotWriter { directory, file, buffer, written: 0, entries_left: count })
    }

    /// Adds an entry; keys come in ascending order.
    pub(crate) fn push(&mut self, run: Run<'_>) -> Result<()> {
        self.entries_left = self.entries_left.checked_sub(1).ok_or_else(miscounted)?;
        let len = SNAPSHOT_ENTRY_OVERHEAD + run.key.len() + run.value.len();
        let start = self.buffer.len();
        if self.written + (start + len) as u64 > MAX_FILE_LEN {
            let message = format!("a snapshot cannot exceed {MAX_FILE_LEN} bytes; the log is kept");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if self.buffer.try_reserve(len).is_err() {
            let message = format!("no memory for an entry of {len} bytes");
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        self.buffer.resize(start + len, 0);
        encode_snapshot_entry(&mut self.buffer[start..], run);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the snapshot durable and puts it in force.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.entries_left != 0 {
            return Err(miscounted());
        }
        self.flush()?;
        self.file.sync_data()?;
        self.directory.rename(UNFINISHED_NAME, SNAPSHOT_NAME)?;
        self.directory.sync()
    }
}

/// A snapshot that would not open must never be put in force.
fn miscounted() -> Error {
    let message = "the number of records changed while the snapshot was written; the log is kept";
    Error::new(ErrorKind::Corrupt, message)
}
