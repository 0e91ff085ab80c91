//! Checking a directory, and making one that opens out of a damaged one: the report handle.

use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use crate::{Condition, Finding, RepairReport, Verification};

use super::arguments::{Out, handle, path_of};
use super::boundary::{Failure, boundary, shielded};
use super::error::{KVSTORE_OFFSET_NONE, Text, boxed, kvstore_error};
use super::stats::{SizedOut, lent};
use super::status::{KVSTORE_DONE, KVSTORE_OK, kvstore_status};

/// Every byte is as it was written.
pub const KVSTORE_CONDITION_SOUND: u32 = 0;
/// The log ends in a torn write, as after a crash.
pub const KVSTORE_CONDITION_TORN: u32 = 1;
/// Valid entries behind a place that is not; see the text.
pub const KVSTORE_CONDITION_UNCLEAR: u32 = 2;
/// What had been written durably is not there now.
pub const KVSTORE_CONDITION_DAMAGED: u32 = 3;

// The engine's conditions are these numbers: a change to one side does not compile.
const _: () = {
    assert!(KVSTORE_CONDITION_SOUND == Condition::Sound as u32);
    assert!(KVSTORE_CONDITION_TORN == Condition::Torn as u32);
    assert!(KVSTORE_CONDITION_UNCLEAR == Condition::Unclear as u32);
    assert!(KVSTORE_CONDITION_DAMAGED == Condition::Damaged as u32);
};

/// What kvstore_verify(), kvstore_repair() or kvstore_salvage() found and did. It belongs to the
/// caller, who frees it with kvstore_report_free(), and may be read from any thread.
pub struct kvstore_report {
    text: Text,
    findings: Vec<LentFinding>,
    info: kvstore_report_info,
}

/// A finding, with strings that C can be lent.
struct LentFinding {
    condition: Condition,
    path: Option<Text>,
    offset: u64,
    len: u64,
    what: Option<Text>,
}

impl LentFinding {
    fn of(finding: &Finding) -> LentFinding {
        let Finding { condition, offset, len, .. } = *finding;
        let path = Text::of_bytes(finding.path.as_os_str().as_bytes());
        LentFinding { condition, path, offset, len, what: Text::of_bytes(finding.what.as_bytes()) }
    }
}

/// The figures of a report, filled by kvstore_report_figures().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_report_info {
    /// In: sizeof(kvstore_report_info). Out: how much of it this library fills; the rest is 0.
    pub struct_size: usize,
    /// The worst of what was found in the directory that was read: KVSTORE_CONDITION_*.
    pub condition: u64,
    /// 1 if opening that directory is refused.
    pub refuses_to_open: u64,
    /// How many places are damaged or torn.
    pub findings: u64,
    /// The file with the first of them, or NULL. The string belongs to the report.
    pub first_path: *const c_char,
    /// The offset of that in the file, or KVSTORE_OFFSET_NONE.
    pub first_offset: u64,
    /// Valid entries before damage: those of the snapshot, and the sets and deletes of the logs.
    pub entries: u64,
    /// Valid entries behind damage.
    pub entries_behind: u64,
    /// Records in the directory that was written; 0 after kvstore_verify().
    pub records: u64,
    /// 1 if nothing is missing from the directory that was written; 0 after kvstore_verify().
    pub complete: u64,
    /// 1 if it is the state after some prefix of the writes; 0 after kvstore_verify().
    pub is_prefix: u64,
    /// Valid sets and deletes in quarantine/, where opening has moved what it cut from a log. They are
    /// not in the store.
    pub quarantine_entries: u64,
}

/// A place that is damaged or torn, filled by kvstore_report_finding().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvstore_finding_info {
    /// In: sizeof(kvstore_finding_info). Out: how much of it this library fills; the rest is 0.
    pub struct_size: usize,
    /// KVSTORE_CONDITION_*.
    pub condition: u64,
    /// The file. The string belongs to the report.
    pub path: *const c_char,
    /// Where in the file it begins.
    pub offset: u64,
    /// How many bytes it has, or 0 where that cannot be told.
    pub len: u64,
    /// What is wrong there, for people. The string belongs to the report.
    pub what: *const c_char,
}

const _: () = {
    assert!(size_of::<kvstore_report_info>() == 96 && align_of::<kvstore_report_info>() == 8);
    assert!(size_of::<kvstore_finding_info>() == 48 && align_of::<kvstore_finding_info>() == 8);
};

/// The sizes that the structs had when they were first published.
const FIRST_INFO: usize = 88;
const FIRST_FINDING: usize = 48;

impl kvstore_report {
    fn of_verification(found: &Verification) -> Result<*mut kvstore_report, Failure> {
        kvstore_report::new(found, found.to_string(), |_| {})
    }

