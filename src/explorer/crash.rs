//! The power fails.

use super::exploration::{Exploration, Outcome};
use super::go_reader;
use super::oracle::Recovery;
use super::run::Run;
use super::workload::Workload;
use crate::io::Step;
use crate::io::simulated::{Crash, SimulatedDisk};
use crate::options::Durability;

/// Runs `workload` and crashes it after everything that happened on the disk.
pub(super) fn explore(
    exploration: &Exploration,
    workload: &Workload,
    skipped: Option<Step>,
) -> Outcome {
    let disk = SimulatedDisk::new(&workload.initial);
    disk.skip(skipped);
    let mut run = Run::new(workload, disk)?;
    run.perform_all(&workload.actions)?;
    let events = run.disk.trace_len();
    explore_run(exploration, &run, 0..=events, skipped)
}

/// Crashes `run` after each number of events in `moments`.
pub(super) fn explore_run(
    exploration: &Exploration,
    run: &Run,
    moments: std::ops::RangeInclusive<usize>,
    skipped: Option<Step>,
) -> Outcome {
    let trace = run.disk.trace();
    let mut crash = Crash::new(&trace);
    // The same image need not be looked at again while the same is promised of it.
    let mut seen = std::collections::HashSet::new();
    for events in moments {
        crash.advance_to(events);
        let moment = run.moment(events);
        let acceptable = run.acceptable(moment.durable, moment.begun);
        let alternatives = crash.alternatives();
        let (exhaustive, samples) = (exploration.exhaustive, exploration.samples);
        for (number, choices) in exploration
            .choices(&alternatives, exhaustive, samples, events as u64)
            .iter()
            .enumerate()
        {
            let garbage = (number % 3 == 2).then_some(exploration.seed + number as u64);
            let image = crash.image(choices, garbage);
            if !seen.insert((image.fingerprint(), moment.durable, moment.begun, moment.closed)) {
                continue;
            }
            let durability = if number % 2 == 0 { Durability::Sync } else { Durability::Os };
            let nested = number % 4 == 0 || skipped.is_some();
            let recovery = Recovery { durability, skipped, nested };
            let checked = run.check_cuts(events, &image);
            let checked = checked.and_then(|()| exploration.check(&image, acceptable, recovery));
            let checked = checked.and_then(|()| {
                if moment.closed { go_reader::check(&image, &acceptable[0]) } else { Ok(()) }
            });
            checked.map_err(|violation| {
                format!("power failed after event {events}, {choices:?} of {alternatives:?}: {violation}")
            })?;
        }
    }
    Ok(())
}
