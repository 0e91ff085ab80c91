//! Long random sequences, compared with a `BTreeMap` at each step.

use proptest::collection::vec;
use proptest::prelude::*;

use super::account::Account;
use super::run::{Model, START, after, contents, open, perform};
use super::workload::{Action, Change};
use crate::commit::clock::simulated;
use crate::error::ErrorKind;
use crate::io::simulated::{Crash, Fault, FaultPlan, Image, Random, SimulatedDisk};
use crate::options::{CloseCheckpoint, Durability};
use crate::store::{Store, View};

const CASES: u32 = 500;
const STEPS: usize = 200;

#[derive(Debug, Clone)]
enum Step {
    Do(Action),
    /// Sets the key to the value of the change, if it has the expected one; the right one is expected
    /// or another.
    CompareAndSet(Change, bool, Durability),
    Increment(Vec<u8>, i64, Durability),
    /// Reads and writes of a transaction, which is committed or aborted.
    Transaction(Vec<Change>, bool, Durability),
    /// Looks keys up together.
    GetMany(Vec<u8>),
    /// Reads the records from one key to another.
    Scan(u8, u8),
    /// Takes a view and holds it, whatever happens to the store.
    HoldView,
    /// Compares a view that is held with what the store had, and lets go of some.
    CheckView(usize),
    /// Closes and opens again.
    Reopen(CloseCheckpoint, Durability),
    /// The process is killed.
    Kill(Durability),
    /// The power fails, and what was not synced is decided by a seed.
    PowerFailure(u64, Durability),
    /// The operation after so many others fails.
    Fault(u64, Fault),
}

fn key(number: u8) -> Vec<u8> {
    // Some are prefixes of others.
    b"abcabd"[..usize::from(number % 6)].iter().copied().chain([b'0' + number / 6]).collect()
}

fn change() -> impl Strategy<Value = Change> {
    let len = prop_oneof![8 => 0..100_usize, 2 => 100..2_000_usize, 1 => Just(30_000_usize)];
    let set = (0..24_u8, len, any::<u64>()).prop_map(|(number, len, seed)| {
        let mut random = Random::new(seed);
        Change::Set(key(number), (0..len).map(|_| random.next() as u8).collect())
    });
    let delete = (0..24_u8).prop_map(|number| Change::Delete(key(number)));
    prop_oneof![3 => set, 1 => delete]
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Sync), Just(Durability::Os)]
}

