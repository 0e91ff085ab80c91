//! The crash explorer: what every crash and every fault may leave behind, tried.
//!
//! A [`workload`] runs on a simulated disk (`io::simulated`). Then:
//!
//! * [`crash`]: the power fails after each thing that happened on the disk, with each subset of
//!   what was not synced on it or, where those are many, a sample. Each state is recovered, and
//!   recovery itself is crashed.
//! * [`kill`]: the process dies at each operation, the next one goes on with what the page cache
//!   has, and then the power fails.
//! * [`repair`]: a damaged directory is repaired, and then the power fails.
//! * [`backup`]: the power fails, the process dies or an operation fails at any point of a backup.
//! * [`faults`]: each operation fails, once or from then on, with each error it may give.
//! * [`mutation`]: with any one sync, directory sync or cut left out, the above must fail.
//! * [`model`]: long random sequences of reads, writes, reopening, crashes and faults, compared
//!   with a `BTreeMap` at each step.
//!
//! [`exploration`] keeps account of what has been looked at, and has it done by all processors.
//! After each, the [`oracle`] says whether a promise was broken. `make crash` runs it all and
//! prints the figures; plain `cargo test` runs a part. The seed of a failure is in its message.

mod account;
mod backup;
mod crash;
mod exploration;
mod faults;
mod go_reader;
mod kill;
mod model;
mod mutation;
mod oracle;
mod repair;
mod run;
mod workload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::commit::clock::simulated;
use crate::error::ErrorKind;
use crate::io::Step;
use crate::io::simulated::{Fault, FaultPlan, Image, SimulatedDisk};
use crate::options::Durability;
use exploration::{Exploration, Outcome, for_each, seed, wanted_states};
use workload::Workload;

/// One of the ways in which a workload is explored; with a step left out, if any is given.
type Way = fn(&Exploration, &Workload, Option<Step>) -> Outcome;

/// The ways in which the power fails and processes die.
const CRASHES: [Way; 4] = [crash::explore, kill::explore, repair::explore, backup::explore];

#[test]
fn crash_states_keep_every_promise() {
    let (wanted, start) = (wanted_states(), Instant::now());
    let exploration = Exploration::new(seed(), 256, 12);
    let count = AtomicUsize::new(0);
    // Each way of a named workload by itself, and then random ones, so that nobody waits for the
    // others before the end.
    let named = workload::named()
        .into_iter()
        .flat_map(|workload| CRASHES.map(|way| (exploration.clone(), workload.clone(), vec![way])));
    let random = (1..).map(|number| {
        let workload = workload::random(exploration.seed.wrapping_add(number));
        (exploration.of_seed(number), workload, CRASHES.to_vec())
    });
    let random = random.take_while(|_| exploration.states() < wanted).inspect(|_| {
        let done = count.fetch_add(1, Ordering::Relaxed);
        if done % 256 == 255 {
            let (states, seconds) = (exploration.states(), start.elapsed().as_secs_f64());
            println!("  {states} states after {seconds:.0} s");
        }
    });
    let outcome = for_each(named.chain(random), |(exploration, workload, ways)| {
        let explored = ways.iter().try_for_each(|way| way(exploration, workload, None));
        explored.map_err(|violation| format!("workload {:?}: {violation}", workload.name))
    });
    if let Err(violation) = outcome {
        panic!("seed {}: {violation}", exploration.seed);
    }
    let (states, named) = (exploration.states(), workload::named().len());
    println!(
        "crash states: {states} distinct, {} recoveries, and {} faults and kills at every operation \
         of backups, of {named} named workloads and {} random ones, 0 violations, seed {}, {:.1} s",
        exploration.recoveries(),
        exploration.faults(),
        count.into_inner(),
        exploration.seed,
        start.elapsed().as_secs_f64()
    );
    assert!(states >= wanted);
}

/// A log that ends with a mark which is in the page cache only is not all on the disk.
#[test]
fn a_log_that_was_being_closed_is_on_the_disk_before_what_continues_it() {
    let exploration = Exploration::new(seed(), 256, 12);
    let workloads: Vec<_> = workload::named()
        .into_iter()
        .filter(|workload| workload.name.starts_with("close with a kept log"))
        .collect();
    assert!(!workloads.is_empty());
    let outcome =
        for_each(workloads.iter(), |workload| kill::explore_sealing(&exploration, workload));
    if let Err(violation) = outcome {
        panic!("{violation}");
    }
}

/// A checkpoint that could not sync the directory once was tried again.
#[test]
fn a_failed_directory_sync_of_a_checkpoint_is_final() {
    let mut refused = Vec::new();
    for at in 0..40 {
        simulated::set(run::START);
        let disk = SimulatedDisk::new(&Image::default());
        let store = run::open(&disk, Durability::Sync).unwrap();
        store.set("a", "1").unwrap();
        disk.plan(Some(FaultPlan { at, fault: Fault::Errno(libc::EIO), sticky: false }));
        let Err(error) = store.checkpoint() else { continue };
        disk.plan(None);
        if error.to_string().contains("sync the directory") {
            refused.push(store.set("b", "2").map_err(|error| error.kind()));
        }
    }
    assert_eq!(refused, [Err(ErrorKind::Poisoned); 2]);
}

#[test]
fn every_fault_at_every_operation_is_survived() {
    let start = Instant::now();
    let exploration = Exploration::new(seed(), 16, 4);
    let workloads = workload::named();
    let outcome = for_each(workloads.iter(), |workload| {
        let explored = faults::explore(&exploration, workload, None);
        explored.map_err(|violation| format!("workload {:?}: {violation}", workload.name))
    });
    if let Err(violation) = outcome {
        panic!("seed {}: {violation}", exploration.seed);
    }
    println!(
        "faults: {} injected, at every operation of {} workloads, {} recoveries, 0 violations, {:.1} s",
        exploration.faults(),
        workloads.len(),
        exploration.recoveries(),
        start.elapsed().as_secs_f64()
    );
    assert!(workloads.len() >= 20);
}

#[test]
fn every_sync_and_every_cut_is_missed() {
    let start = Instant::now();
    let (caught, missed) = mutation::explore(seed());
    println!(
        "sync mutations: caught {} of {}, {:.1} s",
        caught,
        caught + missed.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(missed.is_empty(), "left out without anybody noticing: {missed:?}");
}
