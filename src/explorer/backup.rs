//! A backup, crashed, killed and made to fail at each of its operations: at its place is nothing, or
//! all of it, and the store does not notice.

use std::ops::ControlFlow;
use std::path::Path;

use super::exploration::{Exploration, Outcome};
use super::go_reader;
use super::oracle::Recovery;
use super::run::{Model, START, contents, open, perform, write};
use super::workload::{Action, Change, Workload};
use crate::commit::clock::simulated;
use crate::error::Result;
use crate::io::Step;
use crate::io::simulated::{Cloning, Crash, Fault, FaultPlan, Image, Node, SimulatedDisk};
use crate::new_directory::UNFINISHED;
use crate::options::{CloseCheckpoint, Durability, Options};
use crate::store::Store;

/// What the backup's directory lies in, and its name there.
const PLACE: &str = "elsewhere";
const NAME: &str = "copy";

/// The ways in which a backup is made.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Whether nothing was written since the store was closed.
    settled: bool,
    cloning: Cloning,
    /// Whether another program has made the directory, and that in which it lies.
    made_before: bool,
}

const WAYS: [Way; 4] = [
    Way { settled: false, cloning: Cloning::Shares, made_before: false },
    Way { settled: true, cloning: Cloning::Unsupported, made_before: true },
    Way { settled: true, cloning: Cloning::Copies, made_before: false },
    Way { settled: true, cloning: Cloning::Shares, made_before: true },
];

/// Backs up what `workload` leaves in each way.
pub(super) fn explore(
    exploration: &Exploration,
    workload: &Workload,
    skipped: Option<Step>,
) -> Outcome {
    for way in WAYS {
        let scene = Scene { exploration, workload, way, skipped };
        let outcome = scene.crash().and_then(|()| scene.fail());
        outcome.map_err(|violation| format!("backup, {way:?}: {violation}"))?;
    }
    Ok(())
}

struct Scene<'a> {
    exploration: &'a Exploration,
    workload: &'a Workload,
    way: Way,
    skipped: Option<Step>,
}

impl Scene<'_> {
    /// A disk on which the workload has run, the open store, and what it holds.
    fn set(&self) -> std::result::Result<(SimulatedDisk, Store, Model), String> {
        simulated::set(START);
        let disk = SimulatedDisk::new(&self.workload.initial);
        let mut store = None;
        let settle = [Action::Close(CloseCheckpoint::Always), Action::Open(Durability::Sync)];
        let more = if self.way.settled { &settle[..] } else { &[] };
        for action in self.workload.actions.iter().chain(more) {
            for result in perform(&disk, &mut store, action) {
                result.map_err(|error| format!("{action:?}: {error}"))?;
            }
        }
        let store = match store {
            Some(store) => store,
            None => open(&disk, Durability::Sync).map_err(|error| error.to_string())?,
        };
        // So that a power failure later takes nothing of it.
        store.sync().map_err(|error| error.to_string())?;
        if self.way.made_before {
            disk.make_directory(PLACE);
            disk.make_directory(&format!("{PLACE}/{NAME}"));
        }
        let expected = contents(&store)?;
        disk.set_cloning(self.way.cloning);
        disk.skip(self.skipped);
        Ok((disk, store, expected))
    }

    /// The power fails after each thing that a backup did.
    fn crash(&self) -> Outcome {
        let (disk, store, expected) = self.set()?;
        let before = disk.trace_len();
        back_up(&disk, &store).map_err(|error| error.to_string())?;
        let trace = disk.trace();
        let mut crash = Crash::new(&trace);
        for events in before..=trace.len() {
            crash.advance_to(events);
            let returned = events == trace.len();
            let alternatives = crash.alternatives();
            for choices in self.exploration.choices(&alternatives, 64, 12, events as u64) {
                let image = crash.image(&choices, None);
                let checked = self.check(&image, &expected, returned);
                checked.map_err(|violation| {
                    format!("power failed after event {}: {violation}", events - before)
                })?;
            }
        }
        Ok(())
    }

    /// What a power failure has left.
    fn check(&self, image: &Image, expected: &Model, returned: bool) -> Outcome {
        let found = check_place(image, expected)?;
        if returned && found != Found::Whole {
            return Err("a backup that has returned is not there".to_owned());
        }
        let recovery =
            Recovery { durability: Durability::Sync, skipped: self.skipped, nested: false };
        self.exploration.check(image, std::slice::from_ref(expected), recovery)
    }

    /// Each operation of a backup goes wrong.
    fn fail(&self) -> Outcome {
        let kinds = [
            (Fault::Errno(libc::EIO), false),
            (Fault::Errno(libc::ENOSPC), false),
            (Fault::Errno(libc::ENOSPC), true),
            (Fault::Errno(libc::EINTR), false),
            (Fault::Short, true),
            (Fault::Death, true),
        ];
        for (fault, sticky) in kinds {
            for at in 0.. {
                let plan = FaultPlan { at, fault, sticky };
                let fired = self.inject(plan).map_err(|why| format!("{plan:?}: {why}"))?;
                if !fired {
                    break;
                }
                self.exploration.note_fault();
            }
        }
        Ok(())
    }

    /// False when the backup has too few operations for that.
    fn inject(&self, plan: FaultPlan) -> std::result::Result<bool, String> {
        let (disk, store, mut expected) = self.set()?;
        disk.plan(Some(plan));
        let made = back_up(&disk, &store);
        if !disk.fault_fired() {
            return Ok(false);
        }
        disk.plan(None);
        if plan.fault == Fault::Death {
            drop(store);
            return self.after_death(&disk, &expected).map(|()| true);
        }
        let cached = disk.cached();
        let found = check_place(&cached, &expected)?;
        match &made {
            Ok(()) if found != Found::Whole => return Err("it is not there".to_owned()),
            Err(error) if matches!(plan.fault, Fault::Short | Fault::Errno(libc::EINTR)) => {
                return Err(format!("nothing should have failed: {error}"));
            }
            // What keeps the disk from being written keeps it from being cleaned up.
            Err(_) if !plan.sticky && (found == Found::Whole || has_leftovers(&cached)) => {
                return Err("something of a failed backup is left".to_owned());
            }
            _ => {}
        }
        // The store has not noticed, and the next backup is not in the way of the last.
        let change = Change::Set(b"later".to_vec(), b"after a failed backup".to_vec());
        write(&store, &change, Durability::Sync).map_err(|error| format!("set: {error}"))?;
        expected.insert(b"later".to_vec(), b"after a failed backup".to_vec());
        if made.is_err() && found != Found::Whole {
            back_up(&disk, &store).map_err(|error| format!("the next backup: {error}"))?;
            self.check(&settled(&disk), &expected, true)?;
        }
        Ok(true)
    }

    /// The process has died: the next one finds the store, and can make a backup in that place.
    fn after_death(&self, disk: &SimulatedDisk, expected: &Model) -> Outcome {
        let found = check_place(&disk.cached(), expected)?;
        let store = open(disk, Durability::Sync).map_err(|error| format!("open: {error}"))?;
        if contents(&store)? != *expected {
            return Err("the store has changed".to_owned());
        }
        if found != Found::Whole {
            back_up(disk, &store).map_err(|error| format!("the next backup: {error}"))?;
        }
        check_place(&disk.cached(), expected).map(drop)
    }
}

