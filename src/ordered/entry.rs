//! What the ordered view keeps of a record: enough of its key to compare most keys without looking
//! at records, and where it is.

use std::cmp::Ordering;

use crate::error::Result;
use crate::io::{Location, SegmentPins};

/// Bytes of a key that are kept.
pub(super) const HEAD: usize = 8;

/// The first eight bytes of a key as a big-endian number, padded with zeros, then how many of
/// them the key has. Of two keys with the same padded head, the shorter one is a prefix of the
/// longer, so comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    head: u64,
    /// From the top: four bits that count the bytes of the head, 9 standing for a longer key; two
    /// flags; 48 bits that say which record it is.
    tail: u64,
}

/// The part of an entry that keys are compared by.
pub(super) type Order = (u64, u64);

impl Entry {
    const LENGTH_SHIFT: u32 = 60;
    const MORE: u64 = HEAD as u64 + 1;
    const SUPERSEDED: u64 = 1 << (Location::BITS + 1);
    const DELETED: u64 = 1 << Location::BITS;

    /// Of what follows `depth` bytes of `key`. `which` tells the record from others.
    pub(super) fn new(key: &[u8], depth: usize, which: u64) -> Entry {
        let (head, length) = Entry::order_of(key.get(depth..).unwrap_or_default());
        Entry { head, tail: length << Entry::LENGTH_SHIFT | which }
    }

    /// What an entry for `key` is ordered by.
    #[inline]
    pub(super) fn order_of(key: &[u8]) -> Order {
        let head = match key.first_chunk() {
            Some(head) => *head,
            None => {
                let mut head = [0; HEAD];
                head[..key.len()].copy_from_slice(key);
                head
            }
        };
        (u64::from_be_bytes(head), (key.len() as u64).min(Entry::MORE))
    }

    #[inline]
    pub(super) fn order(self) -> Order {
        (self.head, self.tail >> Entry::LENGTH_SHIFT)
    }

    /// Which record it is: the bits of its location, or a number given while sorting.
    #[inline]
    pub(super) fn which(self) -> u64 {
        self.tail & ((1 << Location::BITS) - 1)
    }

    #[inline]
    pub(super) fn location(self) -> Location {
        Location::from_bits(self.which())
    }

    /// The same key, for another record.
    pub(super) fn with_location(self, location: Location, deleted: bool) -> Entry {
        let length = self.tail >> Entry::LENGTH_SHIFT << Entry::LENGTH_SHIFT;
        let deleted = if deleted { Entry::DELETED } else { 0 };
        Entry { head: self.head, tail: length | deleted | location.bits() }
    }

    /// The same head, for the record and with the flag of `other`, which goes on deeper.
    pub(super) fn placed_like(self, other: Entry) -> Entry {
        let length = self.tail >> Entry::LENGTH_SHIFT << Entry::LENGTH_SHIFT;
        Entry { head: self.head, tail: length | other.tail & Entry::SUPERSEDED | other.which() }
    }

    /// Whether it says that its key is deleted; never so in a run.
    pub(super) fn is_deleted(self) -> bool {
        self.tail & Entry::DELETED != 0
    }

    /// Whether a later one has the same key; known only when it has been sorted.
    pub(super) fn is_superseded(self) -> bool {
        self.tail & Entry::SUPERSEDED != 0
    }

    pub(super) fn supersede(&mut self) {
        self.tail |= Entry::SUPERSEDED;
    }

    /// Whether the key goes on behind its head.
    #[inline]
    pub(super) fn has_more(self) -> bool {
        has_more(self.order())
    }
}

const _: () = assert!(size_of::<Entry>() == 16 && Location::BITS + 1 < Entry::LENGTH_SHIFT);

#[inline]
fn has_more((_, length): Order) -> bool {
    length == Entry::MORE
}

/// Where in `entries`, which are in order, the first stands whose key is not less than one of this
/// `order`, and whether it is the same. `key` is asked for the whole of it where heads do not
/// decide.
///
/// # Errors
/// `Corrupt` when a record that had to be looked at cannot be read any more.
pub(super) fn search<'k>(
    entries: &[Entry],
    order: Order,
    key: impl FnOnce() -> Result<&'k [u8]>,
    pins: &SegmentPins,
) -> Result<(usize, bool)> {
    let first = entries.partition_point(|entry| entry.order() < order);
    match entries.get(first) {
        Some(entry) if entry.order() == order => {}
        _ => return Ok((first, false)),
    }
    if !has_more(order) {
        return Ok((first, true));
    }
    let key = key()?;
    let (mut low, mut high) = (first, first + alike(&entries[first..], order));
    while low < high {
        let middle = low + (high - low) / 2;
        match pins.key(entries[middle].location())?.cmp(key) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal => return Ok((middle, true)),
            Ordering::Greater => high = middle,
        }
    }
    Ok((low, false))
}

/// How many entries from the first on have this order: most often one.
fn alike(entries: &[Entry], order: Order) -> usize {
    let mut step = 1;
    while entries.get(step).is_some_and(|entry| entry.order() == order) {
        step *= 2;
    }
    let from = step / 2;
    let to = step.min(entries.len());
    from + entries[from..to].partition_point(|entry| entry.order() == order)
}