    fn of_repair(report: &RepairReport) -> Result<*mut kvstore_report, Failure> {
        kvstore_report::new(&report.source, report.to_string(), |info| {
            info.records = report.records;
            info.complete = u64::from(report.is_complete());
            info.is_prefix = u64::from(report.is_prefix);
        })
    }

    fn new(
        found: &Verification,
        text: String,
        add: impl FnOnce(&mut kvstore_report_info),
    ) -> Result<*mut kvstore_report, Failure> {
        let refused = |bytes| Failure::OutOfMemory { bytes };
        let first = found.findings.first();
        let mut findings = Vec::new();
        let bytes = found.findings.len() * size_of::<LentFinding>();
        findings.try_reserve_exact(found.findings.len()).map_err(|_| refused(bytes))?;
        findings.extend(found.findings.iter().map(LentFinding::of));
        let mut info = kvstore_report_info {
            struct_size: 0,
            condition: found.condition as u64,
            refuses_to_open: u64::from(found.refuses_to_open()),
            findings: found.findings.len() as u64 + found.findings_omitted,
            first_path: ptr::null(),
            first_offset: first.map_or(KVSTORE_OFFSET_NONE, |first| first.offset),
            entries: found.logs.iter().map(|log| log.sets + log.deletes).sum(),
            entries_behind: found.logs.iter().map(|log| log.entries_behind).sum(),
            records: 0,
            complete: 0,
            is_prefix: 0,
            quarantine_entries: found.quarantine.iter().map(|file| file.entries).sum(),
        };
        if let Some(snapshot) = &found.snapshot {
            info.entries += snapshot.entries;
            info.entries_behind += snapshot.entries_behind;
        }
        add(&mut info);
        let text = Text::of_bytes(text.as_bytes()).ok_or_else(|| refused(text.len()))?;
        let report = boxed(kvstore_report { text, findings, info });
        if report.is_null() { Err(refused(size_of::<kvstore_report>())) } else { Ok(report) }
    }
}

const NO_OUT: &str = "out is NULL; pass the address of a kvstore_report *";
const NO_DIRECTORY: &str = "directory is NULL or empty; pass the path of a directory";
const NO_FROM: &str = "from is NULL or empty; pass the path of the damaged directory";
const NO_TO: &str = "to is NULL or empty; pass the path of a directory that does not exist yet";

