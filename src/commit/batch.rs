//! Batches on their way to the log: which operations are written, and which of those readers see.

use super::pending::{Appended, Pending, out_of_memory};
use super::request::Operations;
use super::{Change, Clock, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::index::IndexWriter;
use crate::record::{BatchHeader, Run, log_entry_len};
use crate::wal::Log;

/// The most operations that a batch may have.
pub(crate) const MOST_OPERATIONS: usize = u32::MAX as usize;

/// What is done with each operation of a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It deletes what is not there: nothing is written.
    Omitted,
    /// It is written, and a later operation has the same key.
    Superseded,
    Published,
}

/// Appends a batch to the log and notes what it wrote in `pending`. Returns how much that was.
///
/// # Errors
/// `NoSpace`, `TooLarge`, `OutOfMemory`, `Io`: nothing has been appended.
pub(super) fn append<'a>(
    batch: Operations<'a>,
    log: &mut Log,
    index: &IndexWriter,
    clock: &mut Clock,
    pending: &mut Pending<'a>,
) -> Result<usize> {
    let fates = fates(batch, index, pending)?;
    let is_written = |position: usize| fates[position] != Fate::Omitted;
    let mut header = BatchHeader { count: 0, bytes: 0 };
    for (_, write) in batch.iter().enumerate().filter(|(position, _)| is_written(*position)) {
        header.count += 1;
        header.bytes += log_entry_len(write.key.len(), write.value.len()) as u64;
    }
    if header.count == 0 {
        return Ok(0);
    }
    pending.reserve(header.count as usize)?;
    let now = Clock::now();
    log.begin_batch(clock.tick(now), header)?;
    for (write, fate) in batch.iter().zip(&fates).filter(|(_, fate)| **fate != Fate::Omitted) {
        let Write { change, hash, key, value } = write;
        let appended = log.append_to_batch(change.operation(), clock.tick(now), Run { key, value });
        let location = appended.map_err(|error| {
            // There was room. If not, the batch is not whole, and nothing may follow it.
            log.syncer().poison("a batch was not written whole");
            error.share(ErrorKind::Indeterminate, "a batch was not written whole")
        })?;
        let superseded = *fate == Fate::Superseded;
        pending.push(Appended { change, hash, key, location, superseded });
    }
    Ok(header.count as usize)
}

/// Decides about each operation, before anything is written.
fn fates(
    batch: Operations<'_>,
    index: &IndexWriter,
    pending: &mut Pending<'_>,
) -> Result<Vec<Fate>> {
    let mut fates = Vec::new();
    fates.try_reserve_exact(batch.len()).map_err(|_| out_of_memory(batch.len()))?;
    let mut keys = Keys::new(batch)?;
    for (position, write) in batch.iter().enumerate() {
        let earlier = keys.replace(position).filter(|&earlier| fates[earlier] != Fate::Omitted);
        let is_needed = write.change == Change::Set
            || earlier.is_some()
            || pending.contains(index, write.hash, write.key);
        if let Some(earlier) = earlier {
            fates[earlier] = Fate::Superseded;
        }
        fates.push(if is_needed { Fate::Published } else { Fate::Omitted });
    }
    Ok(fates)
}

/// The last operation of each key so far: a table that is at most half full, of positions plus one.
struct Keys<'a> {
    batch: Operations<'a>,
    slots: Vec<u32>,
}

impl<'a> Keys<'a> {
    fn new(batch: Operations<'a>) -> Result<Keys<'a>> {
        let mut slots = Vec::new();
        if batch.len() > 1 {
            // A hash chooses among at most 2^32, which are more than a batch has operations.
            let len = (2 * batch.len()).min(1 << 32);
            slots.try_reserve_exact(len).map_err(|_| out_of_memory(batch.len()))?;
            slots.resize(len, 0);
        }
        Ok(Keys { batch, slots })
    }

    /// Notes the operation at `position`, and returns the one before it of the same key.
    #[inline]
    fn replace(&mut self, position: usize) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let hash = self.batch.hashes[position];
        let mut at = hash.line(self.slots.len());
        loop {
            let earlier = match self.slots[at] {
                0 => None,
                found => Some(found as usize - 1),
            };
            if earlier.is_none_or(|earlier| self.is_same_key(earlier, position)) {
                self.slots[at] = position as u32 + 1;
                return earlier;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn is_same_key(&self, one: usize, other: usize) -> bool {
        self.batch.hashes[one] == self.batch.hashes[other]
            && self.batch.at(one).key == self.batch.at(other).key
    }
}

/// Refuses a batch that the format cannot hold.
pub(crate) fn check_count(count: usize) -> Result<()> {
    if count <= MOST_OPERATIONS {
        return Ok(());
    }
    let message =
        format!("the batch has {count} operations, more than the {MOST_OPERATIONS} it may");
    Err(Error::new(ErrorKind::TooLarge, message))
}
