//! What was found, for people.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::report::{Condition, LogCheck, LogUse, SnapshotCheck, Verification};

/// Findings that are shown; the rest is counted.
const SHOWN: usize = 20;

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Verification {
    /// Several lines, the last without a line break.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.directory.display(), self.condition)?;
        match &self.snapshot {
            Some(snapshot) => writeln!(f, "  {snapshot}")?,
            None => writeln!(f, "  no snapshot.dat")?,
        }
        for log in &self.logs {
            writeln!(f, "  {log}")?;
        }
        if let Some(bytes) = self.unfinished_snapshot {
            writeln!(f, "  snapshot.dat.tmp: {bytes} bytes, unfinished; the next open removes it")?;
        }
        for file in &self.quarantine {
            write!(f, "  quarantine/{}: ", name(&file.path))?;
            match file.bytes {
                Some(bytes) => writeln!(
                    f,
                    "{bytes} bytes that an earlier open cut from a log, {} valid sets and deletes \
                     among them",
                    file.entries
                )?,
                None => writeln!(f, "cannot be opened")?,
            }
        }
        self.write_findings(f)?;
        write!(f, "what to do: {}", self.advice())
    }
}

impl Verification {
    fn write_findings(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for finding in self.findings.iter().take(SHOWN) {
            let (path, offset) = (finding.path.display(), finding.offset);
            write!(f, "{}: {path} at offset {offset}", finding.condition)?;
            if finding.len > 0 {
                write!(f, ", {} bytes", finding.len)?;
            }
            writeln!(f, ": {}", finding.what)?;
        }
        let more = self.findings.len().saturating_sub(SHOWN) as u64 + self.findings_omitted;
        if more > 0 {
            writeln!(f, "and {more} more places")?;
        }
        Ok(())
    }

    fn has_entries(&self) -> bool {
        self.logs.iter().any(|log| log.sets + log.deletes > 0)
    }

    /// What the user can do about it: one sentence, or two.
    pub fn advice(&self) -> &'static str {
        match self.condition {
            Condition::Sound if self.quarantine.iter().any(|file| file.entries > 0) => {
                "nothing with the store. What lies in quarantine/ is not in it: if power failed amid \
                 writes that were not synced, that is as it should be; if not, a log was damaged, and \
                 what had been written is missing. Restore a backup, or see what can be salvaged: \
                 copy a file from there to an empty directory as wal.log, and salvage that."
            }
            // A clean close leaves an empty log, so that nothing tells of a snapshot that is gone.
            Condition::Sound if self.snapshot.is_none() && !self.has_entries() => {
                "nothing, if nothing was ever written here. If something was, snapshot.dat is gone: \
                 restore a backup."
            }
            Condition::Sound => "nothing.",
            Condition::Torn => {
                "open it; the torn end of the log, which no mark vouches for, is then moved to \
                 quarantine/."
            }
            Condition::Unclear => {
                "if power failed amid writes that were not synced, open it: it keeps what is \
                 before, and moves the rest to quarantine/. If not, copy the directory first, and \
                 restore a backup, or salvage what lies behind into a new directory."
            }
            Condition::Damaged if self.refuses_to_open() => {
                "opening it is refused. Restore a backup; or repair it into a new directory, which \
                 keeps what is consistent, or salvage it, which keeps whatever can be read. Check \
                 the disk and the memory of the machine."
            }
            Condition::Damaged => {
                "opening it keeps what is before the damage and moves the rest to quarantine/. \
                 Restore a backup; or repair it into a new directory, which keeps the same, or \
                 salvage it, which also keeps what lies behind. Check the disk and the memory of \
                 the machine."
            }
        }
    }
}

impl Display for SnapshotCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let SnapshotCheck { bytes, entries, entries_behind, .. } = self;
        write!(f, "{}: {}, {bytes} bytes, ", name(&self.path), self.condition)?;
        match (self.condition, self.count) {
            (Condition::Sound, _) => write!(f, "{entries} entries")?,
            (_, Some(count)) => write!(
                f,
                "{entries} of {count} entries before the first damage, {entries_behind} behind it"
            )?,
            (_, None) => write!(
                f,
                "{entries} entries before the first damage behind the header, {entries_behind} \
                 behind that"
            )?,
        }
        if self.ascending {
            f.write_str(", in order of key")?;
        }
        if self.trailer_bytes > 0 {
            write!(f, "; {} bytes behind them are ignored", self.trailer_bytes)?;
        }
        Ok(())
    }
}

impl Display for LogCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let LogCheck { bytes, sets, deletes, marks, end, .. } = self;
        write!(f, "{}: {}, {bytes} bytes, ", name(&self.path), self.condition)?;
        write!(f, "{sets} sets, {deletes} deletes and {marks} marks up to offset {end}")?;
        f.write_str(match self.log_use {
            LogUse::Replayed => "",
            LogUse::Covered => "; the snapshot has all of it",
            LogUse::SnapshotMissing => "; it builds on a snapshot that is missing",
            LogUse::Undecidable => "; whether it builds on the snapshot cannot be told",
            LogUse::Broken => "; something is missing before it",
            LogUse::SecondName => "; it is wal.log under a second name",
        })
    }
}

fn name(path: &Path) -> String {
    // As a terminal can show it, whatever somebody has put into a name.
    path.file_name().unwrap_or_default().to_string_lossy().escape_debug().to_string()
}
