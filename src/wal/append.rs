//! Appending to a log.

use std::sync::Arc;

use super::ahead::{Ahead, Growth, Window};
use super::fresh::FreshLog;
use super::{Allocation, Before, Health, Syncer, Unvouched};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Directory, File, Location, MAX_FILE_LEN, MappedTail, SegmentId, Segments, Step};
use crate::record::{Continues, LOG_RUN_OFFSET, Mark, Operation, Run};
use crate::record::{encode_log_entry, log_entry_len};

/// What is known of an existing log that is to be appended to.
pub(crate) struct Resume {
    /// Where the next entry goes; all before it is valid, all behind it is zero.
    pub(crate) end: u64,
    /// What the log's marks are to say.
    pub(crate) mark: Mark,
    /// The generation in its name once it is sealed.
    pub(crate) generation: u64,
    /// Whether such a mark opens it, or will.
    pub(crate) marked: bool,
    /// What no mark vouches for, be it the last mark itself.
    pub(crate) unvouched: Option<Unvouched>,
    /// Whether a mark ends the log, which vouches for every record before it.
    pub(crate) ends_with_mark: bool,
    /// The sealed log that it continues, to be said in one that is empty.
    pub(crate) continues: Option<Continues>,
    /// What of that may not be on the disk.
    pub(crate) before: Before,
    /// Shared with the syncers in there.
    pub(crate) health: Arc<Health>,
}

#[cfg(test)]
impl Resume {
    /// Of an empty log that continues nothing.
    pub(crate) fn empty(mark: Mark) -> Resume {
        Resume {
            end: 0,
            generation: mark.generation,
            mark,
            marked: true,
            unvouched: None,
            ends_with_mark: true,
            continues: None,
            before: Before::default(),
            health: Arc::default(),
        }
    }
}

/// A log that is appended to, by one thread at a time.
pub(crate) struct Log {
    segments: Arc<Segments>,
    syncer: Arc<Syncer>,
    file: Arc<File>,
    mark: Mark,
    generation: u64,
    marked: bool,
    /// The sealed log that it continues: told behind the mark that opens the log.
    continues: Option<Continues>,
    /// Whether what it continues may not be on the disk.
    unsettled: bool,
    window: Option<CurrentWindow>,
    /// Offset in the file of the next entry.
    end: u64,
    /// Every byte before this offset is known to be on the disk.
    synced: u64,
    /// Where the last mark ends, as far as it is known.
    mark_end: u64,
    growth: Arc<Growth>,
    /// Gets pages ready before they are stored to; not where every write is synced, since a
    /// sync would write them out, zeros and all.
    ahead: Option<Ahead>,
}

pub(super) struct CurrentWindow {
    pub(super) tail: MappedTail,
    pub(super) segment: SegmentId,
    /// Offset in the file of the mapping's first byte.
    pub(super) file_offset: u64,
}

/// What a log is once it was sealed: nothing is appended to it any more.
pub(crate) struct SealedLog {
    pub(crate) generation: u64,
    /// Bytes of entries in it.
    pub(crate) end: u64,
    file: Arc<File>,
    /// Its thread has to end before space is given back, or it might take it again.
    ahead: Option<Ahead>,
    /// Unmaps what nobody else holds when it is dropped.
    _window: Option<CurrentWindow>,
}

impl SealedLog {
    /// Gives back the space that was reserved for more entries. Takes as long as ending a thread
    /// does.
    pub(crate) fn release_reserve(&mut self) -> Result<()> {
        self.ahead = None;
        self.file.release(self.end)
    }
}

