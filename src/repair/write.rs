//! Writing what was merged to the new directory.

use super::merge::Merge;
use super::report::RepairReport;
use crate::commit::Clock;
use crate::error::Result;
use crate::io::{Directory, Step};
use crate::new_directory::NewDirectory;
use crate::snapshot::SnapshotWriter;
use crate::verify::Ticker;

/// The report that a repair leaves in the directory.
const REPAIRED_NAME: &str = "REPAIRED.txt";

/// The same of a salvage: what says that this is no prefix goes with the data.
const SALVAGED_NAME: &str = "SALVAGED.txt";

/// Writes the records and the report, and puts the directory in its place.
pub(super) fn write(
    target: NewDirectory,
    merge: Merge,
    report: &RepairReport,
    ticker: &mut Ticker<'_>,
) -> Result<()> {
    let name = if report.salvaged { SALVAGED_NAME } else { REPAIRED_NAME };
    let directory = target.directory();
    let file = directory.create_file(name)?;
    file.write_all_at(format!("{report}\n").as_bytes(), 0)?;
    file.sync_data(Step::RepairReport)?;
    write_snapshot(directory, merge, ticker)?;
    target.finish()
}

fn write_snapshot(directory: &Directory, merge: Merge, ticker: &mut Ticker<'_>) -> Result<()> {
    // Later than all that was read, so that timestamps do not go back in the new directory.
    let timestamp = Clock::resume(merge.latest).tick(Clock::now());
    let (ordered, snapshots) = merge.sort()?;
    ticker.begin_records("writing", directory.path(), ordered.len() as u64);
    let mut snapshot = SnapshotWriter::create_in_place(directory, timestamp, ordered.len())?;
    let mut position = 0;
    snapshot.copy(&ordered, &snapshots, &mut |more| {
        position += more.records;
        ticker.reached(position)
    })?;
    snapshot.complete()?;
    // Also of few records: the last time that nothing need be left.
    ticker.end()
}
