//! A system call fails.

use super::account::Account;
use super::exploration::{Exploration, Outcome};
use super::oracle::Recovery;
use super::run::{after, contents, open, perform, write};
use super::workload::{Action, Change, Workload};
use crate::io::Step;
use crate::io::simulated::{Crash, Fault, FaultPlan, SimulatedDisk};
use crate::options::Durability;
use crate::store::Store;

/// What may go wrong with an operation, and whether it goes on.
const KINDS: [(Fault, bool); 8] = [
    (Fault::Errno(libc::EIO), false),
    (Fault::Errno(libc::EIO), true),
    (Fault::Errno(libc::ENOSPC), false),
    (Fault::Errno(libc::ENOSPC), true),
    (Fault::Errno(libc::EINTR), false),
    (Fault::Errno(libc::EINTR), true),
    (Fault::Short, false),
    (Fault::Short, true),
];

/// Has each operation of `workload` fail in each way.
pub(super) fn explore(
    exploration: &Exploration,
    workload: &Workload,
    skipped: Option<Step>,
) -> Outcome {
    for (fault, sticky) in KINDS {
        for at in 0.. {
            let plan = FaultPlan { at, fault, sticky };
            let context = |violation| format!("{plan:?}: {violation}");
            if !inject(exploration, workload, plan, skipped).map_err(context)? {
                break;
            }
            exploration.note_fault();
        }
    }
    Ok(())
}

/// Runs `workload` with a fault; false when it has too few operations for that.
fn inject(
    exploration: &Exploration,
    workload: &Workload,
    plan: FaultPlan,
    skipped: Option<Step>,
) -> std::result::Result<bool, String> {
    let disk = SimulatedDisk::new(&workload.initial);
    disk.skip(skipped);
    let mut account = Account::new(workload)?;
    disk.plan(Some(plan));
    let mut store = None;
    for action in &workload.actions {
        let before = disk.trace_len();
        let poisoned = account.poisoned;
        let results = perform(&disk, &mut store, action);
        if matches!(action, Action::Close(_)) && poisoned && disk.trace_len() != before {
            return Err("close of a poisoned store wrote something".to_owned());
        }
        account.note(action, results);
        if let Some(store) = &store {
            let found = contents(store)?;
            let opened = matches!(action, Action::Open(_));
            if opened { account.see(found)? } else { account.check_reads(&found)? }
        }
    }
    if !disk.fault_fired() {
        return Ok(false);
    }
    let interrupted = plan.fault == Fault::Errno(libc::EINTR) && !plan.sticky;
    let invisible = interrupted || plan.fault == Fault::Short;
    if let Some(error) = account.failure.as_ref().filter(|_| invisible) {
        return Err(format!("nothing should have failed: {error}"));
    }
    disk.plan(None);
    go_on(exploration, &disk, store, account, plan.at, skipped)?;
    Ok(true)
}

/// The disk is well again.
fn go_on(
    exploration: &Exploration,
    disk: &SimulatedDisk,
    store: Option<Store>,
    mut account: Account,
    salt: u64,
    skipped: Option<Step>,
) -> Outcome {
    if let Some(store) = &store {
        let change = Change::Set(b"later".to_vec(), b"when the disk was well".to_vec());
        let result = write(store, &change, Durability::Sync);
        match (&result, account.poisoned) {
            (Ok(()), true) => return Err("a poisoned store took a write".to_owned()),
            (Err(error), false) => return Err(format!("the store is not usable: {error}")),
            _ => account.note(&Action::Write(change, Durability::Sync), vec![result]),
        }
        account.check_reads(&contents(store)?)?;
    }
    drop(store);
    let recovery = Recovery { durability: Durability::Sync, skipped, nested: false };
    exploration.check(&durable_only(disk), &account.after_power_failure(), recovery)?;

    let store = open(disk, Durability::Sync).map_err(|error| format!("open: {error}"))?;
    if store.recovery_report().damaged {
        return Err("a failed write was taken for damage".to_owned());
    }
    let found = contents(&store)?;
    if !account.after_kill().contains(&found) {
        return Err("an acknowledged write is gone, or a refused one is there".to_owned());
    }
    let change = Change::Set(b"later still".to_vec(), b"by another process".to_vec());
    write(&store, &change, Durability::Sync).map_err(|error| format!("set: {error}"))?;
    let expected = after(&found, &change);
    drop(store);
    // What was served is durable, whatever the page cache has made believe.
    let trace = disk.trace();
    let mut crash = Crash::new(&trace);
    crash.advance_to(trace.len());
    let alternatives = crash.alternatives();
    let (exhaustive, samples) = (exploration.exhaustive, exploration.samples);
    for choices in exploration.choices(&alternatives, exhaustive, samples, salt) {
        let image = crash.image(&choices, None);
        exploration
            .check(&image, std::slice::from_ref(&expected), recovery)
            .map_err(|violation| format!("powered off after reopening: {violation}"))?;
    }
    Ok(())
}

/// What is on the disk when nothing that was not synced is.
fn durable_only(disk: &SimulatedDisk) -> crate::io::simulated::Image {
    let trace = disk.trace();
    let mut crash = Crash::new(&trace);
    crash.advance_to(trace.len());
    crash.image(&vec![0; crash.alternatives().len()], None)
}
