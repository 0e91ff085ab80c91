//! The snapshot of a backup.

use std::sync::Arc;

use super::progress::Meter;
use crate::commit::Clock;
use crate::error::{ErrorKind, Result};
use crate::io::{Directory, Mapping, SegmentId, SegmentPins, SegmentSet, Step};
use crate::ordered::OrderedRun;
use crate::record::{
    SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN, SnapshotHeader, decode_snapshot_header,
};
use crate::snapshot::{self, SNAPSHOT_NAME, SnapshotWriter};

/// Writes the records of `ordered` to a snapshot in `directory`, and makes its content durable.
pub(super) fn write_snapshot(
    directory: &Directory,
    ordered: &OrderedRun,
    meter: &mut Meter<'_>,
) -> Result<()> {
    if let Some(source) = whole_snapshot(ordered) {
        if clone_snapshot(directory, source, meter)? {
            return Ok(());
        }
        directory.remove(SNAPSHOT_NAME)?;
        meter.restart();
    }
    copy_records(directory, ordered, meter)
}

/// The snapshot whose entries are exactly the records of `ordered`, if there is one: nothing was
/// written since it was.
fn whole_snapshot(ordered: &OrderedRun) -> Option<&Arc<Mapping>> {
    let segment = ordered.iter().next()?.segment_id();
    let mapping = snapshots(ordered.pins()).find(|&(id, _)| id == segment)?.1;
    let header = header_of(mapping)?;
    // As many different records as it has entries are all of them: no key occurs in it twice, and
    // none is deleted or set again.
    let all = header.count as usize == ordered.len()
        && ordered.iter().all(|location| location.segment_id() == segment);
    all.then_some(mapping)
}

fn header_of(mapping: &Mapping) -> Option<SnapshotHeader> {
    decode_snapshot_header(mapping.bytes(0, SNAPSHOT_HEADER_LEN)?).ok()
}

/// The segments that are snapshots.
fn snapshots(pins: &SegmentPins) -> impl Iterator<Item = (SegmentId, &Arc<Mapping>)> {
    pins.mappings().filter(|(_, mapping)| mapping.path().ends_with(SNAPSHOT_NAME))
}

/// Has the file system make `source` anew in `directory`, and checks every entry of what came of
/// it. `false` where that cannot be done, or what is there is not sound, which may be for the source
/// to answer for: then the records are to be copied one by one from memory.
fn clone_snapshot(
    directory: &Directory,
    source: &Arc<Mapping>,
    meter: &mut Meter<'_>,
) -> Result<bool> {
    let file = directory.create_file(SNAPSHOT_NAME)?;
    meter.announce(source.len());
    if !file.clone_from(source, &mut |_| meter.tell())? {
        return Ok(false);
    }
    file.sync_data(Step::NewSnapshot)?;
    match check_clone(directory, source, meter) {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        checked => checked,
    }
}

fn check_clone(
    directory: &Directory,
    source: &Arc<Mapping>,
    meter: &mut Meter<'_>,
) -> Result<bool> {
    let Some(clone) = snapshot::load(directory)? else { return Ok(false) };
    if Some(clone.header) != header_of(source) {
        return Ok(false);
    }
    meter.header(SNAPSHOT_HEADER_LEN);
    clone.for_each(|_, run| {
        meter.records(1, SNAPSHOT_ENTRY_OVERHEAD + run.key.len() + run.value.len())
    })?;
    Ok(true)
}

/// Writes record after record, each checked against the checksum it was stored with.
fn copy_records(directory: &Directory, ordered: &OrderedRun, meter: &mut Meter<'_>) -> Result<()> {
    let pins = ordered.pins();
    let mut in_snapshot = SegmentSet::default();
    let mut base = 0;
    for (segment, mapping) in snapshots(pins) {
        in_snapshot.insert(segment);
        base = base.max(header_of(mapping).map_or(0, |header| header.timestamp));
    }
    // Later than the snapshot that the records build on, whatever the clock says.
    let timestamp = Clock::resume(base).tick(Clock::now());
    let mut snapshot = SnapshotWriter::create_in_place(directory, timestamp, ordered.len())?;
    meter.header(SNAPSHOT_HEADER_LEN);
    snapshot.copy(ordered, &in_snapshot, &mut |more| meter.records(more.records, more.bytes))?;
    snapshot.complete()
}
