//! Leaving steps out: somebody must notice.

use parking_lot::Mutex;

use super::exploration::{Exploration, attempt, for_each};
use super::run::Run;
use super::workload::{self, Workload};
use super::{Way, backup, crash, faults, kill, repair};
use crate::io::Step;
use crate::io::simulated::SimulatedDisk;

/// How far to look: few alternatives of each crash find most, in a fraction of the time.
const FEW: (usize, usize) = (4, 2);
const MANY: (usize, usize) = (64, 12);

/// Every way, from what costs little and finds most to what costs most.
const EFFORTS: [((usize, usize), &[Way]); 4] = [
    (FEW, &[repair::explore, crash::explore, kill::explore]),
    (MANY, &[crash::explore]),
    (FEW, &[faults::explore, backup::explore]),
    (MANY, &[repair::explore, kill::explore, faults::explore, backup::explore]),
];

/// Leaves each step out in turn. Returns how many were missed, and those that were not.
pub(super) fn explore(seed: u64) -> (usize, Vec<Step>) {
    let workloads = workload::named();
    let noticed = Mutex::new(Vec::new());
    let all = for_each(Step::ALL.into_iter(), |&step| {
        let violation = notice(seed, &workloads, step);
        noticed.lock().push((step, violation));
        Ok(())
    });
    assert_eq!(all, Ok(()));
    let mut noticed = noticed.into_inner();
    noticed.sort();
    assert!(noticed.iter().map(|(step, _)| *step).eq(Step::ALL), "each is left out once");
    let mut unnoticed = Vec::new();
    for (step, violation) in noticed {
        match violation {
            Some(violation) => println!("  without {step:?}: {violation}"),
            None => unnoticed.push(step),
        }
    }
    (Step::ALL.len() - unnoticed.len(), unnoticed)
}

/// The first violation that is found without `step`.
fn notice(seed: u64, workloads: &[Workload], step: Step) -> Option<String> {
    // Where the step comes without anything going wrong it is most likely missed.
    let (first, then): (Vec<_>, Vec<_>) =
        workloads.iter().partition(|workload| comes(workload, step));
    let explorations =
        [FEW, MANY].map(|(exhaustive, samples)| Exploration::new(seed, exhaustive, samples));
    let ways = EFFORTS.iter().flat_map(|(effort, ways)| {
        let exploration = &explorations[usize::from(*effort == MANY)];
        ways.iter().map(move |way| (exploration, way))
    });
    let mut tries = ways.flat_map(|way| first.iter().chain(&then).map(move |&it| (way, it)));
    tries.find_map(|((exploration, way), workload)| {
        let violation = attempt(|| way(exploration, workload, Some(step))).err()?;
        Some(format!("workload {:?}: {violation}", workload.name))
    })
}

/// Whether running `workload` comes to `step`.
fn comes(workload: &Workload, step: Step) -> bool {
    let disk = SimulatedDisk::new(&workload.initial);
    disk.skip(Some(step));
    let ran = attempt(|| Run::new(workload, disk.clone())?.perform_all(&workload.actions));
    ran.is_err() || disk.has_skipped()
}
