//! What checking a directory found.

use std::path::PathBuf;

use crate::record::{Continues, Mark};

/// How a file or a whole directory was found, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u32)]
#[non_exhaustive]
pub enum Condition {
    /// Every byte is as it was written.
    #[default]
    Sound = 0,
    /// The log ends in the middle of an entry, as a crash leaves it. No valid entry lies behind
    /// that, and no mark vouches for what was lost: the next open cuts it off, and that is all.
    Torn = 1,
    /// Valid entries lie behind the place where the log stops decoding, but no mark vouches that
    /// they had reached the disk. Power loss can leave that of writes that were never synced, and
    /// so can damage. The next open moves them to `quarantine/`.
    Unclear = 2,
    /// What had been written durably is not what is there now.
    Damaged = 3,
}

impl Condition {
    /// One word for it: `sound`, `torn`, `unclear` or `damaged`. It never changes.
    ///
    /// ```
    /// assert_eq!(kvstore::Condition::Torn.name(), "torn");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Condition::Sound => "sound",
            Condition::Torn => "torn",
            Condition::Unclear => "unclear",
            Condition::Damaged => "damaged",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub condition: Condition,
    /// The file.
    pub path: PathBuf,
    /// Offset in the file of the first byte concerned.
    pub offset: u64,
    /// How many bytes are concerned, 0 where something is missing.
    pub len: u64,
    /// What is wrong there.
    pub what: String,
}

/// What checking a snapshot found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SnapshotCheck {
    /// `snapshot.dat`.
    pub path: PathBuf,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// [`Condition::Sound`] or [`Condition::Damaged`].
    pub condition: Condition,
    /// When it was written, Unix time in nanoseconds; `None` when the header is damaged.
    pub timestamp: Option<i64>,
    /// How many entries the header counts; `None` when it is damaged.
    pub count: Option<u32>,
    /// Valid entries before the first damage: all of them when there is none.
    pub entries: u64,
    /// Valid entries found behind the first damage.
    pub entries_behind: u64,
    /// Whether the valid entries are in ascending order of key, as this library writes them; the
    /// Go store writes them in any order, which is no fault.
    pub ascending: bool,
    /// Bytes behind the last entry. They are ignored: newer versions may write a trailer there.
    pub trailer_bytes: u64,
    /// What the damaged header says.
    pub(crate) stated_timestamp: i64,
    /// The last key before the first damage.
    pub(crate) last_key: Option<Vec<u8>>,
}

/// What opening the directory does with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LogUse {
    /// It is replayed onto the snapshot, or onto nothing.
    #[default]
    Replayed,
    /// The snapshot has everything that is in it; it is not replayed.
    Covered,
    /// It builds on a snapshot that is missing; opening is refused.
    SnapshotMissing,
    /// The snapshot's header is damaged, so that nobody can tell; opening is refused.
    Undecidable,
    /// It continues a sealed log of which something is missing; opening moves it to `quarantine/`.
    Broken,
    /// A sealed log that is `wal.log` under another name, since a process died while it sealed it;
    /// opening removes that name.
    SecondName,
}

impl LogUse {
    /// One word for it: `replayed`, `covered`, `snapshot-missing`, `undecidable`, `broken` or
    /// `second-name`. It never changes.
    pub fn name(self) -> &'static str {
        match self {
            LogUse::Replayed => "replayed",
            LogUse::Covered => "covered",
            LogUse::SnapshotMissing => "snapshot-missing",
            LogUse::Undecidable => "undecidable",
            LogUse::Broken => "broken",
            LogUse::SecondName => "second-name",
        }
    }
}

/// What checking a log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogCheck {
    /// `wal.log`, or a sealed log.
    pub path: PathBuf,
    /// Length of the file in bytes, preallocated zeros included.
    pub bytes: u64,
    /// How its end was found.
    pub condition: Condition,
    /// What opening does with it.
    pub log_use: LogUse,
    /// The generation that the mark which opens it names; `None` for a log of the Go store.
    pub generation: Option<u64>,
    /// The timestamp of the snapshot that it builds on, 0 for none; `None` as above.
    pub base: Option<i64>,
    /// Valid sets before the end.
    pub sets: u64,
    /// Valid deletes before the end.
    pub deletes: u64,
    /// Valid marks before the end, and other entries that change nothing.
    pub marks: u64,
    /// Valid batches before the end; their sets and deletes are counted as such.
    pub batches: u64,
    /// Offset of the first byte that belongs to no valid entry.
    pub end: u64,
    /// Bytes from there on that are not part of the zeros which end the file.
    pub garbage: u64,
    /// A mark behind the end vouches that every byte before this offset had reached the disk; 0
    /// when there is none.
    pub vouched: u64,
    /// Valid sets and deletes found behind the end.
    pub entries_behind: u64,
    /// Valid entries behind the end with an operation that this version does not know.
    pub unknown_behind: u64,
    /// Those of `entries_behind` that belong to a batch which is not whole, with which the garbage
    /// begins: a crash can have left any of them.
    pub(crate) in_torn_batch: u64,
    /// The mark that opens it.
    pub(crate) opening: Option<Mark>,
    /// The sealed log that it continues.
    pub(crate) continues: Option<Continues>,
    /// Offset of its last mark, also behind the end.
    pub(crate) last_mark: u64,
    /// The latest timestamp before the end.
    pub(crate) latest: i64,
    /// The latest timestamp anywhere.
    pub(crate) latest_anywhere: i64,
    /// The first mark found anywhere.
    pub(crate) first_mark: Option<Mark>,
}

/// A file in `quarantine/`: bytes that an earlier open cut from a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantinedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes; `None` when it cannot be opened.
    pub bytes: Option<u64>,
    /// Valid sets and deletes among them. They are not in the store: if the log was damaged, something
    /// that had been written durably is missing.
    pub entries: u64,
}

/// What [`verify`](crate::verify) found. Its `Display` is a report for people, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verification {
    /// The directory, as an absolute path without symbolic links.
    pub directory: PathBuf,
    /// The worst of what was found.
    pub condition: Condition,
    /// The snapshot, if there is one.
    pub snapshot: Option<SnapshotCheck>,
    /// The logs in the order of their entries: sealed ones, then `wal.log`.
    pub logs: Vec<LogCheck>,
    /// Everything that is wrong, file by file, in order of offset.
    pub findings: Vec<Finding>,
    /// Findings beyond the first thousand, which are counted only.
    pub findings_omitted: u64,
    /// What lies in `quarantine/`, in order of name. It is no fault of the store as it is.
    pub quarantine: Vec<QuarantinedFile>,
    /// Length in bytes of an unfinished `snapshot.dat.tmp`, which the next open removes.
    pub unfinished_snapshot: Option<u64>,
}

/// Findings that are listed.
const LISTED: usize = 1000;

impl Verification {
    /// Whether opening the directory brings back everything that can be read in it:
    /// [`Condition::Sound`] or [`Condition::Torn`].
    pub fn is_sound(&self) -> bool {
        self.condition <= Condition::Torn
    }

    /// Whether opening the directory is refused.
    pub fn refuses_to_open(&self) -> bool {
        let refused = |log: &LogCheck| log.log_use == LogUse::SnapshotMissing;
        self.is_snapshot_damaged() || self.logs.iter().any(refused)
    }

    pub(crate) fn is_snapshot_damaged(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.condition != Condition::Sound)
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.condition = self.condition.max(finding.condition);
        if self.findings.len() < LISTED {
            self.findings.push(finding);
        } else {
            self.findings_omitted += 1;
        }
    }
}
