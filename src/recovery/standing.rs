//! What a log is to the snapshot beside it.

use crate::error::Result;
use crate::record::{Continues, Mark};

/// What is to be done with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is replayed over the snapshot.
    Replayed,
    /// The snapshot has all of it.
    Covered,
    /// It builds on a snapshot that is missing, or newer than the one there is: to replay it onto
    /// less would lose what is missing.
    SnapshotMissing,
}

impl Standing {
    /// Whether a snapshot of time `snapshot` has all of the sealed log of `generation`: a snapshot
    /// is of the instant at which a log is sealed, or of a close, so it is later than the beginning
    /// of every log that it has, and earlier than that of the others.
    pub(crate) fn is_covered(generation: u64, snapshot: Option<i64>) -> bool {
        snapshot.is_some_and(|snapshot| i128::from(generation) < i128::from(snapshot))
    }

    /// For the sealed log of `generation`, as [`of`](Standing::of).
    pub(crate) fn of_sealed(
        generation: u64,
        opening: Option<Mark>,
        snapshot: Option<i64>,
    ) -> Standing {
        let base = opening.map(|mark| mark.base);
        match (base, snapshot) {
            _ if Standing::is_covered(generation, snapshot) => Standing::Covered,
            (Some(base), Some(snapshot)) if base > snapshot => Standing::SnapshotMissing,
            (Some(base), None) if base != 0 => Standing::SnapshotMissing,
            _ => Standing::Replayed,
        }
    }

    /// For a log that `opening` opens, if a mark does, beside a snapshot of time `snapshot`, if
    /// there is one. `latest` tells when the log's latest entry was written.
    pub(crate) fn of(
        opening: Option<Mark>,
        snapshot: Option<i64>,
        latest: impl FnOnce() -> Result<i64>,
    ) -> Result<Standing> {
        // The Go store knows no marks, and begins a log with each snapshot.
        let Some(Mark { base, .. }) = opening else { return Ok(Standing::Replayed) };
        let Some(snapshot) = snapshot else {
            return Ok(if base == 0 { Standing::Replayed } else { Standing::SnapshotMissing });
        };
        if base > snapshot {
            return Ok(Standing::SnapshotMissing);
        }
        // Entries newer than the snapshot come from a program that does not know marks; the whole
        // log can be replayed over the snapshot, since it begins before it.
        let covered = base < snapshot && latest()? <= snapshot;
        Ok(if covered { Standing::Covered } else { Standing::Replayed })
    }
}

/// The log before another one, of those that are replayed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preceding {
    /// The generation in its name.
    pub(crate) generation: Option<u64>,
    /// Bytes of valid entries.
    pub(crate) end: u64,
    /// Whether something that is no valid entry lies behind them.
    pub(crate) has_garbage: bool,
}

impl Preceding {
    /// Whether it is the log that another one says it continues.
    fn is_continued(&self, continues: Continues) -> bool {
        self.generation == Some(continues.generation)
    }
}

/// How many bytes are there of the log that another one, which comes after `before`, says it
/// continues.
pub(crate) fn bytes_there(continues: Continues, before: Option<Preceding>) -> u64 {
    before.filter(|before| before.is_continued(continues)).map_or(0, |before| before.end)
}

/// Whether a log that says so goes on where the one before it ends, beside a snapshot of time
/// `snapshot`. If it does not, something is missing between them.
pub(crate) fn goes_on(
    continues: Option<Continues>,
    before: Option<Preceding>,
    snapshot: Option<i64>,
) -> bool {
    let Some(continues) = continues else {
        // Only a log without entries says nothing, and one that another program has put here.
        return before.is_none_or(|before| !before.has_garbage);
    };
    Standing::is_covered(continues.generation, snapshot)
        || before
            .is_some_and(|before| before.is_continued(continues) && before.end >= continues.end)
}
