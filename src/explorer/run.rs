//! Running a workload and keeping account of what was promised when.

use std::collections::BTreeMap;
use std::path::Path;

use super::oracle::Cut;
use super::workload::{Action, Change, DIRECTORY, Workload};
use crate::commit::clock::simulated;
use crate::error::Result;
use crate::io::simulated::{Image, SimulatedDisk};
use crate::options::{CloseCheckpoint, Durability, Options};
use crate::store::{Batch, Store};
use crate::wal::sealed_log_digits;

/// What a store should hold.
pub(super) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The simulated time when a workload begins.
pub(super) const START: i64 = 1_700_000_000_000_000_000;

/// A workload being run on a disk, until the disk's plan lets something go wrong.
pub(super) struct Run {
    pub(super) disk: SimulatedDisk,
    store: Option<Store>,
    /// The store's content after each number of writes.
    pub(super) states: Vec<Model>,
    moments: Vec<Moment>,
    /// What opening has cut from the log, and from how many events on it must be kept.
    cuts: Vec<(usize, Cut)>,
    /// The disk as the last action found it.
    found: Image,
}

/// What is promised from a number of events on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    events: usize,
    /// How many writes survive a power failure.
    pub(super) durable: usize,
    /// How many writes have been acknowledged, and survive the process being killed.
    pub(super) acknowledged: usize,
    /// How many writes were begun.
    pub(super) begun: usize,
    /// Whether the store is closed, so that the Go store can read it.
    pub(super) closed: bool,
}

impl Run {
    /// Sets `workload` up on `disk`, which has what the workload begins with.
    pub(super) fn new(
        workload: &Workload,
        disk: SimulatedDisk,
    ) -> std::result::Result<Run, String> {
        simulated::set(START);
        let first = initial_model(&workload.initial)?;
        let moment = Moment { events: 0, durable: 0, acknowledged: 0, begun: 0, closed: false };
        Ok(Run {
            disk,
            store: None,
            states: vec![first],
            moments: vec![moment],
            cuts: Vec::new(),
            found: Image::default(),
        })
    }

    /// Runs all actions, or those before something goes wrong as planned.
    ///
    /// # Errors
    /// What went wrong without having been planned.
    pub(super) fn perform_all(&mut self, actions: &[Action]) -> std::result::Result<(), String> {
        for action in actions {
            self.begin(action);
            let results = perform(&self.disk, &mut self.store, action);
            if self.disk.fault_fired() {
                return Ok(());
            }
            if let Some(error) = results.into_iter().find_map(Result::err) {
                return Err(format!("{action:?} failed: {error}"));
            }
            self.end(action)?;
        }
        Ok(())
    }

    fn begin(&mut self, action: &Action) {
        for changes in action.steps() {
            let next = self.states.last().map(|state| after_all(state, changes));
            self.states.push(next.unwrap_or_default());
        }
        if matches!(action, Action::Open(_)) {
            self.found = self.disk.cached();
        }
        let begun = self.states.len() - 1;
        let closed = self.last().closed && !matches!(action, Action::Open(_));
        self.moments.push(Moment { events: self.disk.trace_len(), begun, closed, ..self.last() });
    }

    fn end(&mut self, action: &Action) -> std::result::Result<(), String> {
        let mut moment = Moment { events: self.disk.trace_len(), ..self.last() };
        moment.acknowledged = moment.begun;
        if action.is_durable() {
            moment.durable = moment.begun;
        }
        // A close that keeps sealed logs leaves a directory for this library only.
        moment.closed = match action {
            Action::Close(CloseCheckpoint::Never) => {
                let image = self.disk.cached();
                let files = image.files(DIRECTORY);
                !files.iter().any(|(name, _)| sealed_log_digits(name).is_some())
            }
            Action::Close(_) => true,
            _ => false,
        };
        self.moments.push(moment);
        match &self.store {
            Some(store) => {
                if matches!(action, Action::Open(_)) && store.recovery_report().bytes_cut > 0 {
                    let since = self.moments[self.moments.len() - 2].events;
                    let cuts = Cut::all(&self.found, store.recovery_report());
                    self.cuts.extend(cuts.into_iter().map(|cut| (since, cut)));
                }
                let found = contents(store)?;
                let expected = self.states.last();
                if Some(&found) == expected {
                    Ok(())
                } else {
                    Err(format!("wrong content after {action:?}"))
                }
            }
            None => Ok(()),
        }
    }

    fn last(&self) -> Moment {
        *self.moments.last().unwrap()
    }

    /// What was promised after `events` events.
    pub(super) fn moment(&self, events: usize) -> Moment {
        *self.moments.iter().rev().find(|moment| moment.events <= events).unwrap()
    }

