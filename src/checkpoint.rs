//! Turning the log into a snapshot.

use crate::commit::{Clock, Writer};
use crate::error::{Error, Result};
use crate::io::{Directory, Epoch, Location, SegmentId, SegmentPins, Segments};
use crate::ordered::Collected;
use crate::range::KeyRange;
use crate::record::{LOG_RUN_OFFSET, Run, decode_log_entry, decode_snapshot_entry};
use crate::record::{SNAPSHOT_ENTRY_OVERHEAD, log_entry_len};
use crate::recovery::replace_log;
use crate::snapshot::{SnapshotWriter, UNFINISHED_NAME};

/// Writes every live record to a new snapshot and puts an empty log in the old one's place.
/// No write is under way: the caller holds the writer. After an error the old snapshot and the
/// log, or the new snapshot and a log that it covers, are in place: either opens to the same.
pub(crate) fn checkpoint(
    directory: &dyn Directory,
    writer: &mut Writer,
    segments: &Segments,
    snapshot_segment: Option<SegmentId>,
) -> Result<()> {
    write_snapshot(directory, writer, segments, snapshot_segment).inspect_err(|_| {
        // Best effort: it may be what fills the disk, and the next open removes it anyway.
        let _removed = directory.remove(UNFINISHED_NAME).is_ok();
    })?;
    replace_log(directory).map(drop)
}

fn write_snapshot(
    directory: &dyn Directory,
    writer: &mut Writer,
    segments: &Segments,
    snapshot_segment: Option<SegmentId>,
) -> Result<()> {
    let pins = segments.snapshot(&Epoch.enter());
    let ordered = Collected::new(&mut writer.index, pins)?.sort(&KeyRange::all())?;
    let timestamp = writer.clock.tick(Clock::now());
    let mut snapshot = SnapshotWriter::create(directory, timestamp, ordered.len())?;
    for position in 0..ordered.len() {
        ordered.prefetch_after(position);
        let (location, run) = ordered.get(position)?;
        verify(ordered.pins(), location, run, snapshot_segment)?;
        snapshot.push(run)?;
    }
    snapshot.finish()
}

/// Checks the record against the checksum it was stored with, so that what memory or disk has
/// garbled is never written anew under a checksum that makes it look right.
fn verify(
    pins: &SegmentPins,
    location: Location,
    run: Run<'_>,
    snapshot_segment: Option<SegmentId>,
) -> Result<()> {
    let in_snapshot = Some(location.segment_id()) == snapshot_segment;
    let (before, len) = if in_snapshot {
        (0, SNAPSHOT_ENTRY_OVERHEAD + run.key.len() + run.value.len())
    } else {
        (LOG_RUN_OFFSET, log_entry_len(run.key.len(), run.value.len()))
    };
    let entry = pins.entry(location, before, len).unwrap_or_default();
    let decoded = if in_snapshot {
        decode_snapshot_entry(entry)
    } else {
        decode_log_entry(entry).map(|entry| entry.run)
    };
    match decoded {
        Ok(_) => Ok(()),
        Err(malformed) => {
            let (path, offset) = pins.describe(location);
            let what = format!("{malformed}; no snapshot was written, the log is kept");
            Err(Error::corrupt(&path, offset, what))
        }
    }
}
