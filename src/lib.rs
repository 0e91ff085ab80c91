//! An embedded key-value store: the whole index in memory, the data in two files that the
//! operating system maps.
//!
//! ```
//! use kvstore::Store;
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//!
//! let store = Store::open(path)?; // creates the directory; every write is synced
//! store.set("user:1", "alice")?;
//! if let Some(value) = store.get("user:1")? {
//!     assert_eq!(&*value, b"alice"); // borrowed from the mapped file, not copied
//! }
//! for item in store.scan_prefix("user:") {
//!     let (key, value) = item?;
//!     println!("{} bytes under {:?}", value.len(), key);
//! }
//! store.close()?; // writes the snapshot; a crash before it would have lost nothing
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is promised, and what is not, is in `docs/DESIGN.md`; the bytes on disk are described in
//! `docs/FORMAT.md`, and the same directory can be opened from C and Python.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![deny(unsafe_code)] // allowed by name in the mapped-file part of `io`, the index, and `ffi`

/// The examples of the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod backup;
mod buckets;
mod checkpoint;
mod commit;
mod error;
#[cfg(test)]
mod explorer;
#[cfg(not(doctest))] // its examples are in C; tests/c compiles them
mod ffi;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod io;
#[cfg(all(test, loom))]
mod models;
mod new_directory;
mod options;
mod ordered;
mod range;
mod record;
mod recovery;
mod repair;
mod snapshot;
mod store;
mod sync;
mod verify;
mod wal;

pub use backup::BackupProgress;
pub use error::{Error, ErrorKind, Result};
pub use options::{CloseCheckpoint, Durability, MAX_LEN, Options};
pub use range::KeyRange;
pub use recovery::RecoveryReport;
pub use repair::{LeftOut, RepairReport, repair, repair_with, salvage, salvage_with};
pub use store::{Batch, Cursor, Direction, Keys, PinnedValue, Scan, Stats, Store, Transaction};
pub use store::{TransactionScan, Value, View};
pub use verify::{Condition, Finding, LogCheck, LogUse, Progress, QuarantinedFile};
pub use verify::{SnapshotCheck, Verification, verify, verify_with};
