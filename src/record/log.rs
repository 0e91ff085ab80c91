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
}

impl Operation {
    /// The operation with this code, or `None` for one that this version does not know.
    pub(crate) fn from_code(code: u8) -> Option<Operation> {
        match code {
            0x01 => Some(Operation::Set),
            0x02 => Some(Operation::Delete),
            0x10 => Some(Operation::Mark),
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
    /// Bytes of the entry in the log.
    pub(crate) fn encoded_len(&self) -> usize {
        LOG_RUN_OFFSET + self.run.encoded_len() + 4
    }
}

/// Bytes of a log entry with a key and a value of these lengths.
pub(crate) fn log_entry_len(key_len: usize, value_len: usize) -> usize {
    LOG_ENTRY_OVERHEAD + key_len + value_len
}

/// Decodes and checks the entry at the start of `bytes`.
pub(crate) fn decode_log_entry(bytes: &[u8]) -> Result<LogEntry<'_>, Malformed> {
    let magic = u32_at(bytes, 0).ok_or(Malformed::Truncated)?;
    if magic != LOG_MAGIC {
        return Err(Malformed::Magic(magic));
    }
    let rest = bytes.get(LOG_RUN_OFFSET..).ok_or(Malformed::Truncated)?;
    let run = Run::decode(&rest).ok_or(Malformed::Truncated)?;
    let timestamp = i64_at(bytes, TIMESTAMP_AT).ok_or(Malformed::Truncated)?;
    let entry = LogEntry { operation: bytes[OPERATION_AT], timestamp, run };
    verify_checksum(bytes, entry.encoded_len() - 4)?;
    Ok(entry)
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
    }
}
