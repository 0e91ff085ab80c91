//! Log entries.

use super::{Malformed, Run, i64_at, u32_at, verify_checksum};

const LOG_MAGIC: u32 = 0x4B56_4C47; // "KVLG"
const OPERATION_AT: usize = 4;
const TIMESTAMP_AT: usize = 5;

/// Where the run begins within a log entry: after magic, operation and timestamp.
pub(crate) const LOG_RUN_OFFSET: usize = 13;

/// Bytes of a log entry beyond its key and value.
const LOG_ENTRY_OVERHEAD: usize = LOG_RUN_OFFSET + 8 + 4;

/// What a log entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Operation {
    Set = 0x01,
    Delete = 0x02,
    /// Vouches that every byte of the log before it had reached the disk; see [`Mark`].
    Mark = 0x10,
    /// The entries behind it take effect together or not at all; see [`BatchHeader`].
    Batch = 0x11,
    /// Says which sealed log this one continues; see [`Continues`].
    Continues = 0x12,
}

impl Operation {
    /// The operation with this code, or `None` for one that this version does not know.
    pub(crate) fn from_code(code: u8) -> Option<Operation> {
        match code {
            0x01 => Some(Operation::Set),
            0x02 => Some(Operation::Delete),
            0x10 => Some(Operation::Mark),
            0x11 => Some(Operation::Batch),
            0x12 => Some(Operation::Continues),
            _ => None,
        }
    }
}

/// The bytes that every mark begins with: magic and operation.
pub(crate) const MARK_START: [u8; 5] = {
    let magic = LOG_MAGIC.to_be_bytes();
    [magic[0], magic[1], magic[2], magic[3], Operation::Mark as u8]
};

/// A decoded log entry; its checksum was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEntry<'a> {
    /// Kept as a number: a well-formed entry may have an operation of a newer version.
    pub(crate) operation: u8,
    /// Unix time in nanoseconds.
    pub(crate) timestamp: i64,
    pub(crate) run: Run<'a>,
}

impl LogEntry<'_> {
    /// The mark that the entry is, if it is one. One with a key is none.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match Operation::from_code(self.operation) {
            Some(Operation::Mark) if self.run.key.is_empty() => Mark::decode(self.run.value),
            _ => None,
        }
    }

    /// What the log continues, if the entry says so. One with a key does not.
    pub(crate) fn continues(&self) -> Option<Continues> {
        match Operation::from_code(self.operation) {
            Some(Operation::Continues) if self.run.key.is_empty() => {
                Continues::decode(self.run.value)
            }
            _ => None,
        }
    }

    /// What it says of the entries behind it, if it is the header of a batch. One with a key, or
    /// with a value of another length, is none.
    pub(crate) fn batch_header(&self) -> Option<BatchHeader> {
        match Operation::from_code(self.operation) {
            Some(Operation::Batch) if self.run.key.is_empty() => {
                BatchHeader::decode(self.run.value)
            }
            _ => None,
        }
    }

    /// Bytes of the entry in the log.
    pub(crate) fn encoded_len(&self) -> usize {
        LOG_RUN_OFFSET + self.run.encoded_len() + 4
    }
}

/// Bytes of a log entry with a key and a value of these lengths.
pub(crate) const fn log_entry_len(key_len: usize, value_len: usize) -> usize {
    LOG_ENTRY_OVERHEAD + key_len + value_len
}

/// Decodes and checks the entry at the start of `bytes`.
pub(crate) fn decode_log_entry(bytes: &[u8]) -> Result<LogEntry<'_>, Malformed> {
    let entry = decode_unchecked_log_entry(bytes)?;
    verify_checksum(bytes, entry.encoded_len() - 4)?;
    Ok(entry)
}

/// Decodes the entry at the start of `bytes` without looking at its checksum, which may lie beyond
/// their end: for a reader that has a cheaper way to check it than over the whole entry.
pub(crate) fn decode_unchecked_log_entry(bytes: &[u8]) -> Result<LogEntry<'_>, Malformed> {
    let magic = u32_at(bytes, 0).ok_or(Malformed::Truncated)?;
    if magic != LOG_MAGIC {
        return Err(Malformed::Magic(magic));
    }
    let rest = bytes.get(LOG_RUN_OFFSET..).ok_or(Malformed::Truncated)?;
    let run = Run::decode(&rest).ok_or(Malformed::Truncated)?;
    let timestamp = i64_at(bytes, TIMESTAMP_AT).ok_or(Malformed::Truncated)?;
    Ok(LogEntry { operation: bytes[OPERATION_AT], timestamp, run })
}

/// Writes an entry over the whole of `out`, which is `log_entry_len` long.
pub(crate) fn encode_log_entry(out: &mut [u8], operation: Operation, timestamp: i64, run: Run<'_>) {
    debug_assert_eq!(out.len(), log_entry_len(run.key.len(), run.value.len()));
    let crc_at = out.len() - 4;
    out[..OPERATION_AT].copy_from_slice(&LOG_MAGIC.to_be_bytes());
    out[OPERATION_AT] = operation as u8;
    out[TIMESTAMP_AT..LOG_RUN_OFFSET].copy_from_slice(&timestamp.to_be_bytes());
    run.encode(&mut out[LOG_RUN_OFFSET..crc_at]);
    let crc = crc32fast::hash(&out[..crc_at]);
    out[crc_at..].copy_from_slice(&crc.to_be_bytes());
}

