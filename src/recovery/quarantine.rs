//! Cutting a log's invalid end off, after copying it to where it is kept.

use std::path::PathBuf;

use crate::commit::Clock;
use crate::error::Result;
use crate::io::{Directory, File, Mapping};
use crate::wal::LogEnd;

/// Where cut bytes are kept; the library never deletes from it.
const QUARANTINE_NAME: &str = "quarantine";

/// Bytes written at a time.
const STEP: usize = 1 << 20;

/// Copies the invalid bytes of `log` to a new file and makes that durable; then overwrites them
/// with zeros, which are a log's clean end, and makes that durable too. Returns the copy's path.
///
/// Zeros rather than a shorter file: an earlier handle of this process may have it mapped.
pub(super) fn cut(
    directory: &dyn Directory,
    log: &dyn File,
    mapping: &Mapping,
    end: LogEnd,
) -> Result<PathBuf> {
    let garbage = mapping.bytes(end.offset as usize, end.garbage as usize).unwrap_or_default();
    let quarantine = directory.subdirectory(QUARANTINE_NAME)?;
    let copy = quarantine.create(&format!("{}-wal.log-{}", Clock::now(), end.offset))?;
    for (step, bytes) in garbage.chunks(STEP).enumerate() {
        copy.write_all_at(bytes, (step * STEP) as u64)?;
    }
    copy.sync_data()?;
    quarantine.sync()?;

    let zeros = vec![0; STEP.min(garbage.len())];
    for start in (0..end.garbage).step_by(STEP) {
        let len = (end.garbage - start).min(STEP as u64) as usize;
        log.write_all_at(&zeros[..len], end.offset + start)?;
    }
    log.sync_data()?;
    Ok(copy.path().to_path_buf())
}
