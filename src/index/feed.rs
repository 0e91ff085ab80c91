//! What was changed since somebody last asked, for the ordered view to follow.
//!
//! Nothing is kept, and nothing costs, before the first who asks. From then on each change leaves
//! eight bytes here. Should more gather than it is worth keeping, all are forgotten, and who asks
//! next is told to look at the whole index again.

use std::mem;

use crate::io::Location;

/// A change that was published: where its record is, or the entry that deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change(u64);

impl Change {
    const DELETED: u64 = 1 << Location::BITS;

    pub(super) fn new(location: Location, deleted: bool) -> Change {
        Change(location.bits() | if deleted { Change::DELETED } else { 0 })
    }

    /// Where a run with the key that was changed begins.
    pub(crate) fn location(self) -> Location {
        Location::from_bits(self.0)
    }

    pub(crate) fn is_deleted(self) -> bool {
        self.0 & Change::DELETED != 0
    }
}

/// Changes are kept in blocks, so that no write has to move those before it.
const FIRST_BLOCK: usize = 64;
const BLOCK: usize = 4096;

/// Changes in the order in which they were published.
#[derive(Default)]
pub(crate) struct Feed {
    is_on: bool,
    full: Vec<Vec<Change>>,
    open: Vec<Change>,
    /// How many more changes are kept before all are forgotten.
    left: usize,
}

impl Feed {
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Adds a change, if somebody wants to know.
    #[inline]
    pub(super) fn note(&mut self, change: Change) {
        if self.open.len() == self.open.capacity() && !self.begin_block() {
            return;
        }
        self.open.push(change);
    }

    /// Makes room for more; false when all has been forgotten instead.
    #[cold]
    fn begin_block(&mut self) -> bool {
        let len = (2 * self.open.len()).clamp(FIRST_BLOCK, BLOCK);
        let mut block = Vec::new();
        let has_room = self.left >= len
            && self.full.try_reserve(1).is_ok()
            && block.try_reserve_exact(len).is_ok();
        if !has_room {
            *self = Feed::default();
            return false;
        }
        self.left -= len;
        let full = mem::replace(&mut self.open, block);
        if !full.is_empty() {
            self.full.push(full);
        }
        true
    }

    /// Hands over all changes since the last call and goes on, keeping about `limit` more;
    /// `None` when there was no such call or its changes have been forgotten.
    pub(super) fn take(&mut self, limit: usize) -> Option<Vec<Vec<Change>>> {
        let taken = mem::replace(self, Feed { is_on: true, left: limit, ..Feed::default() });
        let Feed { is_on, full: mut blocks, open, .. } = taken;
        if !open.is_empty() {
            blocks.push(open);
        }
        is_on.then_some(blocks)
    }

    /// Bytes of memory that the changes take.
    pub(crate) fn memory(&self) -> usize {
        let blocks = self.full.iter().chain([&self.open]);
        blocks.map(|block| block.capacity() * size_of::<Change>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u64) -> Change {
        Change::new(Location::from_bits(number), number.is_multiple_of(3))
    }

    #[test]
    fn changes_come_in_their_order_once() {
        let mut feed = Feed::default();
        assert_eq!(feed.take(usize::MAX), None, "nobody had asked");
        for number in 0..20_000 {
            feed.note(change(number));
        }
        assert!(feed.memory() >= 20_000 * 8);
        let taken = feed.take(usize::MAX).unwrap().concat();
        assert!(taken.iter().copied().eq((0..20_000).map(change)));
        assert_eq!(feed.take(usize::MAX), Some(Vec::new()));
    }

    #[test]
    fn more_than_the_limit_are_forgotten_and_the_next_ones_kept() {
        let mut feed = Feed::default();
        feed.take(1000);
        for number in 0..5000 {
            if feed.is_on() {
                feed.note(change(number));
            }
        }
        assert_eq!((feed.is_on(), feed.memory()), (false, 0));
        assert_eq!(feed.take(1000), None);
        feed.note(change(1));
        assert_eq!(feed.take(0).unwrap().concat(), [change(1)]);
        feed.note(change(2));
        assert_eq!(feed.take(0), None);
    }
}