fn step() -> impl Strategy<Value = Step> {
    let checkpoint = prop_oneof![
        Just(CloseCheckpoint::Auto),
        Just(CloseCheckpoint::Always),
        Just(CloseCheckpoint::Never)
    ];
    let fault = prop_oneof![
        Just(Fault::Errno(libc::EIO)),
        Just(Fault::Errno(libc::ENOSPC)),
        Just(Fault::Errno(libc::EINTR)),
        Just(Fault::Short)
    ];
    let number = prop_oneof![4 => -9..9_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    prop_oneof![
        60 => (change(), durability()).prop_map(|(change, durability)| {
            Step::Do(Action::Write(change, durability))
        }),
        6 => vec(vec(change(), 1..4), 1..5).prop_map(|steps| Step::Do(Action::Group(steps))),
        8 => (vec(change(), 0..12), durability())
            .prop_map(|(changes, durability)| Step::Do(Action::Batch(changes, durability))),
        6 => (change(), any::<bool>(), durability())
            .prop_map(|(change, right, durability)| Step::CompareAndSet(change, right, durability)),
        6 => (0..30_u8, number, durability()).prop_map(|(number, delta, durability)| {
            // Most are of keys that have numbers.
            let key = if number < 3 { key(number) } else { vec![b'n', number % 3] };
            Step::Increment(key, delta, durability)
        }),
        6 => (vec(change(), 0..8), any::<bool>(), durability())
            .prop_map(|(changes, commit, how)| Step::Transaction(changes, commit, how)),
        4 => Just(Step::Do(Action::Sync)),
        4 => Just(Step::Do(Action::Checkpoint)),
        1 => Just(Step::Do(Action::Seal)),
        10 => vec(0..24_u8, 0..40).prop_map(Step::GetMany),
        6 => (0..24_u8, 0..24_u8).prop_map(|(from, to)| Step::Scan(from, to)),
        4 => Just(Step::HoldView),
        4 => any::<usize>().prop_map(Step::CheckView),
        2 => (checkpoint, durability()).prop_map(|(how, durability)| Step::Reopen(how, durability)),
        2 => durability().prop_map(Step::Kill),
        2 => (any::<u64>(), durability()).prop_map(|(seed, how)| Step::PowerFailure(seed, how)),
        2 => (0..40_u64, fault).prop_map(|(at, fault)| Step::Fault(at, fault)),
    ]
}

/// A store and what it should hold.
struct Pair {
    disk: SimulatedDisk,
    store: Option<Store>,
    account: Account,
    /// Views, and what the store had when they were taken.
    views: Vec<(View, Model)>,
}

impl Pair {
    fn new() -> Result<Pair, String> {
        simulated::set(START);
        let disk = SimulatedDisk::new(&Image::default());
        let account = Account::of(Model::new());
        let mut pair = Pair { disk, store: None, account, views: Vec::new() };
        pair.perform(&Action::Open(Durability::Sync))?;
        Ok(pair)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Do(action) => self.perform(action),
            Step::CompareAndSet(change, right, durability) => {
                self.compare_and_set(change, *right, *durability)
            }
            Step::Increment(key, delta, durability) => self.increment(key, *delta, *durability),
            Step::Transaction(changes, commit, durability) => {
                self.transaction(changes, *commit, *durability)
            }
            Step::GetMany(numbers) => self.get_many(numbers),
            Step::Scan(from, to) => self.scan(&key(*from), &key(*to)),
            Step::HoldView => {
                let Some(store) = &self.store else { return Ok(()) };
                let view = store.view().map_err(|error| error.to_string())?;
                self.views.push((view, self.account.visible().clone()));
                Ok(())
            }
            Step::CheckView(which) => self.check_view(*which),
            Step::Reopen(checkpoint, durability) => {
                self.perform(&Action::Close(*checkpoint))?;
                self.reopen(*durability)
            }
            Step::Kill(durability) => {
                self.perform(&Action::Drop)?;
                self.reopen(*durability)
            }
            Step::PowerFailure(seed, durability) => {
                self.fail_power(*seed)?;
                self.reopen(*durability)
            }
            Step::Fault(at, fault) => {
                self.disk.plan(Some(FaultPlan { at: *at, fault: *fault, sticky: false }));
                Ok(())
            }
        }
    }

    fn perform(&mut self, action: &Action) -> Result<(), String> {
        let results = perform(&self.disk, &mut self.store, action);
        self.note(action, results)
    }

    /// Takes account of what `action` has returned, and looks whether it is so.
    fn note(&mut self, action: &Action, results: Vec<crate::Result<()>>) -> Result<(), String> {
        self.account.note(action, results);
        let Some(store) = &self.store else { return Ok(()) };
        let found = contents(store)?;
        match action {
            Action::Open(_) => self.account.see(found),
            _ => self.account.check_reads(&found),
        }
    }

    fn compare_and_set(
        &mut self,
        change: &Change,
        right: bool,
        durability: Durability,
    ) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        let (key, new) = match change {
            Change::Set(key, value) => (key, Some(value.as_slice())),
            Change::Delete(key) => (key, None),
        };
        let value = self.account.visible().get(key).map(Vec::as_slice);
        let other = if value.is_some() { None } else { Some(b"".as_slice()) };
        let expected = if right { value } else { other };
        let result = store.compare_and_set_with(key, expected, new, durability);
        if result.as_ref().is_ok_and(|matched| *matched != right) {
            return Err(format!("compare_and_set is wrong about {key:?}"));
        }
        let changes = if right { vec![change.clone()] } else { Vec::new() };
        self.note(&Action::Batch(changes, durability), vec![result.map(drop)])
    }

    fn increment(&mut self, key: &[u8], delta: i64, durability: Durability) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        let value = self.account.visible().get(key);
        let number =
            value.map_or(Some(0), |value| value.as_slice().try_into().ok().map(i64::from_be_bytes));
        let expected = number.and_then(|number| number.checked_add(delta));
        let result = store.increment_with(key, delta, durability);
        match &result {
            Ok(sum) if Some(*sum) != expected => return Err(format!("{sum} is the wrong sum")),
            Err(error) if error.kind() == ErrorKind::InvalidArgument && expected.is_some() => {
                return Err(format!("refused without a reason: {error}"));
            }
            _ => {}
        }
        let sum = expected.unwrap_or_default().to_be_bytes();
        let change = Change::Set(key.to_vec(), sum.to_vec());
        self.note(&Action::Write(change, durability), vec![result.map(drop)])
    }

    fn transaction(
        &mut self,
        changes: &[Change],
        commit: bool,
        durability: Durability,
    ) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        // A store that is poisoned refuses it.
        let Ok(mut transaction) = store.transaction() else {
            return if self.account.poisoned { Ok(()) } else { Err("no transaction".to_owned()) };
        };
        let mut model = self.account.visible().clone();
        for change in changes {
            match change {
                Change::Set(key, value) => transaction.set(key, value),
                Change::Delete(key) => {
                    let existed = transaction.delete(key).map_err(|error| error.to_string())?;
                    if existed != model.contains_key(key) {
                        return Err(format!("a transaction is wrong about {key:?}"));
                    }
                }
            }
            model = after(&model, change);
        }
        let found: Result<Model, _> = transaction
            .scan(..)
            .map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect();
        if found.map_err(|error| error.to_string())? != model || transaction.len() != model.len() {
            return Err("a transaction sees something else than it wrote".to_owned());
        }
        if !commit {
            transaction.abort();
            return self.note(&Action::Batch(Vec::new(), Durability::Os), vec![Ok(())]);
        }
        // One that has written nothing makes nothing durable.
        let wrote = changes.iter().any(|change| matches!(change, Change::Set(..)));
        let result = transaction.commit_with(durability);
        let durability = if wrote { durability } else { Durability::Os };
        self.note(&Action::Batch(changes.to_vec(), durability), vec![result])
    }

    /// Another process, on a disk that is well.
    fn reopen(&mut self, durability: Durability) -> Result<(), String> {
        self.disk.plan(None);
        self.perform(&Action::Open(durability))?;
        match &self.store {
            Some(store) if store.recovery_report().damaged => Err("damage was found".to_owned()),
            Some(_) => Ok(()),
            None => Err("it does not open".to_owned()),
        }
    }

    fn fail_power(&mut self, seed: u64) -> Result<(), String> {
        self.store = None;
        let trace = self.disk.trace();
        let mut crash = Crash::new(&trace);
        crash.advance_to(trace.len());
        let mut random = Random::new(seed);
        let alternatives = crash.alternatives();
        let choices: Vec<u8> = alternatives.iter().map(|&n| random.below(n.into()) as u8).collect();
        self.disk = SimulatedDisk::new(&crash.image(&choices, Some(seed)));
        let acceptable = self.account.after_power_failure();
        let store = open(&self.disk, Durability::Os).map_err(|error| error.to_string())?;
        let found = contents(&store)?;
        if !acceptable.contains(&found) {
            return Err("a durable write is gone, or another has appeared".to_owned());
        }
        self.account = Account::of(found);
        Ok(())
    }

    fn get_many(&self, numbers: &[u8]) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        let keys: Vec<_> = numbers.iter().map(|&number| key(number)).collect();
        let values = store.get_many(&keys).map_err(|error| error.to_string())?;
        for (key, value) in keys.iter().zip(values) {
            let expected = self.account.visible().get(key).map(Vec::as_slice);
            if value.as_deref() != expected {
                return Err(format!("get_many is wrong about {key:?}"));
            }
        }
        Ok(())
    }

    fn check_view(&mut self, which: usize) -> Result<(), String> {
        if self.views.is_empty() {
            return Ok(());
        }
        let which = which % self.views.len();
        let (view, expected) = self.views.swap_remove(which);
        let pairs: Result<Vec<_>, _> = view.scan(..).collect();
        let pairs = pairs.map_err(|error| error.to_string())?;
        let found = pairs.iter().map(|(key, value)| (&**key, &**value));
        if !found.eq(expected.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))) {
            return Err("a view has changed".to_owned());
        }
        for number in 0..24 {
            let key = key(number);
            let value = view.get(&key).map_err(|error| error.to_string())?;
            if value.as_deref() != expected.get(&key).map(Vec::as_slice) {
                return Err(format!("a view is wrong about {key:?}"));
            }
        }
        drop(pairs);
        if which.is_multiple_of(2) {
            self.views.push((view, expected));
        }
        Ok(())
    }

    fn scan(&self, from: &[u8], to: &[u8]) -> Result<(), String> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut expected: Vec<_> = self
            .account
            .visible()
            .iter()
            .filter(|(key, _)| from <= key.as_slice() && key.as_slice() < to)
            .collect();
        for reverse in [false, true] {
            let scan = store.scan(from..to);
            let items: Vec<_> = if reverse { scan.rev().collect() } else { scan.collect() };
            let items: Result<Vec<_>, _> = items.into_iter().collect();
            let items = items.map_err(|error| error.to_string())?;
            let found = items.iter().map(|(key, value)| (&**key, &**value));
            if !found.eq(expected.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))) {
                return Err(format!("a scan from {from:?} to {to:?} is wrong"));
            }
            expected.reverse();
        }
        Ok(())
    }
}

#[test]
fn random_sequences_agree_with_a_map() {
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in vec(step(), STEPS))| {
        let mut pair = Pair::new().map_err(TestCaseError::fail)?;
        for (number, step) in steps.iter().enumerate() {
            pair.step(step).map_err(|violation| {
                TestCaseError::fail(format!("step {number}, {step:?}: {violation}"))
            })?;
        }
    });
    println!("model: {CASES} cases of {STEPS} steps agree");
}
