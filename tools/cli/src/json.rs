//! What `--json` prints. Programs rely on the names: fields may be added, none changes its meaning.
//!
//! Offsets and lengths are in bytes, times in nanoseconds of Unix time. Paths that are not UTF-8
//! have replacement characters in the places that are not.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// The version of these fields: it grows when one is removed or changes its meaning.
const SCHEMA: u32 = 1;

/// The outcome of `kvstore verify --json`.
#[derive(Serialize)]
pub(crate) struct Verification {
    schema: u32,
    directory: String,
    /// `sound`, `torn`, `unclear` or `damaged`: the worst of what was found.
    condition: &'static str,
    /// Whether the exit status is 0.
    sound: bool,
    /// Whether opening the directory is refused.
    refuses_to_open: bool,
    snapshot: Option<Snapshot>,
    /// In the order in which they are replayed.
    logs: Vec<Log>,
    findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    findings_omitted: u64,
    quarantine: Vec<QuarantinedFile>,
    /// Length of a leftover `snapshot.dat.tmp`.
    unfinished_snapshot: Option<u64>,
    /// What to do, in English.
    advice: &'static str,
}

#[derive(Serialize)]
struct Snapshot {
    path: String,
    bytes: u64,
    condition: &'static str,
    /// `null` when the header is damaged, as is `count`.
    timestamp: Option<i64>,
    count: Option<u32>,
    entries: u64,
    entries_behind: u64,
    ascending: bool,
    trailer_bytes: u64,
}

#[derive(Serialize)]
struct Log {
    path: String,
    bytes: u64,
    condition: &'static str,
    /// `replayed`, `covered`, `snapshot-missing` or `undecidable`.
    log_use: &'static str,
    /// `null` for a log of the Go store, as is `base`.
    generation: Option<u64>,
    base: Option<i64>,
    sets: u64,
    deletes: u64,
    marks: u64,
    batches: u64,
    end: u64,
    garbage: u64,
    vouched: u64,
    entries_behind: u64,
    unknown_behind: u64,
}

#[derive(Serialize)]
struct Finding {
    condition: &'static str,
    path: String,
    offset: u64,
    len: u64,
    what: String,
}

#[derive(Serialize)]
struct QuarantinedFile {
    path: String,
    /// `null` when the file cannot be opened.
    bytes: Option<u64>,
    /// Valid sets and deletes in it, which are not in the store.
    entries: u64,
}

impl Verification {
    pub(crate) fn new(found: &kvstore::Verification) -> Verification {
        Verification {
            schema: SCHEMA,
            directory: text(&found.directory),
            condition: found.condition.name(),
            sound: found.is_sound(),
            refuses_to_open: found.refuses_to_open(),
            snapshot: found.snapshot.as_ref().map(Snapshot::new),
            logs: found.logs.iter().map(Log::new).collect(),
            findings: found.findings.iter().map(Finding::new).collect(),
            findings_omitted: found.findings_omitted,
            quarantine: found.quarantine.iter().map(QuarantinedFile::new).collect(),
            unfinished_snapshot: found.unfinished_snapshot,
            advice: found.advice(),
        }
    }
}

impl Snapshot {
    fn new(check: &kvstore::SnapshotCheck) -> Snapshot {
        Snapshot {
            path: text(&check.path),
            bytes: check.bytes,
            condition: check.condition.name(),
            timestamp: check.timestamp,
            count: check.count,
            entries: check.entries,
            entries_behind: check.entries_behind,
            ascending: check.ascending,
            trailer_bytes: check.trailer_bytes,
        }
    }
}

impl Log {
    fn new(check: &kvstore::LogCheck) -> Log {
        Log {
            path: text(&check.path),
            bytes: check.bytes,
            condition: check.condition.name(),
            log_use: check.log_use.name(),
            generation: check.generation,
            base: check.base,
            sets: check.sets,
            deletes: check.deletes,
            marks: check.marks,
            batches: check.batches,
            end: check.end,
            garbage: check.garbage,
            vouched: check.vouched,
            entries_behind: check.entries_behind,
            unknown_behind: check.unknown_behind,
        }
    }
}

impl Finding {
    fn new(finding: &kvstore::Finding) -> Finding {
        Finding {
            condition: finding.condition.name(),
            path: text(&finding.path),
            offset: finding.offset,
            len: finding.len,
            what: finding.what.clone(),
        }
    }
}

