//! Closing a store.

use super::inner::Inner;
use crate::checkpoint::checkpoint;
use crate::commit::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::io::Epoch;
use crate::options::CloseCheckpoint;
use crate::wal::Log;

/// A snapshot larger than this is not rewritten for a log that is short beside it.
const LARGE_SNAPSHOT: u64 = 64 << 20;

/// How many times shorter a log must be than a large snapshot to be kept.
const KEPT_LOG_RATIO: u64 = 8;

impl Inner {
    pub(super) fn close(&self) -> Result<()> {
        self.check_not_forked()?;
        // Waits for the write that is under way; none can follow once the log is taken.
        let mut writer = self.committer.lock();
        if self.is_closed() {
            return Ok(());
        }
        let result = match writer.log.take() {
            Some(log) => self.settle(&mut writer, log),
            None => Ok(()),
        };
        self.mark_closed();
        writer.index.clear();
        self.segments.retire_all();
        Epoch.flush();
        drop(writer);
        // Last: whoever opens the directory next finds it at rest.
        *self.lock.lock() = None;
        result
    }

    /// Leaves the directory in the state that the options ask for.
    fn settle(&self, writer: &mut Writer, mut log: Log) -> Result<()> {
        log.syncer().check()?;
        let choice = self.options.close_checkpoint;
        let unchanged = log.end() == 0 && self.snapshot.is_some();
        if unchanged {
            return log.finish();
        }
        let snapshot_bytes = self.snapshot.map_or(0, |snapshot| snapshot.bytes);
        let short = snapshot_bytes > LARGE_SNAPSHOT && log.end() < snapshot_bytes / KEPT_LOG_RATIO;
        let keep = match choice {
            CloseCheckpoint::Auto => short,
            CloseCheckpoint::Always => false,
            CloseCheckpoint::Never => true,
        };
        if keep {
            return log.finish();
        }
        if !log.is_marked() {
            // Should the process die before the log is replaced, the next one cannot tell that
            // the snapshot covers it, and replays it: then none of it may be missing.
            log.sync()?;
        }
        let snapshot_segment = self.snapshot.map(|snapshot| snapshot.segment);
        let directory = &*self.directory;
        checkpoint(directory, writer, &self.segments, snapshot_segment)
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &Error) -> Error {
        let advice = match error.kind() {
            ErrorKind::Corrupt => {
                "the log is kept; the next open keeps what is before the damage in it, and the \
                 rest in quarantine"
            }
            _ => "nothing is lost, and the next open tries again",
        };
        let path = self.path().display();
        let lead = format!("the snapshot and the new log of {path} were not written; {advice}");
        error.share(error.kind(), &lead)
    }
}
