//! What is applied, in which order, and what is left out.
//!
//! Pure decisions about what was found, so that they can be read, and tested, in one place.

use super::report::LeftOut;
use crate::verify::{
    Condition, Finding, LogCheck, LogUse, SnapshotCheck, Verification, is_current,
};

/// A file whose entries are applied; with `behind`, also those behind damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Snapshot { behind: bool },
    Log { number: usize, behind: bool },
}

pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) is_prefix: bool,
    pub(super) complete_up_to: Option<Vec<u8>>,
}

/// Entries in ascending order that make it sure that the whole snapshot is in that order: a
/// snapshot in no order begins so by chance once in 16 factorial.
const ORDERED_ENTRIES: u64 = 16;

impl Plan {
    /// What is consistent; see [`repair`](super::repair).
    pub(super) fn prefix(found: &Verification) -> Plan {
        let mut plan = Plan::empty();
        if let Some(number) = whole_history(found) {
            plan.steps.push(Step::Log { number, behind: false });
            let snapshot = found.snapshot.as_ref();
            plan.left_out.extend(snapshot.map(|snapshot| LeftOut {
                path: snapshot.path.clone(),
                offset: 0,
                len: snapshot.bytes,
                entries: 0,
                lost: false,
                why: "it is damaged; the log that it was made from is there and sound".to_owned(),
            }));
            return plan;
        }
        if let Some(snapshot) = &found.snapshot {
            plan.steps.push(Step::Snapshot { behind: false });
            if snapshot.condition != Condition::Sound {
                plan.is_prefix = false;
                plan.complete_up_to = complete_up_to(snapshot);
                plan.left_out.push(rest_of_snapshot(snapshot, found));
            }
        }
        // Once something is missing, what comes after it would make a hole.
        let mut broken = false;
        for (number, log) in found.logs.iter().enumerate() {
            match log.log_use {
                LogUse::Covered => {
                    plan.left_out.extend(covered(log, found));
                    continue;
                }
                // All of it is in the other one.
                LogUse::SecondName => continue,
                _ => {}
            }
            if broken || !is_usable(log) {
                plan.left_out.extend(whole_log(log, broken));
                // What follows a broken one says itself what it continues.
                broken |= log.log_use != LogUse::Broken;
                continue;
            }
            plan.steps.push(Step::Log { number, behind: false });
            // Whether the next one goes on where this one ends, it says itself.
            if log.condition != Condition::Sound {
                plan.left_out.push(rest_of_log(log, found));
            }
        }
        plan
    }

    /// Whatever can be read; see [`salvage`](super::salvage).
    pub(super) fn everything(found: &Verification) -> Plan {
        let mut plan = Plan::empty();
        plan.is_prefix = found.is_sound();
        let damaged = found.is_snapshot_damaged();
        let logs = found.logs.iter().enumerate();
        let (beneath, above): (Vec<_>, Vec<_>) = logs
            .filter(|(_, log)| log.log_use != LogUse::SecondName)
            .partition(|(_, log)| log.log_use == LogUse::Covered);
        for (number, log) in beneath {
            if damaged {
                plan.steps.push(Step::Log { number, behind: true });
            } else {
                plan.left_out.extend(covered(log, found));
            }
        }
        if found.snapshot.is_some() {
            plan.steps.push(Step::Snapshot { behind: true });
        }
        plan.steps.extend(above.iter().map(|&(number, _)| Step::Log { number, behind: true }));
        let unreadable = found.findings.iter().filter(|finding| finding.len > 0);
        plan.left_out.extend(unreadable.map(|finding| unreadable_bytes(finding, found)));
        plan
    }

    fn empty() -> Plan {
        Plan { steps: Vec::new(), left_out: Vec::new(), is_prefix: true, complete_up_to: None }
    }
}

/// The log that alone has everything: a damaged snapshot covers it, it is sound, and it was begun
/// when there was no snapshot. Where logs are sealed, earlier ones may have been removed; then it
/// cannot be told.
fn whole_history(found: &Verification) -> Option<usize> {
    match &found.logs[..] {
        [log] if found.is_snapshot_damaged() && is_current(&log.path) => {
            let whole = log.log_use == LogUse::Covered
                && log.condition == Condition::Sound
                && log.base == Some(0);
            whole.then_some(0)
        }
        _ => None,
    }
}

