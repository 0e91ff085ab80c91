//! Closing a store.

use std::sync::atomic::Ordering;

use super::inner::Inner;
use crate::checkpoint::{Files, write_at_rest};
use crate::commit::{Clock, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::io::Step;
use crate::options::CloseCheckpoint;
use crate::ordered::{Instant, Standing};
use crate::recovery::replace_log;
use crate::wal::Log;

/// A snapshot larger than this is not rewritten for a log that is short beside it.
const LARGE_SNAPSHOT: u64 = 64 << 20;

/// How many times shorter a log must be than a large snapshot to be kept.
const KEPT_LOG_RATIO: u64 = 8;

impl Inner {
    pub(super) fn close(&self, checkpoint: CloseCheckpoint) -> Result<()> {
        self.check_not_forked()?;
        let (_turn, mut standing, mut writer) = loop {
            if self.is_closed() {
                return Ok(());
            }
            // Waits for an open transaction, and holds nothing meanwhile: the transaction may scan.
            let idle = self.committer.lock_idle();
            if let Err(error) = idle.map(drop) {
                self.checkpoints.allow();
                return Err(error);
            }
            // One that runs would only be repeated.
            self.end_checkpoints();
            let turn = self.checkpoints.turn();
            // Of one that was asked for and has just ended.
            self.checkpoints.unmapper().join();
            let standing = self.standing.lock();
            // Waits for the write that is under way; none can follow once the log is taken.
            if let Some(writer) = self.committer.lock_if_idle() {
                break (turn, standing, writer);
            }
        };
        if self.is_closed() {
            return Ok(());
        }
        let result = match writer.log.take() {
            Some(log) => self.settle(&mut standing, &mut writer, log, checkpoint),
            None => Ok(()),
        };
        self.gate().close();
        drop(self.checkpoints.take_left_over());
        writer.index.clear();
        *standing = Standing::default();
        self.standing_bytes.store(0, Ordering::Relaxed);
        self.segments.retire_all();
        drop(writer);
        // Last: whoever opens the directory next finds it at rest.
        *self.lock.lock() = None;
        result
    }

    /// Leaves the directory in the state that is asked for.
    fn settle(
        &self,
        standing: &mut Standing,
        writer: &mut Writer,
        mut log: Log,
        choice: CloseCheckpoint,
    ) -> Result<()> {
        log.syncer().check()?;
        let (snapshot, snapshots, sealed_bytes, has_sealed) = {
            let files = self.checkpoints.files().lock();
            (files.snapshot, files.snapshots, files.sealed_bytes(), !files.sealed.is_empty())
        };
        let unchanged = log.end() == 0 && !has_sealed && snapshot.is_some();
        if unchanged {
            return log.finish(writer.clock.tick(Clock::now()));
        }
        let snapshot_bytes = snapshot.map_or(0, |snapshot| snapshot.bytes);
        let log_bytes = log.end() + sealed_bytes;
        let short = snapshot_bytes > LARGE_SNAPSHOT && log_bytes < snapshot_bytes / KEPT_LOG_RATIO;
        let keep = match choice {
            CloseCheckpoint::Auto => short,
            CloseCheckpoint::Always => false,
            CloseCheckpoint::Never => true,
        };
        if keep {
            return log.finish(writer.clock.tick(Clock::now()));
        }
        if !log.is_marked() {
            // Should the process die before the log is replaced, the next one cannot tell that
            // the snapshot covers it, and replays it: then none of it may be missing.
            log.sync(Step::UnmarkedLog)?;
        }
        Files::sync_unmarked(self.checkpoints.files())?;
        // It may be what the snapshot needs. Best effort: it is given back with the log anyway.
        let _released = log.release_reserve().is_ok();
        standing
            .catch_up(&self.index, |keep| {
                Ok(Instant::take(&mut writer.index, &self.segments, keep))
            })
            .and_then(|ordered| {
                let timestamp = writer.clock.tick(Clock::now());
                write_at_rest(&self.directory, &ordered, timestamp, &snapshots)?;
                replace_log(&self.directory, Step::NewLogAtClose)?;
                // Last: until then they are known to be covered.
                Files::remove_sealed(self.checkpoints.files(), &self.directory)
            })
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &Error) -> Error {
        let advice = match error.kind() {
            ErrorKind::Corrupt => {
                "the log is kept; the next open keeps what is before the damage in it, and the \
                 rest in quarantine"
            }
            ErrorKind::NoSpace => "nothing is lost, and the next open tries again",
            _ => "what was written is in the log, and the next open tries again",
        };
        let path = self.path().display();
        let lead = format!("the snapshot and the new log of {path} were not written; {advice}");
        error.share(error.kind(), &lead)
    }
}
