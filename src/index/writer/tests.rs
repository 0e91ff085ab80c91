//! The index against a map, through growth, deletion and moves, with readers beside.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::IndexWriter;
use crate::index::Index;
use crate::io::{Epoch, Location, Segments, heap_mapping};

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