/// Checks every byte of the store in a directory, and changes nothing there. *out becomes the
/// report, which kvstore_report_free() frees, or NULL.
///
///     kvstore_report *report;
///     kvstore_report_info info = { .struct_size = sizeof info };
///     if (kvstore_verify("data", &report, &error) == KVSTORE_OK &&
///         kvstore_report_figures(report, &info, &error) == KVSTORE_OK &&
///         info.condition > KVSTORE_CONDITION_TORN)
///         puts(kvstore_report_text(report));
///     kvstore_report_free(report);
///
/// Damage is no error of this function: KVSTORE_OK, and the report tells. An error says why it
/// could not be checked: KVSTORE_ERR_LOCKED while a writer has the directory open;
/// KVSTORE_ERR_IO when a file cannot be read; KVSTORE_ERR_UNSUPPORTED when a newer version wrote
/// it; KVSTORE_ERR_INVALID_ARGUMENT, also when there is no store in it; KVSTORE_ERR_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_verify(
    directory: *const c_char,
    out: *mut *mut kvstore_report,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, ptr::null_mut(), NO_OUT) };
    let body = || {
        out.require()?;
        // SAFETY: the rule for strings, kept by the caller.
        let directory = unsafe { path_of(directory, NO_DIRECTORY) }?;
        out.set(kvstore_report::of_verification(&crate::verify(directory)?)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Writes what is consistent in the store in the directory from to the directory to, which must not
/// exist or be empty, and then opens like any other. from is not changed.
///
/// Of logs it keeps what kvstore_open() keeps: everything before the first entry that is not valid.
/// Of a damaged snapshot, with which kvstore_open() is KVSTORE_ERR_CORRUPT, it keeps the entries
/// before the damage, and the logs on top of them: nothing in it is older than what was written, but
/// records are missing. The report says what, also in the file REPAIRED.txt in the directory.
///
/// KVSTORE_OK, and *out is the report; the errors of kvstore_verify(); KVSTORE_ERR_INVALID_ARGUMENT
/// when to is not empty or lies in from; KVSTORE_ERR_NO_SPACE. After an error nothing of it
/// is left in to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_repair(
    from: *const c_char,
    to: *const c_char,
    out: *mut *mut kvstore_report,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, ptr::null_mut(), NO_OUT) };
    let body = || {
        out.require()?;
        // SAFETY: the rule for strings, kept by the caller.
        let (from, to) = unsafe { (path_of(from, NO_FROM)?, path_of(to, NO_TO)?) };
        out.set(kvstore_report::of_repair(&crate::repair(from, to)?)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Like kvstore_repair(), but writes whatever can be read, also from behind damage. What comes of it
/// is not a state that the store ever had: records may be missing, may have an older value than the
/// last one, and may be back although they were deleted. SALVAGED.txt in the directory says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_salvage(
    from: *const c_char,
    to: *const c_char,
    out: *mut *mut kvstore_report,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    // SAFETY: the rule for outputs, kept by the caller.
    let out = unsafe { Out::new(out, ptr::null_mut(), NO_OUT) };
    let body = || {
        out.require()?;
        // SAFETY: the rule for strings, kept by the caller.
        let (from, to) = unsafe { (path_of(from, NO_FROM)?, path_of(to, NO_TO)?) };
        out.set(kvstore_report::of_repair(&crate::salvage(from, to)?)?);
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// The report for people: several lines of UTF-8 text, with what to do. Never NULL: "no report" for
/// NULL. The string belongs to the report.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_report_text(report: *const kvstore_report) -> *const c_char {
    // SAFETY: the rule for handles, kept by the caller; NULL is allowed.
    let report = unsafe { report.as_ref() };
    report.map_or(c"no report".as_ptr(), |report| report.text.as_ptr())
}

/// Fills *out with the figures of a report. Set out->struct_size first.
///
/// KVSTORE_OK or KVSTORE_ERR_INVALID_ARGUMENT. An error sets all fields but struct_size to 0; only
/// if struct_size cannot be right, nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_report_figures(
    report: *const kvstore_report,
    out: *mut kvstore_report_info,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for outputs, kept by the caller.
        let out = unsafe { SizedOut::new(out, FIRST_INFO, "kvstore_report_info") };
        // SAFETY: the rule for handles, kept by the caller.
        let report = unsafe { handle(report, NO_REPORT) };
        out.fill(|struct_size| {
            let report = report?;
            let first_path = report.findings.first().map_or(ptr::null(), |first| lent(&first.path));
            Ok(kvstore_report_info { struct_size, first_path, ..report.info })
        })?;
        Ok(KVSTORE_OK)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

const NO_REPORT: &str = "report is NULL; pass what kvstore_verify() made";

/// Fills *out with one of the places that are damaged or torn: index counts them from 0, file by file
/// in order of offset. Set out->struct_size first.
///
///     kvstore_finding_info found = { .struct_size = sizeof found };
///     for (size_t i = 0; kvstore_report_finding(report, i, &found, NULL) == KVSTORE_OK; i++)
///         printf("%s at %llu: %s\n", found.path, (unsigned long long)found.offset, found.what);
///
/// KVSTORE_OK; KVSTORE_DONE behind the last one, or the thousandth, beyond which they are counted
/// only; or KVSTORE_ERR_INVALID_ARGUMENT. After anything but KVSTORE_OK all fields but struct_size are
/// 0; only if struct_size cannot be right, nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_report_finding(
    report: *const kvstore_report,
    index: usize,
    out: *mut kvstore_finding_info,
    error: *mut *mut kvstore_error,
) -> kvstore_status {
    let body = || {
        // SAFETY: the rule for outputs, kept by the caller.
        let out = unsafe { SizedOut::new(out, FIRST_FINDING, "kvstore_finding_info") };
        // SAFETY: the rule for handles, kept by the caller.
        let report = unsafe { handle(report, NO_REPORT) };
        let mut status = KVSTORE_OK;
        out.fill(|struct_size| {
            let Some(found) = report?.findings.get(index) else {
                status = KVSTORE_DONE;
                let (path, what) = (ptr::null(), ptr::null());
                let (condition, offset, len) = (0, 0, 0);
                return Ok(kvstore_finding_info {
                    struct_size,
                    condition,
                    path,
                    offset,
                    len,
                    what,
                });
            };
            Ok(kvstore_finding_info {
                struct_size,
                condition: found.condition as u64,
                path: lent(&found.path),
                offset: found.offset,
                len: found.len,
                what: lent(&found.what),
            })
        })?;
        Ok(status)
    };
    // SAFETY: the rule for outputs, kept by the caller.
    unsafe { boundary(error, body) }
}

/// Frees a report and the strings that belong to it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvstore_report_free(report: *mut kvstore_report) {
    if report.is_null() {
        return;
    }
    // SAFETY: made by `boxed` with this layout, and freed only here, once: the rule for handles,
    // kept by the caller.
    let report = unsafe { Box::from_raw(report) };
    shielded((), || drop(report));
}