    /// What was cut is still somewhere in `image`, which a crash after `events` events has left.
    pub(super) fn check_cuts(&self, events: usize, image: &Image) -> super::Outcome {
        let mut cuts = self.cuts.iter().filter(|(since, _)| *since <= events);
        cuts.try_for_each(|(_, cut)| cut.check(image))
    }

    /// The states that a crash may leave when `least` writes survive and `begun` were begun.
    pub(super) fn acceptable(&self, least: usize, begun: usize) -> &[Model] {
        &self.states[least..=begun]
    }

    /// The process was killed: another one begins, and finds what the page cache has.
    ///
    /// # Errors
    /// When that lacks a write that was acknowledged.
    pub(super) fn kill(&mut self) -> std::result::Result<(), String> {
        self.store = None;
        self.disk.plan(None);
        let last = self.last();
        let image = self.disk.cached();
        let found = initial_model(&image)?;
        let acceptable = self.acceptable(last.acknowledged, last.begun);
        let Some(position) = acceptable.iter().rposition(|state| *state == found) else {
            return Err("a write that was acknowledged is gone, or another has appeared".to_owned());
        };
        let present = last.acknowledged + position;
        self.states.truncate(present + 1);
        let events = self.disk.trace_len();
        let moment =
            Moment { events, acknowledged: present, begun: present, closed: false, ..last };
        self.moments.push(moment);
        Ok(())
    }
}

/// What a store finds in `image`.
pub(super) fn initial_model(image: &Image) -> std::result::Result<Model, String> {
    if image.0.is_empty() {
        return Ok(Model::new());
    }
    let store = open(&SimulatedDisk::new(image), Durability::Sync).map_err(|e| e.to_string())?;
    contents(&store)
}

/// Does one action. One result for each write, or for the action.
pub(super) fn perform(
    disk: &SimulatedDisk,
    slot: &mut Option<Store>,
    action: &Action,
) -> Vec<Result<()>> {
    match (action, slot.as_ref()) {
        (Action::Open(durability), _) => {
            // First, so that the lock is free.
            *slot = None;
            let opened = open(disk, *durability);
            vec![opened.map(|store| *slot = Some(store))]
        }
        (Action::Write(change, durability), Some(store)) => {
            vec![write(store, change, *durability)]
        }
        (Action::Group(steps), Some(store)) => {
            let batches: Vec<_> = steps.iter().map(|changes| batch(changes)).collect();
            store.write_group(&batches)
        }
        (Action::Batch(changes, durability), Some(store)) => {
            vec![store.write_with(batch(changes), *durability)]
        }
        (Action::Sync, Some(store)) => vec![store.sync()],
        (Action::Checkpoint, Some(store)) => vec![store.checkpoint()],
        (Action::Seal, Some(store)) => vec![store.seal()],
        (Action::Close(checkpoint), Some(store)) => {
            let result = store.close_with(*checkpoint);
            *slot = None;
            vec![result]
        }
        (Action::Drop, _) => {
            *slot = None;
            vec![Ok(())]
        }
        (_, None) => vec![],
    }
}

pub(super) fn write(store: &Store, change: &Change, durability: Durability) -> Result<()> {
    match change {
        Change::Set(key, value) => store.set_with(key, value, durability),
        Change::Delete(key) => store.delete_with(key, durability).map(drop),
    }
}

fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Set(key, value) => batch.set(key, value),
            Change::Delete(key) => batch.delete(key),
        };
    }
    batch
}

/// `model` after all of `changes`.
pub(super) fn after_all(model: &Model, changes: &[Change]) -> Model {
    changes.iter().fold(model.clone(), |model, change| after(&model, change))
}

/// `model` after `change`.
pub(super) fn after(model: &Model, change: &Change) -> Model {
    let mut model = model.clone();
    match change {
        Change::Set(key, value) => model.insert(key.clone(), value.clone()),
        Change::Delete(key) => model.remove(key),
    };
    model
}

pub(super) fn open(disk: &SimulatedDisk, durability: Durability) -> Result<Store> {
    let options = Options::new().durability(durability).close_checkpoint(CloseCheckpoint::Auto);
    Store::open_on(disk, &Path::new("/").join(DIRECTORY), &options)
}

/// Everything in the store, read by a scan and, key by key, by gets.
pub(super) fn contents(store: &Store) -> std::result::Result<Model, String> {
    let mut found = Model::new();
    for item in store.scan(..) {
        let (key, value) = item.map_err(|error| format!("scan: {error}"))?;
        let got = store.get(&key).map_err(|error| format!("get: {error}"))?;
        if got.as_deref() != Some(&*value) {
            return Err(format!("get and scan disagree about key {key:?}"));
        }
        drop(got);
        found.insert(key.to_vec(), value.to_vec());
    }
    if found.len() != store.len() {
        return Err(format!("len is {}, and a scan finds {}", store.len(), found.len()));
    }
    Ok(found)
}