impl Log {
    /// A log that goes on at `resume.end` of `file`. With `prepare`, pages are made ready in the
    /// background once the log is large enough for that to pay.
    pub(crate) fn resume(
        file: Arc<File>,
        resume: Resume,
        segments: Arc<Segments>,
        allocation: Allocation,
        prepare: bool,
    ) -> Result<Log> {
        let growth = Arc::new(Growth::new(file.clone(), allocation, resume.end, file.len()?));
        let mark_end = if resume.ends_with_mark { resume.end } else { 0 };
        // A mark that ends the log vouches for what is before it, and may be in the page cache only.
        let synced =
            resume.unvouched.as_ref().map_or(mark_end, |unvouched| unvouched.range.start as u64);
        Ok(Log {
            segments,
            unsettled: !resume.before.is_empty(),
            syncer: Arc::new(Syncer::new(
                resume.health,
                file.clone(),
                resume.unvouched,
                resume.before,
            )),
            file,
            mark: resume.mark,
            generation: resume.generation,
            marked: resume.marked,
            continues: resume.continues,
            window: None,
            end: resume.end,
            synced,
            mark_end,
            ahead: prepare.then(|| Ahead::new(growth.clone(), resume.end, resume.end)),
            growth,
        })
    }

    /// Goes on in `fresh`, whose file has just taken the name of this one's, as a log that `mark`
    /// opens. Returns what was sealed. Takes no longer than a write does.
    pub(crate) fn continue_in(
        &mut self,
        fresh: FreshLog,
        mark: Mark,
        directory: &Arc<Directory>,
    ) -> SealedLog {
        let FreshLog { file, growth, window, ahead } = fresh;
        let generation = self.generation;
        let continues = Continues { generation, end: self.end, synced: self.synced };
        let logs = if self.is_synced() { Vec::new() } else { vec![self.syncer.clone()] };
        let before = Before { logs, names: Some(directory.clone()) };
        let syncer = Syncer::new(self.syncer.health().clone(), file.clone(), None, before);
        let sealed = std::mem::replace(
            self,
            Log {
                segments: self.segments.clone(),
                syncer: Arc::new(syncer),
                file,
                mark,
                generation: mark.generation,
                marked: true,
                continues: Some(continues),
                unsettled: true,
                window: Some(window),
                end: 0,
                synced: 0,
                mark_end: 0,
                growth,
                ahead,
            },
        );
        let Log { end, file, ahead, window, .. } = sealed;
        SealedLog { generation, end, file, ahead, _window: window }
    }

    /// Has the log, which is empty, be opened by `mark`.
    pub(crate) fn begin_anew(&mut self, mark: Mark) {
        debug_assert_eq!(self.end, 0);
        (self.mark, self.generation, self.marked) = (mark, mark.generation, true);
    }

    /// The segment that entries are appended to, if there is one by now.
    pub(crate) fn segment(&self) -> Option<SegmentId> {
        self.window.as_ref().map(|window| window.segment)
    }

    /// The generation in the log's name once it is sealed.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What it continues is on the disk, or in a snapshot that is.
    pub(crate) fn settle(&mut self) {
        self.unsettled = false;
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

    /// Whether what the log continues is known to be on the disk, and its name.
    pub(crate) fn is_settled(&self) -> bool {
        !self.unsettled
    }

    /// Whether every appended byte is known to be on the disk, and what the log continues.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced == self.end && !self.unsettled
    }

    /// Makes every appended byte durable, and what the log continues.
    pub(crate) fn sync(&mut self, step: Step) -> Result<()> {
        self.syncer.sync(step)?;
        self.synced = self.end;
        self.unsettled = false;
        Ok(())
    }

    /// Takes note that the bytes before `end` were made durable through `syncer`, which was this
    /// log's when it was asked for; the log may have been sealed since, and this be another.
    pub(crate) fn note_synced(&mut self, syncer: &Arc<Syncer>, end: u64) {
        if Arc::ptr_eq(syncer, &self.syncer) {
            self.synced = self.synced.max(end);
            self.unsettled = false;
        }
    }

