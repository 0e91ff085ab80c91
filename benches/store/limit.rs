//! The limits: what the hardware does with nothing of the library around it.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::fs::FileExt;
use std::path::Path;

use foldhash::fast::FixedState;
use memmap2::Mmap;

/// A bare probe: the store's own snapshot file mapped, and one table of 64-bit slots of the
/// size that the store's index has, with a tag and an offset in each. No guard, no growth, no
/// error, no bounds of a second file: a hash, a line, a record.
pub struct BareTable {
    slots: Vec<u64>,
    file: Mmap,
    hasher: FixedState,
}

const OFFSET_BITS: u32 = 48;

impl BareTable {
    /// Over the records of `snapshot`, with `bytes` of slots.
    pub fn new(snapshot: &Path, bytes: usize) -> BareTable {
        let file = File::open(snapshot).unwrap();
        // SAFETY: nobody changes the file while the benchmark runs.
        let file = unsafe { Mmap::map(&file) }.unwrap();
        let mut table =
            BareTable { slots: vec![0; bytes / 8], file, hasher: FixedState::with_seed(42) };
        let mut at = 20;
        while at < table.file.len() {
            let (key, value) = table.record(at);
            let (hash, next) = (table.hash(key), at + 12 + key.len() + value.len());
            let mut slot = table.first_slot(hash);
            while table.slots[slot] != 0 {
                slot = (slot + 1) % table.slots.len();
            }
            table.slots[slot] = hash >> OFFSET_BITS << OFFSET_BITS | at as u64;
            at = next;
        }
        table
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    fn first_slot(&self, hash: u64) -> usize {
        (((hash & 0xFFFF_FFFF) * (self.slots.len() / 8) as u64) >> 32) as usize * 8
    }

    fn record(&self, at: usize) -> (&[u8], &[u8]) {
        let u32_at = |at: usize| u32::from_be_bytes(self.file[at..at + 4].try_into().unwrap());
        let key_end = at + 4 + u32_at(at) as usize;
        let value_end = key_end + 4 + u32_at(key_end) as usize;
        (&self.file[at + 4..key_end], &self.file[key_end + 4..value_end])
    }

    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = self.hash(key);
        let mut slot = self.first_slot(hash);
        loop {
            let content = self.slots[slot];
            if content == 0 {
                return None;
            }
            if content >> OFFSET_BITS == hash >> OFFSET_BITS {
                let (found, value) = self.record((content & ((1 << OFFSET_BITS) - 1)) as usize);
                if found == key {
                    return Some(value);
                }
            }
            slot = (slot + 1) % self.slots.len();
        }
    }
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
