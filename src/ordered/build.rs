//! Putting records in order: all of them at first, then those that were changed.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::entry::{Entry, Order};
use super::out_of_memory;
use super::run::Run;
use super::sort::{ByLocation, ByNumber, Records, sort};
use crate::buckets::sort_by_number_by_two;
use crate::error::Result;
use crate::index::Change;
use crate::io::{Location, SegmentPins};
use crate::sync::{is_parallel, join};

/// The records at `locations`, among which there may be the same one twice. Of different records
/// with one key, any may be chosen.
///
/// They are read in the order in which they lie in the files, which is the order of keys in a
/// snapshot that this library wrote: then nothing of it is left to sort.
pub(super) fn build(mut locations: Vec<Location>, pins: &SegmentPins) -> Result<Run> {
    let place = |location: &Location| location.bits();
    if are_many(locations.len()) {
        let places = Places::of(pins);
        sort_by_number_by_two(&mut locations, |location| places.number(*location), place);
    } else {
        locations.sort_unstable_by_key(place);
    }
    locations.dedup();
    let (mut entries, ordered) = read_all(&locations, pins)?;
    drop(locations);
    if ordered.len() == entries.len() {
        return Run::of(&entries);
    }
    let run = Run::of(&entries[ordered.clone()])?;
    remove(&mut entries, ordered);
    apply_unsorted(&run, &mut entries, &ByLocation(pins), |entry| entry)
}

/// Numbers for the bytes of all mapped files, as if one followed the other: those of locations leave
/// most of their upper bits unused.
struct Places {
    /// By the number of a segment.
    starts: Vec<u64>,
}

impl Places {
    fn of(pins: &SegmentPins) -> Places {
        let (mut starts, mut end) = (Vec::new(), 0);
        for (id, mapping) in pins.mappings() {
            starts.resize(id.number() + 1, end);
            end += mapping.len() as u64;
        }
        Places { starts }
    }

    #[inline]
    fn number(&self, location: Location) -> u64 {
        let start = self.starts.get(location.segment_id().number()).copied();
        start.unwrap_or_default() + location.offset() as u64
    }
}

/// Whether so many records are worth a second thread.
fn are_many(records: usize) -> bool {
    /// Fewer in a test, so that small runs come to it.
    const MANY: usize = if cfg!(test) { 64 } else { 16 << 10 };
    records >= MANY && is_parallel()
}

/// Entries for `locations`, which ascend, and which of them are the largest part of one segment whose
/// keys ascend too.
fn read_all(locations: &[Location], pins: &SegmentPins) -> Result<(Vec<Entry>, Range<usize>)> {
    let mut entries = Vec::new();
    let reserved = entries.try_reserve_exact(locations.len());
    reserved.map_err(|_| out_of_memory(locations.len()))?;
    let mut parts = if are_many(locations.len()) {
        let (first, second) = locations.split_at(locations.len() / 2);
        let (read_first, read_second) = join(
            || read(&mut entries, first, pins),
            || {
                let mut entries = Vec::new();
                let reserved = entries.try_reserve_exact(second.len());
                reserved.map_err(|_| out_of_memory(second.len()))?;
                read(&mut entries, second, pins).map(|parts| (entries, parts))
            },
        );
        let (mut parts, (more, more_parts)) = (read_first?, read_second?);
        let known = entries.len();
        entries.extend_from_slice(&more);
        parts.extend(more_parts.into_iter().map(|part| part.start + known..part.end + known));
        parts
    } else {
        read(&mut entries, locations, pins)?
    };
    // A segment that begins in one half and goes on in the other.
    parts.dedup_by(|next, part| {
        let (Some(last), Some(first)) = (part.end.checked_sub(1), locations.get(next.start)) else {
            return false;
        };
        let goes_on = part.end == next.start
            && locations[last].segment_id() == first.segment_id()
            && is_less(locations[last], *first, pins);
        if goes_on {
            part.end = next.end;
        }
        goes_on
    });
    let ordered = parts.into_iter().max_by_key(Range::len).unwrap_or_default();
    Ok((entries, ordered))
}

fn is_less(a: Location, b: Location, pins: &SegmentPins) -> bool {
    matches!((pins.key(a), pins.key(b)), (Ok(a), Ok(b)) if a < b)
}

