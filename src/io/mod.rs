//! Every system call that touches a file, behind traits ([`raw`]), so that a simulated disk
//! ([`simulated`]) can stand in for the [`real`] one. Nothing outside this module names a file
//! descriptor or `std::fs`.
//!
//! `unsafe` is for handing out slices of mapped files ([`mapping`], [`segments`]), freeing what
//! readers have left ([`epoch`]), and the few system calls that the standard library lacks.

mod directory;
mod epoch;
mod file;
mod fork;
mod loaded;
mod mapping;
mod prefetch;
mod raw;
mod real;
mod segments;
#[cfg(test)]
pub(crate) mod simulated;
mod step;

pub(crate) use directory::Directory;
#[cfg(all(test, loom))]
pub(crate) use epoch::SpinLock;
pub(crate) use epoch::{Epoch, Guard, Retirable};
pub(crate) use file::File;
pub(crate) use fork::{fork_count, notice_forks};
pub(crate) use loaded::LoadedBytes;
#[cfg(any(test, fuzzing))]
pub(crate) use mapping::heap_mapping;
pub(crate) use mapping::{GuardedBytes, MappedTail, Mapping, PinnedBytes};
pub(crate) use prefetch::prefetch;
pub(crate) use raw::cannot_clone;
pub(crate) use raw::{Access, FileSystem, HeldLock, Lock, LockAttempt, RawDirectory, RawFile};
pub(crate) use real::RealFileSystem;
pub(crate) use segments::{Location, SegmentId, SegmentPins, SegmentSet, Segments};
pub(crate) use step::Step;

/// The largest file of a data directory: an offset fits the 40 bits it has in a [`Location`].
pub(crate) const MAX_FILE_LEN: u64 = 1 << 40;

/// The unit of mapping offsets and of reserving space.
pub(crate) const PAGE: u64 = 4096;
