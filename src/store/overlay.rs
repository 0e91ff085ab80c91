//! What a transaction has written, laid over the records of the store for a cursor.

use std::cmp::Ordering;
use std::ops::Range;

use super::cursor::Direction;
use crate::io::Location;

/// One key that a transaction has written.
pub(super) struct Own {
    pub(super) key: Vec<u8>,
    /// `None` once it is deleted.
    pub(super) value: Option<Vec<u8>>,
    /// Whether the store has the key, which then is hidden.
    pub(super) existed: bool,
}

/// The writes of a transaction in the range of a cursor, as they were when it was opened.
pub(super) struct Overlay {
    /// In ascending order of key.
    writes: Vec<Own>,
    rest: Rest,
}

/// What a cursor has yet to come to.
#[derive(Default)]
pub(super) struct Rest {
    /// Positions of writes.
    left: Range<usize>,
    /// The record of the store that has been taken from its walk, and is still to come.
    pub(super) stored: Option<Location>,
}

/// What comes next.
pub(super) enum Next<'a> {
    /// The record of the store that was looked at.
    Stored,
    Own {
        key: &'a [u8],
        value: &'a [u8],
    },
    /// Another record of the store has to be looked at first: that one is deleted.
    Hidden,
    Nothing,
}

impl Overlay {
    /// `writes` are in ascending order of key.
    pub(super) fn new(writes: Vec<Own>) -> Overlay {
        Overlay { rest: Rest { left: 0..writes.len(), stored: None }, writes }
    }

    /// The writes, and what is left of them.
    pub(super) fn parts(&mut self) -> (&[Own], &mut Rest) {
        (&self.writes, &mut self.rest)
    }

    /// Goes to where [`Cursor::seek`](super::Cursor::seek) goes.
    pub(super) fn seek(&mut self, key: &[u8], direction: Direction) {
        let writes = &self.writes;
        let before = |own: &Own| match direction {
            Direction::Ascending => own.key.as_slice() < key,
            Direction::Descending => own.key.as_slice() <= key,
        };
        let position = writes.partition_point(before);
        let left = match direction {
            Direction::Ascending => position..writes.len(),
            Direction::Descending => 0..position,
        };
        self.rest = Rest { left, stored: None };
    }

    /// How many records more, or less, are to come than the walk through the store has left.
    pub(super) fn growth(&self) -> isize {
        let grown = |own: &Own| isize::from(own.value.is_some()) - isize::from(own.existed);
        let own: isize = self.writes[self.rest.left.clone()].iter().map(grown).sum();
        own + isize::from(self.rest.stored.is_some())
    }
}

impl Rest {
    /// What comes next in `direction`, where the next record of the store has the key `stored`.
    pub(super) fn next<'a>(
        &mut self,
        writes: &'a [Own],
        stored: Option<&[u8]>,
        direction: Direction,
    ) -> Next<'a> {
        loop {
            let position = match direction {
                Direction::Ascending => self.left.clone().next(),
                Direction::Descending => self.left.clone().next_back(),
            };
            let Some(own) = position.and_then(|position| writes.get(position)) else {
                return if stored.is_some() { Next::Stored } else { Next::Nothing };
            };
            let order = match (stored, direction) {
                (None, _) => Ordering::Greater,
                (Some(stored), Direction::Ascending) => stored.cmp(&own.key),
                (Some(stored), Direction::Descending) => own.key.as_slice().cmp(stored),
            };
            if order == Ordering::Less {
                return Next::Stored;
            }
            match direction {
                Direction::Ascending => self.left.start += 1,
                Direction::Descending => self.left.end -= 1,
            }
            if order == Ordering::Equal {
                // What was written is in its place.
                self.stored = None;
            }
            match &own.value {
                Some(value) => return Next::Own { key: &own.key, value },
                None if order == Ordering::Equal => return Next::Hidden,
                None => {}
            }
        }
    }
}
