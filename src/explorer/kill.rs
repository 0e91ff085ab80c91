//! The process dies, another one goes on, and then the power fails.

use super::crash::explore_run;
use super::exploration::{Exploration, Outcome};
use super::run::Run;
use super::workload::{Action, Change, Workload};
use crate::io::Step;
use crate::io::simulated::{Fault, FaultPlan, SimulatedDisk};
use crate::options::{CloseCheckpoint, Durability};

/// Kills `workload` at each of its operations.
pub(super) fn explore(
    exploration: &Exploration,
    workload: &Workload,
    skipped: Option<Step>,
) -> Outcome {
    for at in 0.. {
        let disk = SimulatedDisk::new(&workload.initial);
        disk.skip(skipped);
        disk.plan(Some(FaultPlan { at, fault: Fault::Death, sticky: true }));
        let mut run = Run::new(workload, disk)?;
        run.perform_all(&workload.actions)?;
        if !run.disk.fault_fired() {
            return Ok(());
        }
        go_on(exploration, run, at, skipped)
            .map_err(|violation| format!("killed at operation {at}: {violation}"))?;
    }
    Ok(())
}

/// As [`explore`], with a next process that seals the log before it writes.
pub(super) fn explore_sealing(exploration: &Exploration, workload: &Workload) -> Outcome {
    for at in 0.. {
        for durability in [Durability::Sync, Durability::Os] {
            let disk = SimulatedDisk::new(&workload.initial);
            disk.plan(Some(FaultPlan { at, fault: Fault::Death, sticky: true }));
            let mut run = Run::new(workload, disk)?;
            run.perform_all(&workload.actions)?;
            if !run.disk.fault_fired() {
                return Ok(());
            }
            let mut go_on = || {
                run.kill()?;
                let opened = run.disk.trace_len();
                let set = Change::Set(b"k1".to_vec(), b"after the kill".to_vec());
                run.perform_all(&[
                    Action::Open(durability),
                    Action::Seal,
                    Action::Write(set, Durability::Sync),
                ])?;
                let end = run.disk.trace_len();
                explore_run(exploration, &run, opened..=end, None)
            };
            go_on().map_err(|violation| {
                format!("killed at operation {at}, opened {durability:?}: {violation}")
            })?;
        }
    }
    Ok(())
}

/// The next process opens what the page cache has, writes, and closes.
fn go_on(exploration: &Exploration, mut run: Run, at: u64, skipped: Option<Step>) -> Outcome {
    run.kill()?;
    let durability = if at.is_multiple_of(2) { Durability::Sync } else { Durability::Os };
    let set = |key: &str| Change::Set(key.into(), b"after the kill".to_vec());
    let kept = if at % 4 < 2 { CloseCheckpoint::Never } else { CloseCheckpoint::Always };
    let opened = run.disk.trace_len();
    run.perform_all(&[
        Action::Open(durability),
        Action::Write(set("k1"), Durability::Sync),
        Action::Write(set("k2"), Durability::Os),
        Action::Close(kept),
    ])?;
    let end = run.disk.trace_len();
    explore_run(exploration, &run, opened..=end, skipped)
}
