//! What repairing or salvaging did.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use crate::verify::Verification;

/// Bytes that were not used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The file that they are in.
    pub path: PathBuf,
    /// Offset of the first of them.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Valid entries among them, which [`salvage`](crate::salvage) would keep.
    pub entries: u64,
    /// Whether data may be lost by it. It is not where a crash tore the last write, and where the
    /// snapshot has everything that is in them.
    pub lost: bool,
    /// Why.
    pub why: String,
}

/// What [`repair`](crate::repair) or [`salvage`](crate::salvage) did. Its `Display` is the text of
/// the file that they leave in the new directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// The directory that was read.
    pub from: PathBuf,
    /// The directory that was written.
    pub to: PathBuf,
    /// Whether everything readable was wanted, rather than what is consistent.
    pub salvaged: bool,
    /// Whether what was written is the state that the store had after some prefix of its writes.
    pub is_prefix: bool,
    /// Records in the new directory.
    pub records: u64,
    /// Entries of snapshot and logs that were applied.
    pub applied: u64,
    /// How many of them lay behind damage.
    pub applied_behind: u64,
    /// Valid entries behind damage in a log that were not applied, since the snapshot is newer.
    pub outdated: u64,
    /// With a damaged snapshot whose entries are in order: the last key up to which no record is
    /// missing. `None` in all other cases.
    pub complete_up_to: Option<Vec<u8>>,
    /// What was not used, file by file.
    pub left_out: Vec<LeftOut>,
    /// What checking the directory that was read found.
    pub source: Verification,
}

impl RepairReport {
    /// Whether nothing was lost that the directory once had, as far as can be told.
    pub fn is_complete(&self) -> bool {
        self.is_prefix && !self.left_out.iter().any(|left_out| left_out.lost)
    }

    /// What the new directory holds, in a sentence or two.
    fn summary(&self) -> &'static str {
        match (self.salvaged, self.is_prefix, self.is_complete()) {
            (_, true, true) => "It is complete: nothing that was there is missing.",
            (_, true, false) => {
                "It is the state that the store had at some earlier instant: later writes are \
                 missing, nothing else."
            }
            (false, false, _) => {
                "It is NOT a state that the store ever had: the snapshot was damaged, and records \
                 are missing. Those that are there have the last value that could be read before \
                 any damage in a log."
            }
            (true, false, _) => {
                "It is NOT a state that the store ever had: records may be missing, may have an \
                 older value than the last one, and may be back although they were deleted."
            }
        }
    }
}

impl Display for RepairReport {
    /// Several lines, the last without a line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verb = if self.salvaged { "salvaged" } else { "repaired" };
        let (from, to) = (self.from.display(), self.to.display());
        writeln!(f, "{verb}: {} records from {from} into {to}", self.records)?;
        writeln!(f, "{}", self.summary())?;
        writeln!(
            f,
            "applied: {} entries, {} of them from behind damage",
            self.applied, self.applied_behind
        )?;
        if self.outdated > 0 {
            writeln!(f, "not applied: {} entries that the snapshot supersedes", self.outdated)?;
        }
        if let Some(key) = &self.complete_up_to {
            writeln!(f, "no record is missing up to the key \"{}\"", key.escape_ascii())?;
        }
        for LeftOut { path, offset, len, entries, why, .. } in &self.left_out {
            let path = path.display();
            writeln!(f, "left out: {path} at offset {offset}, {len} bytes: {why}")?;
            if *entries > 0 && !self.salvaged {
                writeln!(f, "  {entries} valid entries in it would be kept by a salvage")?;
            }
        }
        write!(f, "the directory it was made from was not changed; what was found in it:\n\n")?;
        write!(f, "{}", self.source)
    }
}
