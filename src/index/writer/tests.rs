//! The index against a map, through growth, deletion and moves, with readers beside.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::IndexWriter;
use crate::index::shard::between;
use crate::index::{Index, Move, Sweep};
use crate::io::{Epoch, Location, SegmentId, SegmentSet, Segments, heap_mapping};

/// Records with the keys `0..count` as four bytes, and values that say which version they are.
struct Records {
    segments: Arc<Segments>,
    locations: Vec<Vec<Location>>,
}

fn records(count: u32, versions: u8) -> Records {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for version in 0..versions {
        for key in 0..count {
            offsets.push(bytes.len());
            bytes.extend_from_slice(&4_u32.to_be_bytes());
            bytes.extend_from_slice(&key.to_be_bytes());
            bytes.extend_from_slice(&1_u32.to_be_bytes());
            bytes.push(version);
        }
    }
    let segments = Arc::new(Segments::new());
    let segment = segments.install(heap_mapping(bytes)).unwrap();
    let locate = |offsets: &[usize]| offsets.iter().map(|&at| Location::new(segment, at)).collect();
    let locations = offsets.chunks(count as usize).map(locate).collect();
    Records { segments, locations }
}

fn version_of(index: &Index, key: u32) -> Option<u8> {
    let key = key.to_be_bytes();
    let guard = Epoch.enter();
    index.find(index.hash(&key), &key, &guard).map(|value| value[0])
}

fn set(writer: &mut IndexWriter, records: &Records, key: u32, version: u8) -> bool {
    let hash = writer.index().hash(&key.to_be_bytes());
    writer.reserve(hash).unwrap();
    writer.set(hash, &key.to_be_bytes(), records.locations[version as usize][key as usize])
}

fn delete(writer: &mut IndexWriter, records: &Records, key: u32) -> bool {
    let hash = writer.index().hash(&key.to_be_bytes());
    writer.reserve(hash).unwrap();
    writer.delete(hash, &key.to_be_bytes(), records.locations[0][key as usize])
}

#[test]
fn the_index_agrees_with_a_map() {
    const KEYS: u32 = 20_000;
    let records = records(KEYS, 3);
    let mut writer = IndexWriter::new(records.segments.clone());
    let mut model = HashMap::new();
    let mut random: u32 = 1;
    for step in 0..300_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (key, action) = ((random >> 8) % KEYS, random >> 30);
        // Phases of growth and of shrinking.
        if action == 0 || (action == 1 && step % 100_000 > 50_000) {
            assert_eq!(delete(&mut writer, &records, key), model.remove(&key).is_some());
        } else {
            let version = (random % 3) as u8;
            let existed = set(&mut writer, &records, key, version);
            assert_eq!(existed, model.insert(key, version).is_some());
        }
        assert_eq!(writer.index().len(), model.len());
        assert_eq!(version_of(writer.index(), key), model.get(&key).copied());
    }
    for key in 0..KEYS {
        assert_eq!(version_of(writer.index(), key), model.get(&key).copied());
    }
    let mut live = 0;
    writer.for_each(|_| live += 1);
    assert_eq!(live, model.len());
    writer.shrink().unwrap();
    writer.presize(10 * KEYS as usize).unwrap();
    writer.shrink().unwrap();
    for key in 0..KEYS {
        assert_eq!(version_of(writer.index(), key), model.get(&key).copied());
    }
}

#[test]
fn queues_of_ever_new_keys_do_not_grow_the_index() {
    const KEYS: u32 = 200_000;
    let records = records(KEYS, 1);
    let mut writer = IndexWriter::new(records.segments.clone());
    let mut most = 0;
    for key in 0..KEYS {
        set(&mut writer, &records, key, 0);
        if key >= 1_000 {
            assert!(delete(&mut writer, &records, key - 1_000));
        }
        most = most.max(writer.index().memory());
    }
    assert_eq!(writer.index().len(), 1_000);
    assert!(most < 128 << 10, "{most} bytes for a thousand keys");
}

