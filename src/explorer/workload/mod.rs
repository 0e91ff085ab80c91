//! What is done to a store while it is crashed.

mod named;
mod parts;
mod random;

pub(super) use named::named;
pub(super) use parts::sector_sized_set;
pub(super) use random::random;

use crate::io::simulated::{Image, Node};
use crate::options::{CloseCheckpoint, Durability};

/// Where the store is on the simulated disk.
pub(super) const DIRECTORY: &str = "parent/data";

/// Its log.
pub(super) const LOG: &str = "parent/data/wal.log";

/// One write.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Set(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

/// One step of a workload.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Open(Durability),
    Write(Change, Durability),
    /// Writes of several threads that share a sync; of one change, or batches.
    Group(Vec<Vec<Change>>),
    /// Changes that take effect together.
    Batch(Vec<Change>, Durability),
    Sync,
    Checkpoint,
    /// A checkpoint that comes no further than to seal the log.
    Seal,
    Close(CloseCheckpoint),
    /// The handle is dropped without close, as when the process is killed.
    Drop,
}

impl Action {
    /// What it writes: changes that take effect together, and then others.
    pub(super) fn steps(&self) -> Vec<&[Change]> {
        match self {
            Action::Write(change, _) => vec![std::slice::from_ref(change)],
            Action::Group(steps) => steps.iter().map(Vec::as_slice).collect(),
            Action::Batch(changes, _) => vec![changes],
            _ => Vec::new(),
        }
    }

    /// Whether everything that was written is on the disk once it has returned.
    pub(super) fn is_durable(&self) -> bool {
        match self {
            Action::Open(durability)
            | Action::Write(_, durability)
            | Action::Batch(_, durability) => *durability == Durability::Sync,
            Action::Group(_) | Action::Sync | Action::Checkpoint | Action::Close(_) => true,
            Action::Seal | Action::Drop => false,
        }
    }
}

/// A sequence of actions on a disk that has something on it already.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) initial: Image,
    pub(super) actions: Vec<Action>,
}

/// A disk with `content` where the store is.
pub(super) fn in_directory(content: Image) -> Image {
    DIRECTORY
        .rsplit('/')
        .fold(content, |image, name| Image([(name.to_owned(), Node::Directory(image))].into()))
}
