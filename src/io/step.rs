//! The steps that make data durable, by name.
//!
//! Every sync, every directory sync and every cut says which one it is. The real file system has
//! no use for that; the simulated one can leave a step out, and the crash explorer must then find
//! a state that breaks a promise. A step whose absence nobody notices is not tested, or useless.

/// Why a file or a directory is synced, overwritten or shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Sync of what a missing parent of the data directory was created in.
    ParentDirectory,
    /// Sync of the data directory after `quarantine/` was created in it.
    QuarantineDirectory,
    /// Sync of the data directory on opening: an earlier process may not have come to it.
    NamesAtOpen,
    /// Sync of the data directory's parent on opening an empty one.
    ParentAtOpen,
    /// Sync of the copy of what is about to be cut from a log.
    QuarantineCopy,
    /// Sync of the directory that has the copy.
    QuarantineName,
    /// Overwriting with zeros of what was copied.
    Cut,
    /// Sync of those zeros.
    CutSync,
    /// Rewriting of bytes that no mark vouches for.
    Rewrite,
    /// Sync of the log on opening, before its records are served as durable.
    LogAtOpen,
    /// Sync of the data directory after an empty log was created on opening.
    NewLogAtOpen,
    /// Sync of the data directory after an empty log took the place of one that a snapshot covers.
    NewLogAtClose,
    /// Sync of a group of writes.
    Group,
    /// Sync that the caller asked for.
    Explicit,
    /// Sync of a log without marks, before a snapshot that covers it.
    UnmarkedLog,
    /// The same of a log that a checkpoint has sealed.
    UnmarkedSealedLog,
    /// Sync of a log that is kept at close.
    KeptLog,
    /// Shortening of a log that is kept at close to its last entry.
    KeptLogEnd,
    /// Sync of that.
    KeptLogEndSync,
    /// Sync of the data directory before a log that is to be sealed gets its second name, if its first
    /// one may not be durable.
    FirstName,
    /// Sync of the data directory after a log that is to be sealed got its second name.
    SealedName,
    /// Sync of a sealed log, before the first sync of the one that continues it.
    SealedLog,
    /// Sync of the data directory, before the first sync of a log that took the name of another.
    LogName,
    /// Sync of a snapshot's content.
    Snapshot,
    /// Sync of the directory after a snapshot was renamed into force.
    SnapshotName,
    /// Sync of the report that a repair leaves beside what it wrote.
    RepairReport,
    /// Sync of the snapshot of a directory that a backup or a repair makes.
    NewSnapshot,
    /// Sync of the names in such a directory, before it gets its own.
    NewDirectoryContent,
    /// Sync of what it lies in, after it got its name.
    NewDirectoryName,
}

#[cfg(test)]
impl Step {
    /// Every step.
    pub(crate) const ALL: [Step; 29] = [
        Step::ParentDirectory,
        Step::QuarantineDirectory,
        Step::NamesAtOpen,
        Step::ParentAtOpen,
        Step::QuarantineCopy,
        Step::QuarantineName,
        Step::Cut,
        Step::CutSync,
        Step::Rewrite,
        Step::LogAtOpen,
        Step::NewLogAtOpen,
        Step::NewLogAtClose,
        Step::Group,
        Step::Explicit,
        Step::UnmarkedLog,
        Step::UnmarkedSealedLog,
        Step::KeptLog,
        Step::KeptLogEnd,
        Step::KeptLogEndSync,
        Step::FirstName,
        Step::SealedName,
        Step::SealedLog,
        Step::LogName,
        Step::Snapshot,
        Step::SnapshotName,
        Step::RepairReport,
        Step::NewSnapshot,
        Step::NewDirectoryContent,
        Step::NewDirectoryName,
    ];
}
