//! The limits: what the hardware does with nothing of the library around it.

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::os::unix::fs::FileExt;
use std::path::Path;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use memmap2::Mmap;

/// A bare probe: the store's own snapshot file mapped, and a table of the same shape as the
/// store's index, of the same size, under the same hash. No guard, no growth, no second file, no
/// deleted keys, no errors: a hash, a line, a record.
pub struct BareTable {
    shards: Vec<Vec<[u64; 8]>>,
    file: Mmap,
    seed: u64,
    shared_seed: SharedSeed,
}

const SHARDS: usize = 256;
const OFFSET_BITS: u32 = 49;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

impl BareTable {
    /// Over the records of `snapshot`, with `bytes` of slots.
    pub fn new(snapshot: &Path, bytes: usize) -> BareTable {
        let file = File::open(snapshot).unwrap();
        // SAFETY: nobody changes the file while the benchmark runs.
        let file = unsafe { Mmap::map(&file) }.unwrap();
        let mut table = BareTable {
            shards: vec![vec![[0; 8]; bytes / 64 / SHARDS]; SHARDS],
            file,
            seed: 42,
            shared_seed: SharedSeed::from_u64(42),
        };
        let mut at = 20;
        while at < table.file.len() {
            let (key, value) = table.record(at);
            let (hash, next) = (table.hash(key), at + 12 + key.len() + value.len());
            let shard = &mut table.shards[(hash >> 56) as usize];
            let mut line = first_line(hash, shard.len());
            let slot = loop {
                match shard[line].iter().position(|&slot| slot == 0) {
                    Some(position) => break &mut shard[line][position],
                    None => line = (line + 1) % shard.len(),
                }
            };
            *slot = tag(hash) << OFFSET_BITS | at as u64;
            at = next;
        }
        table
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write(key);
        hasher.finish()
    }

    fn record(&self, at: usize) -> (&[u8], &[u8]) {
        let u32_at = |at: usize| u32::from_be_bytes(self.file[at..at + 4].try_into().unwrap());
        let key_end = at + 4 + u32_at(at) as usize;
        let value_end = key_end + 4 + u32_at(key_end) as usize;
        (&self.file[at + 4..key_end], &self.file[key_end + 4..value_end])
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = self.hash(key);
        let shard = &self.shards[(hash >> 56) as usize];
        let mut line = first_line(hash, shard.len());
        loop {
            for &slot in &shard[line] {
                if slot == 0 {
                    return None;
                }
                if slot >> OFFSET_BITS == tag(hash) {
                    let (found, value) = self.record((slot & OFFSET_MASK) as usize);
                    if found == key {
                        return Some(value);
                    }
                }
            }
            line = (line + 1) % shard.len();
        }
    }
}

fn tag(hash: u64) -> u64 {
    (hash >> 41) & 0x7FFF
}

fn first_line(hash: u64, lines: usize) -> usize {
    (((hash & 0xFFFF_FFFF) * lines as u64) >> 32) as usize
}

/// A preallocated file that entries are written to and synced one by one.
pub struct SyncedFile {
    file: File,
    at: u64,
}

impl SyncedFile {
    pub fn create(path: &Path, len: u64) -> SyncedFile {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(path).unwrap();
        // SAFETY: takes integers only.
        let result =
            unsafe { libc::fallocate(std::os::fd::AsRawFd::as_raw_fd(&file), 0, 0, len as i64) };
        assert_eq!(result, 0, "fallocate");
        file.sync_all().unwrap();
        SyncedFile { file, at: 0 }
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.file.write_all_at(bytes, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += bytes.len() as u64;
    }
}
