//! Appending to a log.

use std::sync::Arc;

use super::Syncer;
use super::ahead::{Ahead, Growth, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{File, Location, MAX_FILE_LEN, MappedTail, SegmentId, Segments};
use crate::record::{LOG_RUN_OFFSET, Mark, Operation, Run, encode_log_entry, log_entry_len};

/// What is known of an existing log that is to be appended to.
pub(crate) struct Resume {
    /// Where the next entry goes; all before it is valid, all behind it is zero.
    pub(crate) end: u64,
    /// What the log's marks are to say.
    pub(crate) mark: Mark,
    /// Whether such a mark opens it, or will.
    pub(crate) marked: bool,
}

/// A log that is appended to, by one thread at a time.
pub(crate) struct Log {
    segments: Arc<Segments>,
    syncer: Arc<Syncer>,
    file: Arc<dyn File>,
    mark: Mark,
    marked: bool,
    window: Option<CurrentWindow>,
    /// Offset in the file of the next entry.
    end: u64,
    /// Every byte before this offset is known to be on the disk.
    synced: u64,
    growth: Arc<Growth>,
    /// Gets pages ready before they are stored to; not where every write is synced, since a
    /// sync would write them out, zeros and all.
    ahead: Option<Ahead>,
}

struct CurrentWindow {
    tail: MappedTail,
    segment: SegmentId,
    /// Offset in the file of the mapping's first byte.
    file_offset: u64,
}

impl Log {
    /// A log that goes on at `resume.end` of `file`; nothing is known of what is durable. With `prepare`, pages are made ready in the
    /// background once the log is large enough for that to pay.
    pub(crate) fn resume(
        file: Arc<dyn File>,
        resume: Resume,
        segments: Arc<Segments>,
        prepare: bool,
    ) -> Result<Log> {
        let growth = Arc::new(Growth::new(file.clone(), resume.end, file.len()?));
        Ok(Log {
            segments,
            syncer: Arc::new(Syncer::new(file.clone())),
            file,
            mark: resume.mark,
            marked: resume.marked,
            window: None,
            end: resume.end,
            synced: 0,
            ahead: prepare.then(|| Ahead::new(growth.clone(), resume.end)),
            growth,
        })
    }

    /// Bytes of entries in the log.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn syncer(&self) -> &Arc<Syncer> {
        &self.syncer
    }

    /// Whether a mark opens the log, which tells what snapshot it builds on.
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Whether every appended byte is known to be on the disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced == self.end
    }

    /// Makes every appended byte durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.syncer.sync()?;
        self.synced = self.end;
        Ok(())
    }

    /// Takes note that the bytes before `end` were made durable through [`Log::syncer`].
    pub(crate) fn note_synced(&mut self, end: u64) {
        self.synced = self.synced.max(end);
    }

    /// Appends an entry and returns where its run is. A mark goes before it when every byte of
    /// the log is durable, which is when a mark has something to say; so one opens each log.
    ///
    /// # Errors
    /// `NoSpace`, `TooLarge`, `Io`: nothing has been appended.
    pub(crate) fn append(
        &mut self,
        operation: Operation,
        timestamp: i64,
        run: Run<'_>,
    ) -> Result<Location> {
        let entry_len = log_entry_len(run.key.len(), run.value.len());
        if self.is_synced() {
            self.reserve(log_entry_len(0, Mark::LEN) + entry_len)?;
            let value = self.mark.encode();
            self.encode(Operation::Mark, timestamp, Run { key: &[], value: &value })?;
        } else {
            self.reserve(entry_len)?;
        }
        self.encode(operation, timestamp, run)
    }

    /// Makes sure that `len` bytes fit into the current window.
    #[inline]
    fn reserve(&mut self, len: usize) -> Result<()> {
        match &self.window {
            Some(window) if len <= window.tail.remaining() => Ok(()),
            _ => self.next_window(len),
        }
    }

    #[cold]
    fn next_window(&mut self, len: usize) -> Result<()> {
        let needed = self.end + len as u64;
        if needed > MAX_FILE_LEN {
            return Err(self.full(&format!("would exceed {MAX_FILE_LEN} bytes")));
        }
        let Window { mapping, file_offset } = self.growth.next_window(self.end, needed)?;
        let position = (self.end - file_offset) as usize;
        let Some(segment) = self.segments.install(mapping.clone()) else {
            return Err(self.full("has no number left for another mapping"));
        };
        if let Some(ahead) = &mut self.ahead {
            ahead.enter_window(file_offset);
        }
        // The old window's tail is dropped: only this one stores to the bytes from `end` on.
        let tail = MappedTail::new(mapping, position);
        self.window = Some(CurrentWindow { tail, segment, file_offset });
        Ok(())
    }

    fn full(&self, why: &str) -> Error {
        let path = self.file.path();
        let message = format!(
            "the log {} {why}; close the store, which writes a snapshot and empties the log",
            path.display()
        );
        Error::new(ErrorKind::TooLarge, message).at(path, Some(self.end))
    }

    /// Stores an entry, for which there is room.
    #[inline]
    fn encode(&mut self, operation: Operation, timestamp: i64, run: Run<'_>) -> Result<Location> {
        let len = log_entry_len(run.key.len(), run.value.len());
        let Some(window) = &mut self.window else { return Err(self.full("has no window")) };
        let start = window.tail.position();
        let segment = window.segment;
        let Some(bytes) = window.tail.advance(len) else {
            return Err(self.full("has no room in its window"));
        };
        encode_log_entry(bytes, operation, timestamp, run);
        self.end += len as u64;
        if let Some(ahead) = &mut self.ahead {
            ahead.advanced_to(self.end, window.tail.mapping(), window.file_offset);
        }
        Ok(Location::new(segment, start + LOG_RUN_OFFSET))
    }

    /// Cuts off the zeros behind the last entry, after a final sync: for a log that is kept, or
    /// was never used. No record lies there, so nobody reads there, whoever still has the file
    /// mapped.
    pub(crate) fn finish(mut self) -> Result<()> {
        // Its thread must not touch pages beyond the new end.
        self.ahead = None;
        if !self.is_synced() {
            self.sync()?;
        }
        if self.file.len()? == self.end {
            return Ok(());
        }
        self.file.truncate(self.end)?;
        self.syncer.sync()
    }
}
