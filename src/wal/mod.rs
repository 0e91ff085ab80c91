//! The write-ahead log: appending, syncing and scanning one log file.
//!
//! ```text
//! wal.log   mark | group | mark | group | ... | zeros up to the end of the file
//! ```
//! The file is preallocated and mapped; an entry is encoded straight into the mapping. It is
//! mapped in *windows*: when one is full the file is made longer, and the next window begins at
//! the page where the log ends, so that no mapping moves under a reader and no entry spans two.
//!
//! The log does as it is told: when to sync and what to publish is the business of `commit`.

use crate::io::{MAX_FILE_LEN, PAGE};

mod ahead;
mod append;
mod scan;
mod syncer;

pub(crate) use append::{Log, Resume};
pub(crate) use scan::{LogEnd, scan};
pub(crate) use syncer::Syncer;

/// The name of the log that is appended to.
pub(crate) const LOG_NAME: &str = "wal.log";

/// The size of a log's first allocation, in bytes; a store of ten keys takes no more.
const FIRST_ALLOCATION: u64 = 64 << 10;

/// Allocations double the log up to this step, then grow it by a quarter: few enough windows
/// for any size, little enough space taken ahead.
const DOUBLING_LIMIT: u64 = 64 << 20;

/// How long the file should be made when `needed` bytes do not fit into `len`.
fn allocation(len: u64, needed: u64) -> u64 {
    let step = len.clamp(FIRST_ALLOCATION, DOUBLING_LIMIT.max(len / 4));
    (len + step).max(needed).next_multiple_of(PAGE).min(MAX_FILE_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_begins_small_doubles_and_then_grows_by_a_quarter() {
        assert_eq!(allocation(0, 100), 64 << 10);
        assert_eq!(allocation(64 << 10, 100), 128 << 10);
        assert_eq!(allocation(64 << 20, 0), 128 << 20);
        assert_eq!(allocation(1 << 30, 0), (1 << 30) + (256 << 20));
        assert_eq!(allocation(64 << 10, 10 << 20), 10 << 20);
        let (mut len, mut windows) = (0, 0);
        while len < MAX_FILE_LEN {
            len = allocation(len, 0);
            windows += 1;
        }
        assert!(windows < 70, "{windows}");
    }
}