    /// Appends an entry and returns where its run is. A mark goes before it when every byte of
    /// the log is durable, which is when a mark has something to say; so one opens each log. Behind
    /// that stands which log it continues, if it does.
    ///
    /// # Errors
    /// `NoSpace`, `TooLarge`, `Io`: nothing has been appended.
    pub(crate) fn append(
        &mut self,
        operation: Operation,
        timestamp: i64,
        run: Run<'_>,
    ) -> Result<Location> {
        self.make_room(timestamp, log_entry_len(run.key.len(), run.value.len()))?;
        self.encode(operation, timestamp, run)
    }

    /// Makes sure that `len` bytes of entries can follow each other in one window, behind a mark if
    /// one is due, or what a log begins with. Errors are those of [`append`](Log::append).
    #[inline]
    pub(super) fn make_room(&mut self, timestamp: i64, len: usize) -> Result<()> {
        if self.end == 0 {
            return self.open(timestamp, len);
        }
        if self.is_synced() && self.mark_end < self.end {
            self.reserve(log_entry_len(0, Mark::LEN) + len)?;
            return self.encode_mark(timestamp);
        }
        self.reserve(len)
    }

    /// Stores what each log begins with, in front of `len` bytes of entries.
    #[cold]
    fn open(&mut self, timestamp: i64, len: usize) -> Result<()> {
        let mark_len = log_entry_len(0, Mark::LEN);
        let Some(continues) = self.continues else {
            self.reserve(mark_len.saturating_add(len))?;
            return self.encode_mark(timestamp);
        };
        self.reserve((mark_len + log_entry_len(0, Continues::LEN)).saturating_add(len))?;
        self.encode_mark(timestamp)?;
        let value = continues.encode();
        let run = Run { key: &[], value: &value };
        self.encode(Operation::Continues, timestamp, run).map(drop)
    }

    /// Stores a mark, for which there is room.
    fn encode_mark(&mut self, timestamp: i64) -> Result<()> {
        let value = self.mark.encode();
        self.encode(Operation::Mark, timestamp, Run { key: &[], value: &value })?;
        self.mark_end = self.end;
        Ok(())
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
        let Some(segment) = self.segments.install_unless_last(mapping.clone()) else {
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
            "the log {} {why}; a checkpoint, or closing the store, writes a snapshot and empties the log",
            path.display()
        );
        Error::new(ErrorKind::TooLarge, message).at(path, Some(self.end))
    }

    /// Stores an entry, for which there is room.
    #[inline]
    pub(super) fn encode(
        &mut self,
        operation: Operation,
        timestamp: i64,
        run: Run<'_>,
    ) -> Result<Location> {
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

    /// Gives back the space that was reserved for more entries: on a disk that is nearly full, it
    /// may be what the snapshot needs. Nothing can be appended any more.
    pub(crate) fn release_reserve(self) -> Result<()> {
        // Its thread might take it again.
        drop(self.ahead);
        self.file.release(self.end)
    }

    /// Cuts off the zeros behind the last entry, after a final sync: for a log that is kept, or
    /// was never used. A mark at `timestamp` then ends it, so that the next open knows all of it
    /// to be on the disk. No record lies behind the end, so nobody reads there, whoever still has
    /// the file mapped.
    pub(crate) fn finish(mut self, timestamp: i64) -> Result<()> {
        // Its thread must not touch pages beyond the new end.
        self.ahead = None;
        if !self.is_synced() {
            self.sync(Step::KeptLog)?;
        }
        if self.mark_end < self.end {
            // Without room for the mark, the next open syncs what needs no sync.
            if self.reserve(log_entry_len(0, Mark::LEN)).is_ok() {
                self.encode_mark(timestamp)?;
            }
        }
        if self.file.len()? == self.end {
            // Not synced: a mark that ends with a page lies in one sector, and survives whole or leaves
            // zeros, as if there had been no room for it.
            return Ok(());
        }
        self.file.truncate(self.end, Step::KeptLogEnd)?;
        self.syncer.sync(Step::KeptLogEndSync)
    }
}
