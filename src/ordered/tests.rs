//! The order of real records in memory, against a `BTreeSet`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::Entry;
use super::run::CHUNK;
use super::*;
use crate::error::Result;
use crate::index::Index;
use crate::io::simulated::Random;
use crate::io::{Segments, heap_mapping};
use crate::record::Run as Record;

/// An index with its writer, and what it should hold: for each key where its record is.
struct Fixture {
    segments: Arc<Segments>,
    writer: IndexWriter,
    standing: Standing,
    model: BTreeMap<Vec<u8>, Location>,
}

impl Fixture {
    fn new() -> Fixture {
        let segments = Arc::new(Segments::new());
        let writer = IndexWriter::new(segments.clone());
        Fixture { segments, writer, standing: Standing::default(), model: BTreeMap::new() }
    }

    /// Makes the changes: a key, and whether it is set or deleted, in a segment of their own.
    fn change(&mut self, changes: &[(Vec<u8>, bool)]) {
        let mut bytes = Vec::new();
        let offsets: Vec<usize> = changes
            .iter()
            .map(|(key, _)| {
                let offset = bytes.len();
                bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(&0_u32.to_be_bytes());
                offset
            })
            .collect();
        let segment = self.segments.install(heap_mapping(bytes)).unwrap();
        for ((key, is_set), offset) in changes.iter().zip(offsets) {
            let (hash, location) = (self.writer.index().hash(key), Location::new(segment, offset));
            self.writer.reserve(hash).unwrap();
            if *is_set {
                self.writer.set(hash, key, location);
                self.model.insert(key.clone(), location);
            } else {
                self.writer.delete(hash, key, location);
                self.model.remove(key);
            }
        }
    }

    fn view(&mut self) -> OrderedRun {
        let index: Arc<Index> = self.writer.index().clone();
        let (writer, segments) = (&mut self.writer, &self.segments);
        let take = |keep| Ok(Instant::take(writer, segments, keep));
        self.standing.catch_up(&index, take).unwrap()
    }

    /// That the view has what it should, by every way to look at it.
    fn check(&mut self) {
        let view = self.view();
        assert_holds(&view, &self.model);
        let fresh = OrderedRun::of(&self.writer, self.segments.pins()).unwrap();
        assert_holds(&fresh, &self.model);
    }
}

fn assert_holds(view: &OrderedRun, model: &BTreeMap<Vec<u8>, Location>) {
    let key = |location| Record::decode(&view.pins().at(location).unwrap()).unwrap().key;
    assert_eq!(view.len(), model.len());
    assert!(
        view.iter().map(|at| (key(at), at)).eq(model.iter().map(|(k, &at)| (k.as_slice(), at)))
    );
    let mut walk = Walk::new(view, 0..view.len());
    let down = std::iter::from_fn(|| walk.next_back(view));
    assert!(down.eq(model.values().rev().copied()));
    for (rank, (key, location)) in model.iter().enumerate() {
        assert_eq!(view.find(key).unwrap(), Some(*location), "{key:?}");
        assert_eq!(view.count_before(key, false).unwrap(), rank, "{key:?}");
        assert_eq!(view.count_before(key, true).unwrap(), rank + 1, "{key:?}");
        let mut behind = key.clone();
        behind.push(0);
        if !model.contains_key(&behind) {
            assert_eq!(view.find(&behind).unwrap(), None, "{behind:?}");
            assert_eq!(view.count_before(&behind, true).unwrap(), rank + 1, "{behind:?}");
        }
    }
    assert_chunks(view);
}

/// What every run keeps to.
fn assert_chunks(view: &OrderedRun) {
    let mut before = 0;
    for chunk in 0.. {
        let Some(entries) = view.run.chunk(chunk) else { break };
        assert!(!entries.is_empty() && entries.len() <= 2 * CHUNK, "{}", entries.len());
        let place = view.run.place(before);
        assert_eq!((place.chunk, place.at), (chunk, 0));
        before += entries.len();
    }
    assert_eq!(before, view.len());
}