/// Whether applying the log, as far as it goes, cannot take anything back.
fn is_usable(log: &LogCheck) -> bool {
    match log.log_use {
        LogUse::Replayed => true,
        // If the snapshot covers it, replaying all of it ends where the snapshot does.
        LogUse::Undecidable => log.condition == Condition::Sound,
        LogUse::Covered | LogUse::SnapshotMissing | LogUse::Broken | LogUse::SecondName => false,
    }
}

fn complete_up_to(snapshot: &SnapshotCheck) -> Option<Vec<u8>> {
    let seen = snapshot.entries + snapshot.entries_behind;
    let ordered = snapshot.ascending && seen >= ORDERED_ENTRIES;
    snapshot.last_key.clone().filter(|_| ordered)
}

fn first_finding<'v>(found: &'v Verification, path: &std::path::Path) -> Option<&'v Finding> {
    found.findings.iter().find(|finding| finding.path == path)
}

fn rest_of_snapshot(snapshot: &SnapshotCheck, found: &Verification) -> LeftOut {
    // A damaged header does not keep the entries behind it from being used.
    let mut findings = found.findings.iter().filter(|finding| finding.path == snapshot.path);
    let in_entries = findings.find(|finding| finding.offset >= 20);
    let (offset, why) = match in_entries {
        Some(finding) => (finding.offset, finding.what.clone()),
        None => {
            let header = first_finding(found, &snapshot.path);
            let what = header.map_or("", |finding| &finding.what);
            (snapshot.bytes, format!("{what}; how many entries there were cannot be told"))
        }
    };
    LeftOut {
        path: snapshot.path.clone(),
        offset,
        len: snapshot.bytes.saturating_sub(offset),
        entries: snapshot.entries_behind,
        lost: true,
        why,
    }
}

fn rest_of_log(log: &LogCheck, found: &Verification) -> LeftOut {
    let finding = first_finding(found, &log.path);
    LeftOut {
        path: log.path.clone(),
        offset: log.end,
        len: log.garbage,
        entries: log.entries_behind,
        lost: log.condition != Condition::Torn,
        why: finding.map_or_else(String::new, |finding| finding.what.clone()),
    }
}

/// A log that is left out because the snapshot has all of it; nothing to tell when it is empty.
fn covered(log: &LogCheck, found: &Verification) -> Option<LeftOut> {
    let len = log.end + log.garbage;
    let damaged = found.is_snapshot_damaged();
    (len > 0).then(|| LeftOut {
        path: log.path.clone(),
        offset: 0,
        len,
        entries: if damaged { log.sets + log.deletes + log.entries_behind } else { 0 },
        lost: damaged,
        why: "the snapshot was made from it and is newer".to_owned(),
    })
}

/// A log that is left out whole; nothing to tell when it is empty.
fn whole_log(log: &LogCheck, broken: bool) -> Option<LeftOut> {
    let len = log.end + log.garbage;
    let why = match log.log_use {
        _ if broken => "it comes after what was left out",
        LogUse::Broken => "something is missing of the log that it continues",
        LogUse::Undecidable => {
            "the snapshot's header and this log are both damaged, so which is newer cannot be told"
        }
        _ => "it builds on a snapshot that is missing",
    };
    (len > 0).then(|| LeftOut {
        path: log.path.clone(),
        offset: 0,
        len,
        entries: log.sets + log.deletes + log.entries_behind,
        lost: true,
        why: why.to_owned(),
    })
}

/// Bytes of which a salvage could make nothing. In a log they are listed to its end, with the
/// entries that were found among them.
fn unreadable_bytes(finding: &Finding, found: &Verification) -> LeftOut {
    let log = found.logs.iter().find(|log| log.path == finding.path);
    let found_there = log.map_or(0, |log| log.entries_behind);
    let why = match found_there {
        0 => finding.what.clone(),
        _ => format!("{}; these entries were applied, the other bytes were not", finding.what),
    };
    LeftOut {
        path: finding.path.clone(),
        offset: finding.offset,
        len: finding.len,
        entries: 0,
        lost: finding.condition != Condition::Torn,
        why,
    }
}
