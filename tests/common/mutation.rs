//! Data directories that no writer of the format leaves: damaged at random, or well-formed and
//! hostile.

use std::collections::BTreeMap;

use super::hostile::Random;
use super::reading::Files;
use super::reference::{BATCH, CONTINUES, DELETE, LogEntry, MARK, SET, encode_snapshot};
use super::reference::{log_entries, snapshot_entries};

const TIMES: [i64; 7] = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
const GENERATIONS: [u64; 5] = [0, 1, i64::MAX as u64, 1 << 63, u64::MAX];
const LENGTHS: [u32; 8] = [0, 1, 16, 0xFFFF, 1 << 24, 0x7FFF_FFFF, 0xFFFF_FFF0, u32::MAX];

/// Bytes that mean nothing: as snapshot, as logs, or as both, at times behind a right magic.
pub fn random_files(random: &mut Random) -> Files {
    let mut file = |magic: &[u8]| {
        let scale = random.below(14);
        let len = random.below(1 << scale);
        let mut bytes = random.bytes(len);
        if random.below(2) == 0 {
            bytes.splice(..0, magic.iter().copied());
        }
        bytes
    };
    let (snapshot, log, sealed) = (file(b"KVSP"), file(b"KVLG"), file(b"KVLG"));
    let sealed = match random.below(3) {
        0 => BTreeMap::from([(random.pick(&GENERATIONS), sealed)]),
        _ => BTreeMap::new(),
    };
    match random.below(3) {
        0 => Files { snapshot: Some(snapshot), sealed, log: None },
        1 => Files { snapshot: None, sealed, log: Some(log) },
        _ => Files { snapshot: Some(snapshot), sealed, log: Some(log) },
    }
}

/// `files`, changed in one to four ways; `others` are what parts are spliced in from.
pub fn mutated(files: &Files, others: &[Files], random: &mut Random) -> Files {
    let mut files = files.clone();
    for _ in 0..1 + random.below(4) {
        match random.below(12) {
            0..3 => files.snapshot = files.snapshot.map(|file| change_snapshot(&file, random)),
            3..7 => change_some_log(&mut files, random, change_log),
            7 => files.snapshot = files.snapshot.map(|file| change_bytes(&file, others, random)),
            8 => {
                change_some_log(&mut files, random, |log, random| change_bytes(log, others, random))
            }
            9 | 10 => change_sealed(&mut files, others, random),
            // A log on another snapshot, on none, or without one.
            _ => match random.below(4) {
                0 => files.snapshot = random.pick(others).snapshot,
                1 => files.log = random.pick(others).log,
                2 => files.snapshot = None,
                _ => files.log = None,
            },
        }
    }
    files
}

/// Changes one of the logs, if there is any.
fn change_some_log(
    files: &mut Files,
    random: &mut Random,
    change: impl Fn(&[u8], &mut Random) -> Vec<u8>,
) {
    let mut logs: Vec<_> = files.sealed.values_mut().chain(&mut files.log).collect();
    if !logs.is_empty() {
        let at = random.below(logs.len());
        *logs[at] = change(logs[at], random);
    }
}

/// A sealed log that is missing, has another name or one more, or is another one; up to two of them.
fn change_sealed(files: &mut Files, others: &[Files], random: &mut Random) {
    let generations: Vec<u64> = files.sealed.keys().copied().collect();
    let mut logs: Vec<_> = files.sealed.values().chain(&files.log).cloned().collect();
    logs.push(random.pick(others).log.unwrap_or_default());
    let name = match (random.below(3), &generations[..]) {
        (0, [_, ..]) => random.pick(&generations).wrapping_add(random.pick(&[0, 1, u64::MAX])),
        (1, _) => random.pick(&GENERATIONS),
        _ => opening_generation(&random.pick(&logs)).unwrap_or(7),
    };
    match random.below(4) {
        0 if !generations.is_empty() => drop(files.sealed.remove(&random.pick(&generations))),
        1 if !generations.is_empty() => {
            let log = files.sealed.remove(&random.pick(&generations)).unwrap_or_default();
            files.sealed.insert(name, log);
        }
        2 => files.log = Some(random.pick(&logs)),
        _ => drop(files.sealed.insert(name, random.pick(&logs))),
    }
    while files.sealed.len() > 2 {
        files.sealed.pop_first();
    }
}

fn opening_generation(log: &[u8]) -> Option<u64> {
    Some(log_entries(log).first()?.0.mark_values()?.0)
}

