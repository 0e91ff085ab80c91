//! Repair of a damaged directory, crashed: what it writes is there whole, or not at all, and is there
//! once it has returned.

use std::ops::ControlFlow;
use std::path::Path;

use super::exploration::{Exploration, Outcome};
use super::oracle::Recovery;
use super::run::{START, initial_model};
use super::workload::{DIRECTORY, Workload};
use crate::commit::clock::simulated;
use crate::io::Step;
use crate::io::simulated::{Crash, Fault, FaultPlan, Image, Node, SimulatedDisk};
use crate::options::Durability;
use crate::repair::{Extent, rebuild};

/// Repairs what `workload` begins with into a new directory, and into an empty one that another
/// program made, and crashes and fails each.
pub(super) fn explore(
    exploration: &Exploration,
    workload: &Workload,
    skipped: Option<Step>,
) -> Outcome {
    if workload.initial.0.is_empty() {
        return Ok(());
    }
    for made_before in [false, true] {
        crash(exploration, workload, made_before, skipped)?;
    }
    fail(workload)
}

/// The damaged directory, moved out of the way of the repaired one.
fn damaged(workload: &Workload) -> Image {
    let directory = workload.initial.get(DIRECTORY).cloned();
    let parent = ("parent".to_owned(), Node::Directory(Image::default()));
    Image([parent].into_iter().chain(directory.map(|it| ("damaged".to_owned(), it))).collect())
}

fn repair(disk: &SimulatedDisk) -> crate::Result<crate::RepairReport> {
    simulated::set(START);
    let to = Path::new("/").join(DIRECTORY);
    rebuild(disk, Path::new("/damaged"), &to, Extent::Prefix, &mut |_| ControlFlow::Continue(()))
}

fn crash(
    exploration: &Exploration,
    workload: &Workload,
    made_before: bool,
    skipped: Option<Step>,
) -> Outcome {
    let disk = SimulatedDisk::new(&damaged(workload));
    disk.skip(skipped);
    if made_before {
        disk.make_directory(DIRECTORY);
    }
    let report = repair(&disk).map_err(|error| format!("repair: {error}"))?;
    let expected = [initial_model(&workload.initial)?];
    let trace = disk.trace();
    let mut crash = Crash::new(&trace);
    for events in 0..=trace.len() {
        crash.advance_to(events);
        let alternatives = crash.alternatives();
        for choices in exploration.choices(&alternatives, 64, 16, 0) {
            let image = crash.image(&choices, None);
            let nothing = match image.get(DIRECTORY) {
                Some(Node::Directory(directory)) => directory.0.is_empty(),
                _ => true,
            };
            if nothing && events < trace.len() {
                continue;
            }
            let written = image.file(&format!("{DIRECTORY}/REPAIRED.txt"));
            if written.is_none_or(|written| *written != *format!("{report}\n").as_bytes()) {
                return Err("the report of what a repair has made is not there".to_owned());
            }
            let recovery = Recovery { durability: Durability::Sync, skipped, nested: false };
            exploration.check(&image, &expected, recovery)?;
        }
    }
    Ok(())
}

/// Each operation fails: the damaged directory stays as it is, and what was begun is removed.
fn fail(workload: &Workload) -> Outcome {
    for at in 0.. {
        let image = damaged(workload);
        let disk = SimulatedDisk::new(&image);
        disk.plan(Some(FaultPlan { at, fault: Fault::Errno(libc::EIO), sticky: false }));
        let repaired = repair(&disk);
        if !disk.fault_fired() {
            return Ok(());
        }
        let left = disk.cached();
        if left.get("damaged") != image.get("damaged") {
            return Err(format!("repair changed what it read, failing at operation {at}"));
        }
        let rest = match left.get(DIRECTORY) {
            Some(Node::Directory(directory)) => directory.0.len(),
            _ => 0,
        };
        if repaired.is_err() && rest != 0 {
            return Err(format!("repair left {rest} files behind, failing at operation {at}"));
        }
    }
    Ok(())
}
