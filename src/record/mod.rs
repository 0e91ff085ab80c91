//! The bytes of one entry: pure functions over byte slices, no files.
//!
//! A log entry and a snapshot entry share the *run* `key_len key value_len value`; an index
//! location points at its first byte, so a reader need not know which file it is in.
//!
//! ```text
//! log entry       magic u32 "KVLG" | operation u8 | timestamp i64 | run | crc u32 over all before
//! snapshot entry                                                    run | crc u32 over the run
//! snapshot header magic u32 "KVSP" | timestamp i64 | count u32          | crc u32 over all before
//! ```
//! Integers are big-endian; checksums are CRC-32/IEEE. The format is described for writers of
//! other readers in `docs/FORMAT.md`.

mod log;
mod run;
mod snapshot;

pub(crate) use log::{
    BatchHeader, Continues, LogEntry, Mark, Operation, decode_unchecked_log_entry, log_entry_len,
};
pub(crate) use log::{LOG_RUN_OFFSET, MARK_START, decode_log_entry, encode_log_entry};
pub(crate) use run::{ByteSource, Run};
pub(crate) use snapshot::{SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN, SnapshotHeader};
pub(crate) use snapshot::{append_snapshot_entry, encode_snapshot_header};
pub(crate) use snapshot::{decode_snapshot_entry, decode_snapshot_header};

use std::fmt;

/// Why bytes are not a valid entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The bytes end before the entry does; length fields beyond the file's end count here.
    Truncated,
    /// The entry does not begin with the magic number.
    Magic(u32),
    /// The checksum over the entry is not the stored one.
    Checksum { stored: u32, computed: u32 },
    /// It opens a batch that is not whole: only so many of its entries are valid.
    Batch { valid: u32, count: u32 },
    /// It should open a batch, and does not say which.
    BatchHeader,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("the file ends inside it"),
            Malformed::Magic(found) => write!(f, "the magic number is {found:#010x}"),
            Malformed::Checksum { stored, computed } => {
                write!(f, "its checksum is {stored:#010x}, its bytes have {computed:#010x}")
            }
            Malformed::Batch { valid, count } => {
                write!(f, "it opens a batch of {count} entries, of which {valid} follow")
            }
            Malformed::BatchHeader => f.write_str("it should open a batch and does not say which"),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*field))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..)?.first_chunk()?;
    Some(i64::from_be_bytes(*field))
}

/// Checks that the four bytes at `at` are the checksum of all before them.
fn verify_checksum(bytes: &[u8], at: usize) -> Result<(), Malformed> {
    let stored = u32_at(bytes, at).ok_or(Malformed::Truncated)?;
    let computed = crc32fast::hash(&bytes[..at]);
    if stored == computed { Ok(()) } else { Err(Malformed::Checksum { stored, computed }) }
}