#[test]
fn readers_find_every_key_while_tables_grow() {
    const KEYS: u32 = 60_000;
    let records = records(2 * KEYS, 2);
    let mut writer = IndexWriter::new(records.segments.clone());
    for key in 0..KEYS {
        set(&mut writer, &records, key, 0);
    }
    let index = writer.index().clone();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..4_u32 {
            let (index, stop) = (&index, &stop);
            scope.spawn(move || {
                let (mut random, mut newest) = (seed, vec![0; KEYS as usize]);
                while !stop.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let key = (random >> 8) % KEYS;
                    let version = version_of(index, key).expect("no key is ever missing");
                    assert!(version >= newest[key as usize], "no reader goes back in time");
                    newest[key as usize] = version;
                }
            });
        }
        for key in 0..KEYS {
            set(&mut writer, &records, KEYS + key, 0);
            set(&mut writer, &records, key, 1);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(index.len(), 2 * KEYS as usize);
}

/// An index whose first shard is growing, and a key that was deleted there since it began to: its
/// predecessor has the key still. Returns that as well, and what a checkpoint does amid a read: the
/// growing ends, every live key is relocated from version 0 to version 1, which lies in another
/// file, and all tables are swept.
fn overtaken() -> (Arc<Index>, Records, u32, impl FnOnce() + 'static) {
    const KEYS: u32 = 100_000;
    let old = records(KEYS, 1);
    let (copy, offsets) = copy_of(&old, KEYS);
    let mut writer = IndexWriter::new(old.segments.clone());
    let index = writer.index().clone();
    let in_shard = |key: &u32| index.hash(&key.to_be_bytes()).shard() == 0;
    let keys: Vec<u32> = (0..KEYS).filter(in_shard).collect();
    let deleted = keys[0];
    let mut count = 0;
    while count < 200 || !writer.shards[0].moving {
        set(&mut writer, &old, keys[count], 0);
        count += 1;
    }
    assert!(delete(&mut writer, &old, deleted));
    assert!(writer.shards[0].moving, "the shard is still growing");
    let live: Vec<Move> = keys[1..count]
        .iter()
        .map(|&key| {
            let hash = index.hash(&key.to_be_bytes());
            Move::new(hash, old.locations[0][key as usize], offsets[key as usize])
        })
        .collect();
    let mut retired = SegmentSet::default();
    retired.insert(old.locations[0][0].segment_id());
    let work = move || {
        writer.finish_move(0);
        writer.relocate(&live, copy);
        assert!(writer.sweep(&mut Sweep::default(), &retired, usize::MAX).unwrap());
    };
    (index, old, deleted, work)
}

/// The same records in another file: its segment, and where in it they are.
fn copy_of(records: &Records, count: u32) -> (SegmentId, Vec<u64>) {
    let pins = records.segments.pins();
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for &location in &records.locations[0][..count as usize] {
        offsets.push(bytes.len() as u64);
        bytes.extend_from_slice(pins.bytes(location, 13).unwrap());
    }
    (records.segments.install(heap_mapping(bytes)).unwrap(), offsets)
}

/// A reader that had loaded the predecessor once went on there after it had met the buried slot.
#[test]
fn a_key_deleted_while_its_shard_grew_stays_deleted_for_a_reader_that_a_sweep_overtakes() {
    let (index, _records, deleted, work) = overtaken();
    assert_eq!(version_of(&index, deleted), None);
    between::next(work);
    assert_eq!(version_of(&index, deleted), None);
    assert_eq!(version_of(&index, deleted), None);
}

/// A view was once refused as if records could not be read: it had one too many.
#[test]
fn a_key_deleted_while_its_shard_grew_is_not_collected_when_a_sweep_comes_between() {
    let (index, _records, deleted, work) = overtaken();
    let before = index.collect().unwrap().len();
    assert_eq!(before, index.len());
    between::next(work);
    let mut locations = index.collect().unwrap();
    locations.sort_unstable_by_key(|location| location.bits());
    locations.dedup();
    let guard = Epoch.enter();
    let has_key = |location: &Location| {
        let source = index.segments.at(*location, &guard).unwrap();
        crate::record::Run::decode_if_key(&source, &deleted.to_be_bytes()).is_some()
    };
    assert!(!locations.iter().any(has_key));
}