/// Adds entries for `locations`. Returns which of them are those of one segment whose keys ascend,
/// each greater than the last.
fn read(
    entries: &mut Vec<Entry>,
    locations: &[Location],
    pins: &SegmentPins,
) -> Result<Vec<Range<usize>>> {
    let mut parts = Vec::new();
    for segment in locations.chunk_by(|a, b| a.segment_id() == b.segment_id()) {
        let (start, mut ascending, mut last) = (entries.len(), true, None);
        for &location in segment {
            // Keys and values: one that cannot be read is noticed now, not when it is scanned.
            let key = pins.record(location)?.key;
            if ascending {
                ascending = last.is_none_or(|last| last < key);
                last = Some(key);
            }
            entries.push(Entry::new(key, 0, location.bits()));
        }
        if ascending {
            parts.push(start..entries.len());
        }
    }
    Ok(parts)
}

fn remove(entries: &mut Vec<Entry>, range: Range<usize>) {
    entries.copy_within(range.end.., range.start);
    entries.truncate(entries.len() - range.len());
}

/// The run after `changes`, which are in the order in which they were made.
pub(super) fn follow(
    mut run: Arc<Run>,
    changes: &[Vec<Change>],
    pins: &SegmentPins,
) -> Result<Arc<Run>> {
    if changes.is_empty() {
        return Ok(run);
    }

    let changes = flatten(changes)?;
    let mut entries = Vec::new();
    entries.try_reserve_exact(changes.len()).map_err(|_| out_of_memory(changes.len()))?;
    for (number, change) in changes.iter().enumerate() {
        let key = pins.record(change.location())?.key;
        entries.push(Entry::new(key, 0, number as u64));
    }
    let records = ByNumber { changes: &changes, pins };
    let locate = |entry: Entry| {
        let change = changes[entry.which() as usize];
        entry.with_location(change.location(), change.is_deleted())
    };
    // Not `try_unwrap`, which orders by a fence: that is hidden from the sanitizer.
    let next = match Arc::get_mut(&mut run) {
        Some(own) if !are_many(entries.len()) => {
            let kept = sort_located(&mut entries, &records, locate)?;
            mem::take(own).apply_to_own(kept, pins)?
        }
        _ => apply_unsorted(&run, &mut entries, &records, locate)?,
    };
    Ok(Arc::new(next))
}

/// The run after changes that are in no order, of which `locate` makes what is to be kept. If there
/// are many, a second thread does the upper half of the keys.
fn apply_unsorted(
    run: &Run,
    entries: &mut [Entry],
    records: &(impl Records + Sync),
    locate: impl Fn(Entry) -> Entry + Sync,
) -> Result<Run> {
    let apply = |run: &Run, entries: &mut [Entry]| {
        run.apply(sort_located(entries, records, &locate)?, records.pins())
    };
    let halves = if are_many(entries.len()) { run.middle() } else { None };
    let Some((middle, pivot)) = halves.or_else(|| median(run, entries)) else {
        return apply(run, entries);
    };
    let mut count = 0;
    for at in 0..entries.len() {
        if entries[at].order() < pivot {
            entries.swap(at, count);
            count += 1;
        }
    }
    let (low, high) = entries.split_at_mut(count);
    let (low_run, high_run) = (run.part(0..middle)?, run.part(middle..usize::MAX)?);
    let (low, high) = join(|| apply(&low_run, low), || apply(&high_run, high));
    low?.followed_by(&high?)
}

/// For an empty run: where to divide `entries` so that the halves are about as large.
fn median(run: &Run, entries: &[Entry]) -> Option<(usize, Order)> {
    const SAMPLES: usize = 63;
    if run.len() > 0 || !are_many(entries.len()) {
        return None;
    }
    let mut samples: Vec<Order> =
        entries.iter().step_by(entries.len() / SAMPLES).map(|entry| entry.order()).collect();
    samples.sort_unstable();
    samples.get(samples.len() / 2).map(|&pivot| (0, pivot))
}

/// The entries that remain in order, each as `locate` makes it.
fn sort_located<'e>(
    entries: &'e mut [Entry],
    records: &impl Records,
    locate: impl Fn(Entry) -> Entry,
) -> Result<&'e [Entry]> {
    let kept = sort(entries, records)?;
    let kept = &mut entries[..kept];
    kept.iter_mut().for_each(|entry| *entry = locate(*entry));
    Ok(kept)
}

fn flatten(blocks: &[Vec<Change>]) -> Result<Vec<Change>> {
    let len = blocks.iter().map(Vec::len).sum();
    let mut changes = Vec::new();
    changes.try_reserve_exact(len).map_err(|_| out_of_memory(len))?;
    blocks.iter().for_each(|block| changes.extend_from_slice(block));
    Ok(changes)
}