/// A log whose entries are well-formed, and one of which is not what a writer writes.
fn change_log(log: &[u8], random: &mut Random) -> Vec<u8> {
    let mut entries: Vec<LogEntry> = log_entries(log).into_iter().map(|(entry, _)| entry).collect();
    let end = entries.iter().map(|entry| entry.encode().len()).sum();
    if entries.is_empty() {
        entries.push(LogEntry::mark(1, 1, 0));
    }
    let (at, other) = (random.below(entries.len()), random.below(entries.len()));
    match random.below(13) {
        0 => entries.swap(at, other),
        1 => drop(entries.remove(at)),
        2 => entries.insert(at, entries[other].clone()),
        3 => entries[at].timestamp = random.pick(&TIMES),
        4 => entries.iter_mut().for_each(|entry| entry.timestamp = random.pick(&TIMES)),
        5 => {
            entries[at].operation = random.pick(&[0, SET, DELETE, 3, MARK, BATCH, CONTINUES, 0x2a])
        }
        // Of another log, or on another snapshot.
        6 => {
            let (generation, base) = (random.pick(&GENERATIONS), random.pick(&TIMES));
            let at = random.pick(&[0, at]);
            entries.insert(at, LogEntry::mark(random.pick(&TIMES), generation, base));
        }
        // Some of them in one batch, or in a batch that says so and is not.
        7 | 8 => {
            let (at, other) = (at.min(other), at.max(other));
            let mut header = LogEntry::batch(random.pick(&TIMES), &entries[at..other]);
            if random.below(4) == 0 {
                let byte = random.below(header.value.len());
                header.value[byte] = header.value[byte].wrapping_add(random.pick(&[1, 0xFF, 0x80]));
            }
            entries.insert(at, header);
        }
        10 | 11 => change_continues(&mut entries, at, random),
        // What a value holds is no entry.
        9 => entries[at].value = entries[other].encode(),
        _ => {
            let len = random.below(300);
            entries[at].key = random.bytes(random.clone().below(4));
            entries[at].value = random.bytes(len);
        }
    }
    let mut out: Vec<u8> = entries.iter().flat_map(LogEntry::encode).collect();
    out.extend_from_slice(&log[end..]);
    out
}

/// A log that says that it continues another one, or more or less of it, or says so in vain.
fn change_continues(entries: &mut Vec<LogEntry>, at: usize, random: &mut Random) {
    let said = entries.iter().position(|entry| entry.operation == CONTINUES);
    let Some(said) = said.filter(|_| random.below(4) > 0) else {
        let (generation, end) = (random.pick(&GENERATIONS), random.pick(&[0, 1, 90, u64::MAX]));
        let synced = random.pick(&[0, end]);
        let at = random.pick(&[at, 1.min(entries.len())]);
        return entries.insert(at, LogEntry::continues(1, generation, end, synced));
    };
    let values = entries[said].continues_values();
    let Some([generation, end, synced]) = values else { return drop(entries.remove(said)) };
    let near = |number: u64, random: &mut Random| {
        random.pick(&[0, number, number.wrapping_sub(1), number.wrapping_add(1), u64::MAX])
    };
    let [generation, end, synced] = match random.below(4) {
        0 => [near(generation, random), end, synced],
        1 => [generation, near(end, random), synced],
        2 => [generation, end, near(synced, random)],
        _ => return drop(entries.remove(said)),
    };
    entries[said] = LogEntry::continues(entries[said].timestamp, generation, end, synced);
}

/// A snapshot whose checksums are right, and whose header or order is not what a writer writes.
fn change_snapshot(snapshot: &[u8], random: &mut Random) -> Vec<u8> {
    let Some((mut timestamp, mut entries)) = snapshot_entries(snapshot) else {
        return snapshot.to_vec();
    };
    let mut count = entries.len() as u32;
    match random.below(6) {
        0 => timestamp = random.pick(&TIMES),
        1 => count = random.pick(&LENGTHS),
        2 => count = count.wrapping_add(random.pick(&[1, u32::MAX])),
        3 => entries.reverse(),
        4 if !entries.is_empty() => {
            let entry = random.pick(&entries);
            entries.push((entry.0, random.bytes(9)));
            count += 1;
        }
        _ => {
            entries.truncate(random.below(entries.len() + 1));
            count = entries.len() as u32;
        }
    }
    encode_snapshot(timestamp, count, &entries)
}

/// Bytes changed without regard to what they mean.
fn change_bytes(bytes: &[u8], others: &[Files], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (a, b) = (random.position(bytes.len()), random.position(bytes.len()));
    let part = a.min(b)..a.max(b);
    match random.below(8) {
        0 => bytes.truncate(a),
        1 => drop(bytes.drain(part)),
        2 => drop(bytes.splice(a..a, bytes[part.clone()].to_vec())),
        3 => bytes[part].fill(0),
        4 => bytes.extend(vec![0; random.below(9000)]),
        5 => {
            let other = random.pick(others);
            let other = if random.below(2) == 0 { other.snapshot } else { other.log };
            let other = other.unwrap_or_default();
            let from = random.position(other.len());
            bytes.splice(part, other[from..].iter().copied());
        }
        // A length field, if it hits one: sixteen bits in the middle of an entry often are.
        6 if a + 4 <= bytes.len() => {
            bytes[a..a + 4].copy_from_slice(&random.pick(&LENGTHS).to_be_bytes());
        }
        _ => {
            for _ in 0..1 + random.below(20) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len());
                    bytes[at] = random.number() as u8;
                }
            }
        }
    }
    bytes
}
