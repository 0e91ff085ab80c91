//! The write-ahead log: appending, syncing and scanning one log file.
//!
//! ```text
//! wal.log   mark | group | mark | group | ... | zeros up to the end of the file
//! ```
//! A checkpoint *seals* the log: it is appended to no more, keeps its entries under the name
//! `wal-<generation>.log` until a snapshot has them, and another log takes its place and goes on
//! where it ends.
//!
//! The file is preallocated and mapped; an entry is encoded straight into the mapping. It is
//! mapped in *windows*: when one is full the file is made longer, and the next window begins at
//! the page where the log ends, so that no mapping moves under a reader and no entry spans two.
//!
//! The log does as it is told: when to sync and what to publish is the business of `commit`.

use crate::io::{MAX_FILE_LEN, PAGE};

mod ahead;
mod append;
mod batch;
mod fresh;
mod scan;
mod syncer;

pub(crate) use append::{Log, Resume, SealedLog};
pub(crate) use fresh::FreshLog;
pub(crate) use scan::{LogEnd, scan};
pub(crate) use syncer::{Before, Health, Syncer, Unvouched};

/// The name of the log that is appended to.
pub(crate) const LOG_NAME: &str = "wal.log";

/// The name of one that is about to be; never read.
pub(crate) const NEXT_LOG_NAME: &str = "wal.log.tmp";

/// The name of the sealed log of `generation`.
pub(crate) fn sealed_log_name(generation: u64) -> String {
    format!("wal-{generation}.log")
}

/// The digits in the name of a sealed log; `None` for other names.
pub(crate) fn sealed_log_digits(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then_some(digits)
}

/// The size of a log's first allocation, in bytes; a store of ten keys takes no more.
const FIRST_ALLOCATION: u64 = 64 << 10;

/// Allocations double the log up to this step.
const DOUBLING_LIMIT: u64 = 64 << 20;

/// How much longer a log is made each time: few enough windows for any size, little enough space
/// taken ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocation {
    /// The log is doubled up to this step, in bytes.
    most: u64,
    /// Then it grows by one part of so many.
    parts: u64,
}

impl Allocation {
    /// For a log that a checkpoint is to keep below `limit` bytes, `u64::MAX` for none: what is taken
    /// ahead is to be little of that.
    pub(crate) fn below(limit: u64) -> Allocation {
        match limit {
            u64::MAX => Allocation { most: DOUBLING_LIMIT, parts: 4 },
            _ => Allocation { most: (limit / 8).clamp(FIRST_ALLOCATION, DOUBLING_LIMIT), parts: 8 },
        }
    }

    /// How long the file should be made when `needed` bytes do not fit into `len`.
    fn next(self, len: u64, needed: u64) -> u64 {
        let step = len.clamp(FIRST_ALLOCATION, self.most.max(len / self.parts));
        (len + step).max(needed).next_multiple_of(PAGE).min(MAX_FILE_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_begins_small_doubles_and_then_grows_by_a_part() {
        let free = Allocation::below(u64::MAX);
        assert_eq!(free.next(0, 100), 64 << 10);
        assert_eq!(free.next(64 << 10, 100), 128 << 10);
        assert_eq!(free.next(64 << 20, 0), 128 << 20);
        assert_eq!(free.next(1 << 30, 0), (1 << 30) + (256 << 20));
        assert_eq!(free.next(64 << 10, 10 << 20), 10 << 20);
        let limited = Allocation::below(64 << 20);
        assert_eq!(limited.next(64 << 10, 100), 128 << 10);
        assert_eq!(limited.next(64 << 20, 0), 72 << 20);
        assert_eq!(limited.next(1 << 30, 0), (1 << 30) + (128 << 20));
    }

    #[test]
    fn no_log_needs_more_windows_than_there_are_numbers() {
        for (limit, most) in [(u64::MAX, 70), (1 << 40, 120), (64 << 20, 140), (0, 180)] {
            let (mut len, mut windows) = (0, 0);
            while len < MAX_FILE_LEN {
                len = Allocation::below(limit).next(len, 0);
                windows += 1;
            }
            assert!(windows < most, "{windows} below {limit}");
        }
    }
}
