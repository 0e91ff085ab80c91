//! The snapshot file: every record of one instant, in ascending order of key.
//!
//! It is written beside the one in force and takes its place by a rename, so there is always one
//! whole snapshot. Reading it checks every byte; a damaged snapshot is an error, never a guess.

mod blocks;
mod copy;
mod read;
mod shares;
mod write;

pub(crate) use copy::Note;
#[cfg(all(test, loom))]
pub(crate) use copy::{Amount, MOST};
pub(crate) use read::load;
#[cfg(all(test, loom))]
pub(crate) use shares::{Report, Shares};
pub(crate) use write::{DurableSnapshot, SnapshotWriter, WrittenSnapshot};

/// The snapshot in force.
pub(crate) const SNAPSHOT_NAME: &str = "snapshot.dat";

/// A snapshot that is being written, or was when a process died; never read.
pub(crate) const UNFINISHED_NAME: &str = "snapshot.dat.tmp";