/// Keys that share beginnings, end within a head, at it and behind it, and have zeros in them.
fn awkward_keys() -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    for len in 0..20 {
        keys.push(vec![b'a'; len]);
        keys.push(vec![0; len]);
        keys.push([vec![b'a'; len], vec![0; 3]].concat());
        keys.push([vec![b'a'; len], vec![0xFF, 1]].concat());
    }
    for number in 0..500_u32 {
        keys.push(format!("user:{:08}", number.wrapping_mul(2_654_435_761) % 1000).into());
        keys.push(format!("a long shared beginning, then {number}").into());
    }
    keys
}

#[test]
fn keys_come_in_byte_order_whatever_they_share() {
    let mut fixture = Fixture::new();
    let mut keys = awkward_keys();
    // Back to front, so that the order in memory is of no help.
    keys.reverse();
    fixture.change(&keys.iter().map(|key| (key.clone(), true)).collect::<Vec<_>>());
    fixture.check();
}

#[test]
fn a_view_follows_any_changes_in_steps_of_any_size() {
    let keys = awkward_keys();
    for seed in 0..30 {
        let (mut random, mut fixture) = (Random::new(seed), Fixture::new());
        for _ in 0..40 {
            let most = [3, 30, 3000][random.below(3)];
            let count = random.below(most);
            let deletes = random.below(4);
            let mut change = |_| {
                let key = keys[random.below(keys.len())].clone();
                (key, random.below(4) >= deletes)
            };
            let changes: Vec<_> = (0..count).map(&mut change).collect();
            fixture.change(&changes);
            if random.below(3) > 0 {
                fixture.check();
            }
        }
        fixture.check();
    }
}

#[test]
fn many_records_are_kept_in_chunks_that_views_share() {
    let mut fixture = Fixture::new();
    let key = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().to_vec();
    fixture.change(&(0..20_000).map(|number| (key(number), true)).collect::<Vec<_>>());
    let before = fixture.view();
    let old_model = fixture.model.clone();
    fixture.change(&[(key(77), false), (key(78), true), (b"new".to_vec(), true)]);
    let after = fixture.view();
    assert_holds(&after, &fixture.model);
    assert_holds(&before, &old_model);
    let address = |view: &OrderedRun, chunk| view.run.chunk(chunk).map(|entries| entries.as_ptr());
    let all: Vec<_> = (0..).map_while(|chunk| address(&before, chunk)).collect();
    let shared = (0..).map_while(|chunk| address(&after, chunk)).filter(|at| all.contains(at));
    assert!(shared.count() >= all.len() - 3, "of {}", all.len());
    // Nearly all deleted: chunks are put together.
    fixture.change(&(100..20_000).map(|number| (key(number), false)).collect::<Vec<_>>());
    let few = fixture.view();
    assert_holds(&few, &fixture.model);
    assert!(few.memory() < 6_000, "{}", few.memory());
    fixture.change(&(0..20_000).map(|number| (key(number), false)).collect::<Vec<_>>());
    fixture.change(&[(b"new".to_vec(), false)]);
    assert_eq!(fixture.view().len(), 0);
    fixture.check();
}

#[test]
fn few_changes_of_a_run_that_nobody_else_has_are_made_in_place() {
    let mut fixture = Fixture::new();
    let key = |number: usize| (number as u64 * 10).to_be_bytes().to_vec();
    fixture.change(&(0..20_000).map(|number| (key(number), true)).collect::<Vec<_>>());
    let (mut random, mut deleted) = (Random::new(1), 8_000);
    fixture.check();
    for step in 0..150 {
        let mut changes = Vec::new();
        for _ in 0..random.below(20) {
            // Deletes in a row, so that chunks get small and vanish; new keys in a row, so that
            // they are split; and any others.
            changes.push((key(deleted), false));
            deleted += 1;
            changes.push(([key(3), vec![step, changes.len() as u8]].concat(), true));
        }
        changes.push((key(random.below(20_001)), random.below(2) == 0));
        fixture.change(&changes);
        drop(fixture.view());
        if step % 15 == 0 {
            fixture.check();
        }
    }
    assert!(deleted > 9_200, "{deleted}");
    fixture.check();
}