impl QuarantinedFile {
    fn new(file: &kvstore::QuarantinedFile) -> QuarantinedFile {
        QuarantinedFile { path: text(&file.path), bytes: file.bytes, entries: file.entries }
    }
}

/// The outcome of `kvstore repair --json` and `kvstore salvage --json`.
#[derive(Serialize)]
pub(crate) struct Report {
    schema: u32,
    from: String,
    to: String,
    salvaged: bool,
    /// Whether the exit status is 0.
    complete: bool,
    is_prefix: bool,
    records: u64,
    applied: u64,
    applied_behind: u64,
    outdated: u64,
    /// A key in hexadecimal digits, or `null`.
    complete_up_to: Option<String>,
    left_out: Vec<LeftOut>,
    source: Verification,
}

#[derive(Serialize)]
struct LeftOut {
    path: String,
    offset: u64,
    len: u64,
    entries: u64,
    lost: bool,
    why: String,
}

impl Report {
    pub(crate) fn new(report: &kvstore::RepairReport) -> Report {
        let left_out = |left_out: &kvstore::LeftOut| LeftOut {
            path: text(&left_out.path),
            offset: left_out.offset,
            len: left_out.len,
            entries: left_out.entries,
            lost: left_out.lost,
            why: left_out.why.clone(),
        };
        let hex = |key: &Vec<u8>| key.iter().map(|byte| format!("{byte:02x}")).collect();
        Report {
            schema: SCHEMA,
            from: text(&report.from),
            to: text(&report.to),
            salvaged: report.salvaged,
            complete: report.is_complete(),
            is_prefix: report.is_prefix,
            records: report.records,
            applied: report.applied,
            applied_behind: report.applied_behind,
            outdated: report.outdated,
            complete_up_to: report.complete_up_to.as_ref().map(hex),
            left_out: report.left_out.iter().map(left_out).collect(),
            source: Verification::new(&report.source),
        }
    }
}

/// The outcome of a command that could not be carried out, with `--json`. The exit status is 2.
#[derive(Serialize)]
pub(crate) struct Failure {
    schema: u32,
    error: Cause,
}

#[derive(Serialize)]
struct Cause {
    /// The number of the error kind, as in `kvstore.h`.
    code: i32,
    message: String,
    path: Option<String>,
    offset: Option<u64>,
    /// The process that has the directory open, where that is why, and it is known.
    lock_holder: Option<u32>,
    /// The `errno` of the system call that failed.
    os_error: Option<i32>,
}

impl Failure {
    pub(crate) fn new(error: &kvstore::Error) -> Failure {
        Failure {
            schema: SCHEMA,
            error: Cause {
                code: error.kind().code(),
                message: error.to_string(),
                path: error.path().map(text),
                offset: error.offset(),
                lock_holder: error.lock_holder(),
                os_error: error.os_error(),
            },
        }
    }
}

/// The outcome of `kvstore backup --json`.
#[derive(Serialize)]
pub(crate) struct Backup {
    schema: u32,
    from: String,
    to: String,
    records: u64,
    /// Of the snapshot that was written.
    bytes: u64,
    /// Whether synced data was damaged in the log of `from`: then the exit status is 1.
    pub(crate) damaged: bool,
    /// Bytes of the log of `from`, behind its last valid entry, that are not in the backup.
    left_out: u64,
}

impl Backup {
    pub(crate) fn new(store: &kvstore::Store, to: &Path, last: &kvstore::BackupProgress) -> Backup {
        let found = store.recovery_report();
        Backup {
            schema: SCHEMA,
            from: text(store.path()),
            to: std::path::absolute(to).map_or_else(|_| text(to), |to| text(&to)),
            records: last.records_done,
            bytes: last.bytes_done,
            damaged: found.damaged,
            left_out: found.bytes_cut,
        }
    }
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Backup { from, to, records, bytes, left_out, .. } = self;
        write!(f, "{from}: {records} records, {bytes} bytes, written to {to}")?;
        if self.damaged {
            write!(
                f,
                "\nThe log is damaged, and {left_out} bytes behind the damage are not in the \
                 backup: see kvstore verify {from}"
            )?;
        } else if *left_out > 0 {
            write!(f, "\nThe log ends in a torn write of {left_out} bytes, as a crash leaves it")?;
        }
        Ok(())
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
