//! A simulated disk, for tests: an in-memory file system that records what would become durable
//! when, counts its operations, injects faults, and can produce every disk image that a crash at
//! any moment may leave.
//!
//! * [`SimulatedDisk`] is the file system that the engine runs on. It shows what a process sees:
//!   the page cache. Every operation adds to a [`Trace`].
//! * [`Crash`] folds a trace up to some moment into what is surely on the disk and what is only
//!   perhaps, and turns each choice of the latter into an [`Image`].
//! * An image is a tree of files; a new disk can be made from one.
//!
//! The model of durability is the weakest that POSIX allows: each 512-byte sector that was
//! changed since the file's last sync, each change of the file's length, and each creation,
//! removal or rename since the directory's last sync reaches the disk or does not, on its own.
//! A sector is written whole or not at all, and so is a rename. Where a file became longer on
//! disk without its content, it has zeros there, or garbage. After a failed sync the sectors that
//! it covered stay in doubt for good, whatever is synced later, until they are stored again.

mod content;
mod crash;
mod disk;
mod faults;
mod file;
mod image;
mod memory;
mod trace;

pub(crate) use content::Content;
pub(crate) use crash::Crash;
pub(crate) use disk::SimulatedDisk;
pub(crate) use faults::{Cloning, Fault, FaultPlan};
pub(crate) use image::{Image, Node};

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
