//! Keeping a copy of a log's invalid end, and cutting it off.

use std::path::PathBuf;

use crate::commit::Clock;
use crate::error::Result;
use crate::io::{Directory, File, Mapping, Step};
use crate::wal::LogEnd;

/// Where cut bytes are kept; the library never deletes from it.
pub(crate) const QUARANTINE_NAME: &str = "quarantine";

/// Bytes written at a time.
const STEP: usize = 1 << 20;

/// Copies the invalid bytes of the log `name` to a new file and makes that durable. Returns its
/// path.
pub(super) fn keep(
    directory: &Directory,
    mapping: &Mapping,
    name: &str,
    end: LogEnd,
) -> Result<PathBuf> {
    let garbage = mapping.bytes(end.offset as usize, end.garbage as usize).unwrap_or_default();
    let quarantine = directory.subdirectory(QUARANTINE_NAME)?;
    let name = unused_name(&quarantine, name, end.offset)?;
    let copy = quarantine.create_file(&name)?;
    let keep = || {
        for (step, bytes) in garbage.chunks(STEP).enumerate() {
            copy.write_all_at(bytes, (step * STEP) as u64)?;
        }
        copy.sync_data(Step::QuarantineCopy)?;
        quarantine.sync(Step::QuarantineName)
    };
    // Best effort: what is not whole is of no use, and each further try would leave another.
    keep().inspect_err(|_| drop(quarantine.remove(&name)))?;
    Ok(copy.path().to_path_buf())
}

/// A name for bytes cut from `log` at `offset`. A clock that was set back must not have an earlier copy
/// overwritten.
fn unused_name(quarantine: &Directory, log: &str, offset: u64) -> Result<String> {
    let used = quarantine.list()?;
    let mut time = Clock::now();
    loop {
        let name = format!("{time}-{log}-{offset}");
        if !used.contains(&name) {
            return Ok(name);
        }
        time += 1;
    }
}

/// Overwrites the invalid bytes of `log`, of which there is a copy, with zeros, which are a log's
/// clean end, and makes that durable.
///
/// Zeros rather than a shorter file: an earlier handle of this process may have it mapped.
pub(super) fn cut(log: &File, end: LogEnd) -> Result<()> {
    let zeros = vec![0; STEP.min(end.garbage as usize)];
    for start in (0..end.garbage).step_by(STEP) {
        let len = (end.garbage - start).min(STEP as u64) as usize;
        log.overwrite(&zeros[..len], end.offset + start, Step::Cut)?;
    }
    log.sync_data(Step::CutSync)
}
