//! What happened on a disk, in order.

use std::sync::Arc;

use super::SECTOR;
use super::image::Image;

/// The number of a file or directory of a disk.
pub(super) type NodeId = usize;

/// The content of a sector.
pub(super) type Sector = Arc<[u8; SECTOR]>;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Sectors of a file changed in the cache, by number.
    Stored {
        file: NodeId,
        sectors: Vec<(usize, Sector)>,
    },
    Length {
        file: NodeId,
        len: u64,
    },
    Synced {
        node: NodeId,
    },
    /// A sync failed: what it covered stays in doubt.
    SyncFailed {
        node: NodeId,
    },
    Created {
        directory: NodeId,
        name: String,
        node: NodeId,
        is_directory: bool,
    },
    /// A file got a second name.
    Linked {
        directory: NodeId,
        name: String,
        node: NodeId,
    },
    Renamed {
        directory: NodeId,
        from: String,
        to: String,
    },
    Removed {
        directory: NodeId,
        name: String,
    },
}

/// What was on the disk at first, and what has happened since.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(super) initial: Image,
    pub(super) events: Vec<Event>,
}

impl Trace {
    /// How many things have happened.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}
