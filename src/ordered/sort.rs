//! Sorting locations by the keys of their records.
//!
//! A key is compared eight bytes at a time: locations are sorted by the first eight bytes of
//! their keys as a number, without looking at a record again; then each run of equal ones by the
//! next eight bytes, and so on. So a record is read once for each eight bytes that its key
//! shares with another, not once for each comparison.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{Location, SegmentPins};
use crate::range::KeyRange;
use crate::record::Run;

/// Bytes of key that one round looks at.
const HEAD: usize = 8;

/// How many records ahead are brought near.
const PREFETCH_DISTANCE: usize = 16;

/// What a round sorts by: eight bytes of the key as a big-endian number, padded with zeros, then
/// how many of them the key has. Of two keys with the same padded head, the shorter one is a
/// prefix of the longer, so comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    head: u64,
    /// The count of bytes in the top four bits, 9 standing for more; below it the location.
    length_and_location: u64,
}

impl Entry {
    const LENGTH_SHIFT: u32 = 60;
    const MORE: u64 = HEAD as u64 + 1;

    fn new(key: &[u8], depth: usize, location: Location) -> Entry {
        let rest = key.get(depth..).unwrap_or_default();
        let mut head = [0; HEAD];
        let len = rest.len().min(HEAD);
        head[..len].copy_from_slice(&rest[..len]);
        let length = (rest.len() as u64).min(Entry::MORE);
        Entry {
            head: u64::from_be_bytes(head),
            length_and_location: length << Entry::LENGTH_SHIFT | location.bits(),
        }
    }

    fn location(self) -> Location {
        Location::from_bits(self.length_and_location)
    }

    /// Whether the key goes on behind its head.
    fn has_more(self) -> bool {
        self.length_and_location >> Entry::LENGTH_SHIFT == Entry::MORE
    }
}

const _: () = assert!(Location::BITS <= Entry::LENGTH_SHIFT);

/// The locations whose keys lie in `range`, in ascending order of key.
pub(super) fn sort_by_key(
    locations: Vec<Location>,
    pins: &SegmentPins,
    range: &KeyRange,
) -> Result<Vec<Location>> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(locations.len()).map_err(|_| {
        let message = format!("no memory to sort {} records", locations.len());
        Error::new(ErrorKind::OutOfMemory, message)
    })?;
    for (position, &location) in locations.iter().enumerate() {
        if let Some(&ahead) = locations.get(position + PREFETCH_DISTANCE) {
            pins.prefetch(ahead);
        }
        let key = pins.record(location)?.key;
        if range.contains(key) {
            entries.push(Entry::new(key, 0, location));
        }
    }
    drop(locations);
    sort_entries(&mut entries, pins);
    Ok(entries.into_iter().map(Entry::location).collect())
}

fn key_at(pins: &SegmentPins, location: Location) -> &[u8] {
    // It was decoded before; a key garbled since is sorted somewhere, and noticed when read.
    pins.at(location).and_then(|source| Run::decode_key(&source)).unwrap_or_default()
}

fn sort_entries(entries: &mut [Entry], pins: &SegmentPins) {
    // Ranges of entries that agree in the first `depth` bytes. A stack of our own: keys may
    // share gigabytes.
    let mut unsorted: Vec<(Range<usize>, usize)> = vec![(0..entries.len(), 0)];
    while let Some((range, depth)) = unsorted.pop() {
        let part = &mut entries[range.clone()];
        part.sort_unstable();
        let mut start = 0;
        for same in part.chunk_by_mut(|a, b| a.head == b.head && b.has_more()) {
            let end = start + same.len();
            // The first of the chunk may be a key that ends here, before those that go on.
            let ended = usize::from(!same[0].has_more());
            if same.len() - ended > 1 {
                for position in ended..same.len() {
                    if let Some(ahead) = same.get(position + PREFETCH_DISTANCE) {
                        pins.prefetch(ahead.location());
                    }
                    let location = same[position].location();
                    same[position] = Entry::new(key_at(pins, location), depth + HEAD, location);
                }
                unsorted.push((range.start + start + ended..range.start + end, depth + HEAD));
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::io::{Epoch, Segments, heap_mapping};

    #[test]
    fn keys_come_in_byte_order_whatever_they_share() {
        let mut keys: BTreeSet<Vec<u8>> = BTreeSet::new();
        for len in 0..20 {
            keys.insert(vec![b'a'; len]);
            keys.insert(vec![0; len]);
            keys.insert([vec![b'a'; len], vec![0; 3]].concat());
            keys.insert([vec![b'a'; len], vec![0xFF, 1]].concat());
        }
        for number in 0..500_u32 {
            keys.insert(format!("user:{:08}", number.wrapping_mul(2_654_435_761) % 1000).into());
            keys.insert(format!("a long shared beginning, then {number}").into());
        }
        assert_sorted(&keys, &KeyRange::all());
        assert_sorted(&keys, &KeyRange::prefix("user:"));
        assert_sorted(&keys, &KeyRange::from([b'a'; 9].as_slice()..[b'a'; 12].as_slice()));
    }

    fn assert_sorted(keys: &BTreeSet<Vec<u8>>, range: &KeyRange) {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        // Back to front, so that the order in memory is of no help.
        for key in keys.iter().rev() {
            offsets.push(bytes.len());
            bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&0_u32.to_be_bytes());
        }
        let segments = Segments::new();
        let segment = segments.install(heap_mapping(bytes)).unwrap();
        let locations = offsets.iter().map(|&at| Location::new(segment, at)).collect();
        let pins = segments.snapshot(&Epoch.enter());
        let sorted = sort_by_key(locations, &pins, range).unwrap();
        let found: Vec<&[u8]> = sorted.iter().map(|&at| key_at(&pins, at)).collect();
        let expected: Vec<&[u8]> =
            keys.iter().map(Vec::as_slice).filter(|key| range.contains(key)).collect();
        assert_eq!(found, expected);
    }
}