/// The value of a [`Operation::Mark`] entry: which log this is, and which snapshot it builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Identifies the log; greater than that of every earlier log of the directory.
    pub(crate) generation: u64,
    /// The timestamp of the snapshot that the log builds on, 0 when there is none.
    pub(crate) base: i64,
}

impl Mark {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn encode(self) -> [u8; Mark::LEN] {
        let mut value = [0; Mark::LEN];
        value[..8].copy_from_slice(&self.generation.to_be_bytes());
        value[8..].copy_from_slice(&self.base.to_be_bytes());
        value
    }

    /// `None` when `value` is not the value of a mark.
    pub(crate) fn decode(value: &[u8]) -> Option<Mark> {
        if value.len() != Mark::LEN {
            return None;
        }
        let generation = u64::from_be_bytes(*value.first_chunk()?);
        Some(Mark { generation, base: i64_at(value, 8)? })
    }
}

/// The value of an [`Operation::Continues`] entry, which follows the mark that opens a log: the
/// sealed log that comes before it. What follows is only to be replayed if all of that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Continues {
    /// The generation of the sealed log.
    pub(crate) generation: u64,
    /// Bytes of its entries.
    pub(crate) end: u64,
    /// How many of them were known to be on the disk when it was sealed.
    pub(crate) synced: u64,
}

impl Continues {
    pub(crate) const LEN: usize = 24;

    pub(crate) fn encode(self) -> [u8; Continues::LEN] {
        let mut value = [0; Continues::LEN];
        value[..8].copy_from_slice(&self.generation.to_be_bytes());
        value[8..16].copy_from_slice(&self.end.to_be_bytes());
        value[16..].copy_from_slice(&self.synced.to_be_bytes());
        value
    }

    /// `None` when `value` is not such a value.
    fn decode(value: &[u8]) -> Option<Continues> {
        if value.len() != Continues::LEN {
            return None;
        }
        let field = |at: usize| i64_at(value, at).map(|number| number as u64);
        Some(Continues { generation: field(0)?, end: field(8)?, synced: field(16)? })
    }
}

/// The value of a [`Operation::Batch`] entry: how far the batch that it opens reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// How many sets and deletes follow it.
    pub(crate) count: u32,
    /// Their bytes in all.
    pub(crate) bytes: u64,
}

impl BatchHeader {
    pub(crate) const LEN: usize = 12;

    pub(crate) fn encode(self) -> [u8; BatchHeader::LEN] {
        let mut value = [0; BatchHeader::LEN];
        value[..4].copy_from_slice(&self.count.to_be_bytes());
        value[4..].copy_from_slice(&self.bytes.to_be_bytes());
        value
    }

    /// `None` when `value` is not the value of a batch's header.
    pub(crate) fn decode(value: &[u8]) -> Option<BatchHeader> {
        if value.len() != BatchHeader::LEN {
            return None;
        }
        let count = u32_at(value, 0)?;
        Some(BatchHeader { count, bytes: u64::from_be_bytes(*value[4..].first_chunk()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(operation: Operation, timestamp: i64, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = vec![0xAA; log_entry_len(key.len(), value.len())];
        encode_log_entry(&mut out, operation, timestamp, Run { key, value });
        out
    }

    #[test]
    fn an_entry_of_the_go_store_is_reproduced_byte_for_byte() {
        let go = include_bytes!("../../tests/fixtures/golden/wal-only/wal.log");
        let first = decode_log_entry(go).unwrap();
        assert_eq!((first.operation, first.run.key), (0x01, b"w:00000".as_slice()));
        let again = encoded(Operation::Set, first.timestamp, first.run.key, first.run.value);
        assert_eq!(again, &go[..again.len()]);
    }

    #[test]
    fn every_truncation_and_every_bit_flip_is_noticed() {
        let bytes = encoded(Operation::Set, 42, b"key", b"value");
        assert_eq!(decode_log_entry(&bytes).unwrap().run.value, b"value");
        for len in 0..bytes.len() {
            assert_eq!(decode_log_entry(&bytes[..len]), Err(Malformed::Truncated));
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_log_entry(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_mark_survives_the_round_trip() {
        let mark = Mark { generation: 7, base: -1 };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Mark::decode(&[0; 15]), None);
        let continues = Continues { generation: u64::MAX, end: 7, synced: 3 };
        assert_eq!(Continues::decode(&continues.encode()), Some(continues));
        assert_eq!(Continues::decode(&[0; 16]), None);
    }

    #[test]
    fn the_header_of_a_batch_survives_the_round_trip() {
        let header = BatchHeader { count: 7, bytes: 1 << 40 };
        assert_eq!(BatchHeader::decode(&header.encode()), Some(header));
        assert_eq!(BatchHeader::decode(&[0; 13]), None);
        let bytes = encoded(Operation::Batch, 1, b"", &header.encode());
        assert_eq!(decode_log_entry(&bytes).unwrap().batch_header(), Some(header));
        let with_a_key = encoded(Operation::Batch, 1, b"k", &header.encode());
        assert_eq!(decode_log_entry(&with_a_key).unwrap().batch_header(), None);
    }
}
