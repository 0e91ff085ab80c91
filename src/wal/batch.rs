//! Batches: entries that take effect together or not at all.
//!
//! ```text
//! header | entry | entry | ...     the header counts the entries and their bytes
//! ```
//! Room for all of it is reserved before the header is stored, so that a full disk leaves nothing
//! behind, and so that the whole lies in one window. A reader takes a batch whose entries are not
//! all valid for the end of the log.

use super::Log;
use crate::error::Result;
use crate::io::{LoadedBytes, Location};
use crate::record::{BatchHeader, LogEntry, Malformed, Operation, Run};
use crate::record::{decode_log_entry, decode_unchecked_log_entry, log_entry_len};

/// Bytes of the header of a batch.
const HEADER_LEN: usize = log_entry_len(0, BatchHeader::LEN);

impl Log {
    /// Appends the header of a batch and reserves room for its entries. They are to follow by
    /// [`append_to_batch`](Log::append_to_batch), just as many.
    ///
    /// # Errors
    /// `NoSpace`, `TooLarge`, `Io`: nothing has been appended.
    pub(crate) fn begin_batch(&mut self, timestamp: i64, header: BatchHeader) -> Result<()> {
        let len = usize::try_from(header.bytes).unwrap_or(usize::MAX);
        self.make_room(timestamp, HEADER_LEN.saturating_add(len))?;
        let value = header.encode();
        self.encode(Operation::Batch, timestamp, Run { key: &[], value: &value }).map(drop)
    }

    /// Appends the next entry of the batch that was begun.
    ///
    /// # Errors
    /// None, while the entries are those that the header counts.
    #[inline]
    pub(crate) fn append_to_batch(
        &mut self,
        operation: Operation,
        timestamp: i64,
        run: Run<'_>,
    ) -> Result<Location> {
        self.encode(operation, timestamp, run)
    }
}

/// Checks the batch that `header` opens, whose entries begin at `at`, as far as that: every entry
/// a valid one, all of them a set or a delete, and as long together as the header says.
///
/// # Errors
/// An I/O error. The inner error says why the batch is not whole, or which entry has an operation
/// that is not known.
pub(super) fn check(
    loaded: &mut LoadedBytes<'_>,
    at: usize,
    header: BatchHeader,
) -> Result<std::result::Result<(), NotWhole>> {
    let incomplete = |valid| Err(NotWhole::Torn(Malformed::Batch { valid, count: header.count }));
    let (mut end, mut left) = (at, header.bytes);
    for valid in 0..header.count {
        let Ok(entry) = loaded.decode_at(end, decode_log_entry)? else {
            return Ok(incomplete(valid));
        };
        match Operation::from_code(entry.operation) {
            Some(Operation::Set | Operation::Delete) => {}
            Some(Operation::Mark | Operation::Batch | Operation::Continues) => {
                return Ok(incomplete(valid));
            }
            None => return Ok(Err(NotWhole::Unknown { at: end, operation: entry.operation })),
        }
        let Some(rest) = left.checked_sub(entry.encoded_len() as u64) else {
            return Ok(incomplete(valid));
        };
        (end, left) = (end + entry.encoded_len(), rest);
    }
    Ok(if left == 0 { Ok(()) } else { incomplete(header.count) })
}

/// Why a batch cannot be replayed.
pub(super) enum NotWhole {
    Torn(Malformed),
    /// A valid entry in it has an operation of a newer version.
    Unknown {
        at: usize,
        operation: u8,
    },
}

/// The entry at `at`, which [`check`] has found to be valid.
pub(super) fn checked_entry<'m>(
    loaded: &mut LoadedBytes<'m>,
    at: usize,
) -> Result<std::result::Result<LogEntry<'m>, Malformed>> {
    loaded.decode_at(at, decode_unchecked_log_entry)
}