fn back_up(disk: &SimulatedDisk, store: &Store) -> Result<()> {
    let to = Path::new("/").join(PLACE).join(NAME);
    let view = store.view()?;
    crate::backup::backup(disk, view.ordered(), &to, &mut |_| ControlFlow::Continue(()))
}

/// What is on the disk when nothing that was not synced is.
fn settled(disk: &SimulatedDisk) -> Image {
    let trace = disk.trace();
    let mut crash = Crash::new(&trace);
    crash.advance_to(trace.len());
    crash.image(&vec![0; crash.alternatives().len()], None)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing, or the empty directory that was there.
    Nothing,
    Whole,
}

/// What is at the backup's place: nothing, or all of it, for us as for the Go store. Beside it there
/// is at most what says that it is not finished.
fn check_place(image: &Image, expected: &Model) -> std::result::Result<Found, String> {
    if let Some(Node::Directory(beside)) = image.get(PLACE) {
        let unfinished = format!("{NAME}{UNFINISHED}");
        for name in beside.0.keys() {
            if name != NAME && !name.starts_with(&unfinished) {
                return Err(format!("{name:?} is left over"));
            }
        }
    }
    let place = format!("{PLACE}/{NAME}");
    let Some(Node::Directory(found)) = image.get(&place) else { return Ok(Found::Nothing) };
    if found.0.is_empty() {
        return Ok(Found::Nothing);
    }
    let names: Vec<&str> = found.0.keys().map(String::as_str).collect();
    let log = image.file(&format!("{place}/wal.log"));
    if names != ["snapshot.dat", "wal.log"] || log.is_none_or(|log| log.len() != 0) {
        return Err(format!("the backup's directory has {names:?}"));
    }
    go_reader::check_at(image, &place, expected)?;
    let options = Options::new().read_only(true);
    let disk = SimulatedDisk::new(image);
    let store = Store::open_on(&disk, &Path::new("/").join(&place), &options)
        .map_err(|error| format!("the backup does not open: {error}"))?;
    match contents(&store)? == *expected {
        true => Ok(Found::Whole),
        false => Err("the backup has something else in it".to_owned()),
    }
}

fn has_leftovers(image: &Image) -> bool {
    match image.get(PLACE) {
        Some(Node::Directory(beside)) => beside.0.keys().any(|name| name != NAME),
        _ => false,
    }
}
