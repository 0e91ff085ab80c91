//! Going through a run from both ends.

use std::ops::Range;

use super::OrderedRun;
use super::entry::Entry;
use super::run::Place;
use crate::io::Location;

/// How many records ahead of the one asked for are brought near.
const PREFETCH_DISTANCE: usize = 8;

/// The part of a run that is still to be visited. It belongs to one [`OrderedRun`], which every
/// call is given.
pub(crate) struct Walk {
    /// The next going up.
    front: Place,
    /// Behind the next going down.
    back: Place,
    left: usize,
    /// Whether it has begun to go up, and to go down.
    begun: [bool; 2],
}

impl Walk {
    /// Through the entries with these ranks.
    pub(crate) fn new(run: &OrderedRun, ranks: Range<usize>) -> Walk {
        Walk {
            front: run.run.place(ranks.start),
            back: run.run.place(ranks.end),
            left: ranks.len(),
            begun: [false; 2],
        }
    }

    /// How many are left.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The least of those left.
    #[inline]
    pub(crate) fn next(&mut self, run: &OrderedRun) -> Option<Location> {
        self.left = self.left.checked_sub(1)?;
        let Place { chunk, at } = self.front;
        let entries = run.run.chunk(chunk)?;
        let location = entries.get(at)?.location();
        if !self.begun[0] {
            self.begun[0] = true;
            prefetch(run, &entries[at..entries.len().min(at + PREFETCH_DISTANCE)]);
        }
        let ahead = at + PREFETCH_DISTANCE;
        let ahead = match entries.get(ahead) {
            Some(ahead) => Some(ahead),
            None => run.run.chunk(chunk + 1).and_then(|next| next.get(ahead - entries.len())),
        };
        prefetch(run, ahead.map_or(&[], std::slice::from_ref));
        self.front = match at + 1 {
            next if next == entries.len() => Place { chunk: chunk + 1, at: 0 },
            next => Place { chunk, at: next },
        };
        Some(location)
    }

    /// The greatest of those left.
    #[inline]
    pub(crate) fn next_back(&mut self, run: &OrderedRun) -> Option<Location> {
        self.left = self.left.checked_sub(1)?;
        let Place { chunk, at } = match self.back {
            Place { chunk, at: 0 } => {
                let chunk = chunk.checked_sub(1)?;
                Place { chunk, at: run.run.chunk(chunk)?.len() }
            }
            place => place,
        };
        let (entries, at) = (run.run.chunk(chunk)?, at - 1);
        let location = entries.get(at)?.location();
        if !self.begun[1] {
            self.begun[1] = true;
            prefetch(run, &entries[at.saturating_sub(PREFETCH_DISTANCE)..at]);
        }
        if let Some(ahead) = at.checked_sub(PREFETCH_DISTANCE) {
            prefetch(run, &entries[ahead..=ahead]);
        }
        self.back = Place { chunk, at };
        Some(location)
    }
}

#[inline]
fn prefetch(run: &OrderedRun, entries: &[Entry]) {
    for entry in entries {
        run.pins.prefetch(entry.location());
    }
}
