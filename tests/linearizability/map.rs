//! The store as its users may think of it: a few keys, each with a value or without.

use crate::checker::{Object, Operation};

pub const KEYS: usize = 3;

/// The value of each key.
pub type Contents = [Option<u32>; KEYS];

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Map(pub Contents);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Set(usize, u32),
    Delete(usize),
    Get(usize),
    /// The expected value of a key, and the new one.
    CompareAndSet(usize, Option<u32>, Option<u32>),
    Increment(usize, u32),
    /// Sets every key, at once.
    Batch(u32),
    Scan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Whether the deleted key was there.
    Existed(bool),
    Matched(bool),
    Sum(u32),
    Value(Option<u32>),
    Contents(Contents),
}

pub type Event = Operation<Call, Answer>;

impl Call {
    /// Whether the call may change something.
    pub fn writes(self) -> bool {
        !matches!(self, Call::Get(_) | Call::Scan)
    }

    /// The key that the call is about; `None` when it is about all.
    pub fn key(self) -> Option<usize> {
        match self {
            Call::Set(key, _) | Call::Delete(key) | Call::Get(key) => Some(key),
            Call::CompareAndSet(key, ..) | Call::Increment(key, _) => Some(key),
            Call::Batch(_) | Call::Scan => None,
        }
    }
}

impl Object for Map {
    type Call = Call;
    type Answer = Answer;

    fn apply(&mut self, call: &Call) -> Answer {
        match *call {
            Call::Set(key, value) => {
                self.0[key] = Some(value);
                Answer::Done
            }
            Call::Delete(key) => Answer::Existed(self.0[key].take().is_some()),
            Call::Get(key) => Answer::Value(self.0[key]),
            Call::CompareAndSet(key, expected, new) => {
                let matches = self.0[key] == expected;
                if matches {
                    self.0[key] = new;
                }
                Answer::Matched(matches)
            }
            Call::Increment(key, delta) => {
                let sum = self.0[key].unwrap_or(0) + delta;
                self.0[key] = Some(sum);
                Answer::Sum(sum)
            }
            Call::Batch(value) => {
                self.0 = [Some(value); KEYS];
                Answer::Done
            }
            Call::Scan => Answer::Contents(self.0),
        }
    }
}
