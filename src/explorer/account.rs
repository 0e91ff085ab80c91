//! What a store may hold, given what it said of each write.

use super::exploration::Outcome;
use super::run::{Model, START, after_all, initial_model};
use super::workload::{Action, Change, Workload};
use crate::commit::clock::simulated;
use crate::error::{Error, ErrorKind, Result};

/// The account of one store over its life on a disk.
pub(super) struct Account {
    /// The possible contents after each write that may have had an effect: those of a write that
    /// is indeterminate, with it and without.
    possible: Vec<Vec<Model>>,
    /// The content that readers of the open store see.
    visible: Model,
    /// How many of `possible` survive a power failure.
    durable: usize,
    /// Whether a sync of the open store has failed.
    pub(super) poisoned: bool,
    /// The first error.
    pub(super) failure: Option<Error>,
}

impl Account {
    /// Begins with what `workload` begins with.
    pub(super) fn new(workload: &Workload) -> std::result::Result<Account, String> {
        simulated::set(START);
        Ok(Account::of(initial_model(&workload.initial)?))
    }

    /// Begins with `content`, all of it durable.
    pub(super) fn of(content: Model) -> Account {
        let possible = vec![vec![content.clone()]];
        Account { possible, visible: content, durable: 0, poisoned: false, failure: None }
    }

    /// Takes account of what `action` has returned.
    pub(super) fn note(&mut self, action: &Action, mut results: Vec<Result<()>>) {
        for (changes, result) in action.steps().into_iter().zip(&results) {
            match result.as_ref().map_err(Error::kind) {
                Ok(()) => self.change(changes, false),
                Err(ErrorKind::Indeterminate) => self.change(changes, true),
                // Every other kind says that nothing was written.
                Err(_) => {}
            }
        }
        let failed = results.iter().position(Result::is_err);
        let failed = failed.map(|position| results.swap_remove(position)).and_then(Result::err);
        let sync_failed = match (action, &failed) {
            (Action::Sync, Some(_)) => true,
            // Nothing outlives what else may fail in these: the logs stay.
            (Action::Checkpoint | Action::Seal, Some(error)) => {
                ["cannot sync the directory", "the log could not be made durable"]
                    .iter()
                    .any(|message| error.to_string().contains(message))
            }
            (_, Some(error)) => error.kind() == ErrorKind::Indeterminate,
            (_, None) => false,
        };
        self.poisoned |= sync_failed;
        let ended = matches!(action, Action::Open(_) | Action::Close(_) | Action::Drop);
        if ended {
            self.poisoned = false;
        }
        if failed.is_none() && !results.is_empty() && action.is_durable() {
            self.durable = self.possible.len() - 1;
        }
        self.failure = self.failure.take().or(failed);
    }

    /// Opening the store has shown `found`: what was indeterminate no longer is.
    pub(super) fn see(&mut self, found: Model) -> Outcome {
        if !self.after_kill().contains(&found) {
            return Err("an acknowledged write is gone, or a refused one is there".to_owned());
        }
        let last = self.possible.len() - 1;
        self.possible[last] = vec![found.clone()];
        self.visible = found;
        Ok(())
    }

    fn change(&mut self, changes: &[Change], indeterminate: bool) {
        let before = self.after_kill();
        let mut next: Vec<Model> = before.iter().map(|model| after_all(model, changes)).collect();
        if indeterminate {
            next.extend(before);
        } else {
            self.visible = after_all(&self.visible, changes);
        }
        self.possible.push(next);
    }

    /// Reads go on, whatever has failed, and see what has succeeded.
    pub(super) fn check_reads(&self, found: &Model) -> Outcome {
        let right = *found == self.visible;
        if right { Ok(()) } else { Err("readers see something else than was written".to_owned()) }
    }

    /// What readers see.
    pub(super) fn visible(&self) -> &Model {
        &self.visible
    }

    /// What a process may find after this one was killed.
    pub(super) fn after_kill(&self) -> Vec<Model> {
        self.possible.last().cloned().unwrap_or_default()
    }

    /// What may be found after the power failed.
    pub(super) fn after_power_failure(&self) -> Vec<Model> {
        self.possible[self.durable..].concat()
    }
}