#[test]
fn a_view_is_the_same_one_until_something_changes() {
    let mut fixture = Fixture::new();
    fixture.change(&[(b"a".to_vec(), true)]);
    let (one, two) = (fixture.view(), fixture.view());
    assert!(Arc::ptr_eq(&one.run, &two.run) && Arc::ptr_eq(&one.pins, &two.pins));
    fixture.change(&[(b"a".to_vec(), true)]);
    assert!(!Arc::ptr_eq(&one.run, &fixture.view().run));
}

#[test]
fn changes_beyond_what_is_worth_keeping_have_the_index_read_again() {
    let mut fixture = Fixture::new();
    fixture.change(&[(b"a".to_vec(), true)]);
    fixture.check();
    let keys = awkward_keys();
    let changes: Vec<_> =
        keys.iter().cycle().take(100_000).map(|key| (key.clone(), true)).collect();
    fixture.change(&changes);
    assert_eq!(fixture.writer.changes_memory(), 0, "forgotten");
    fixture.check();
    fixture.change(&[(b"a".to_vec(), false)]);
    fixture.check();
}

#[test]
fn a_failure_leaves_nothing_that_goes_on_gathering() {
    let mut fixture = Fixture::new();
    let keys = awkward_keys();
    fixture.change(&keys.iter().map(|key| (key.clone(), true)).collect::<Vec<_>>());
    let index = fixture.writer.index().clone();
    let (writer, segments) = (&mut fixture.writer, &fixture.segments);
    let mut calls = 0;
    let fail_second = |keep| -> Result<Instant> {
        calls += 1;
        if calls == 2 {
            return Err(Error::new(ErrorKind::OutOfMemory, "a test"));
        }
        Ok(Instant::take(writer, segments, keep))
    };
    assert!(fixture.standing.catch_up(&index, fail_second).is_err());
    assert_eq!(calls, 3);
    fixture.change(&[(b"b".to_vec(), true)]);
    assert_eq!((fixture.writer.changes_memory(), fixture.standing.memory()), (0, 0));
    fixture.check();
}

#[test]
fn a_record_that_is_missing_is_noticed_by_the_count() {
    assert!(check_count(3, 3).is_ok());
    let error = check_count(2, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("1 of 3"), "{error}");
}

#[test]
fn records_that_moved_are_found_where_they_are_now() {
    let mut fixture = Fixture::new();
    let keys = awkward_keys();
    fixture.change(&keys.iter().map(|key| (key.clone(), true)).collect::<Vec<_>>());
    let old = fixture.view();
    let old_segment = old.iter().next().unwrap().segment_id();
    fixture.change(&[(b"later".to_vec(), true), (keys[5].clone(), false)]);
    let now = fixture.view();
    // As a checkpoint would: what the old view has is written anew in order.
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for location in old.iter() {
        let key = old.pins().key(location).unwrap();
        places.push((location, bytes.len()));
        bytes.extend_from_slice(&(key.len() as u32).to_be_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&0_u32.to_be_bytes());
    }
    let segment = fixture.segments.install(heap_mapping(bytes)).unwrap();
    let mut places = places.into_iter();
    let pins = fixture.segments.pins();
    let place = |location| {
        let place = places.find(|(from, _)| *from == location);
        Ok(Location::new(segment, place.unwrap().1))
    };
    fixture.standing.relocate(pins, |id| id == old_segment, place).unwrap();
    let moved = fixture.view();
    let keys = |view: &OrderedRun| -> Vec<Vec<u8>> {
        view.iter().map(|at| view.pins().key(at).unwrap().to_vec()).collect()
    };
    assert_eq!(keys(&moved), keys(&now));
    assert!(moved.iter().all(|location| location.segment_id() != old_segment));
    let entry = Entry::new(b"key", 0, 7);
    assert!(!entry.is_deleted() && entry.with_location(Location::from_bits(9), true).is_deleted());
}
