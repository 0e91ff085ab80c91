//! The snapshot's header and entries.

use super::{Malformed, Run, i64_at, u32_at, verify_checksum};

const SNAPSHOT_MAGIC: u32 = 0x4B56_5350; // "KVSP"

/// Bytes of the header at the start of a snapshot.
pub(crate) const SNAPSHOT_HEADER_LEN: usize = 20;

/// Bytes of a snapshot entry beyond its key and value.
pub(crate) const SNAPSHOT_ENTRY_OVERHEAD: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    /// Unix time in nanoseconds; later than every entry of the logs that the snapshot covers.
    pub(crate) timestamp: i64,
    /// Number of entries that follow.
    pub(crate) count: u32,
}

/// Decodes and checks the header at the start of `bytes`.
pub(crate) fn decode_snapshot_header(bytes: &[u8]) -> Result<SnapshotHeader, Malformed> {
    let magic = u32_at(bytes, 0).ok_or(Malformed::Truncated)?;
    if magic != SNAPSHOT_MAGIC {
        return Err(Malformed::Magic(magic));
    }
    verify_checksum(bytes, SNAPSHOT_HEADER_LEN - 4)?;
    let timestamp = i64_at(bytes, 4).ok_or(Malformed::Truncated)?;
    let count = u32_at(bytes, 12).ok_or(Malformed::Truncated)?;
    Ok(SnapshotHeader { timestamp, count })
}

pub(crate) fn encode_snapshot_header(header: SnapshotHeader) -> [u8; SNAPSHOT_HEADER_LEN] {
    let mut out = [0; SNAPSHOT_HEADER_LEN];
    out[..4].copy_from_slice(&SNAPSHOT_MAGIC.to_be_bytes());
    out[4..12].copy_from_slice(&header.timestamp.to_be_bytes());
    out[12..16].copy_from_slice(&header.count.to_be_bytes());
    let crc = crc32fast::hash(&out[..16]);
    out[16..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Decodes and checks the entry at the start of `bytes`; it is its run and four bytes long.
pub(crate) fn decode_snapshot_entry(bytes: &[u8]) -> Result<Run<'_>, Malformed> {
    let run = Run::decode(&bytes).ok_or(Malformed::Truncated)?;
    verify_checksum(bytes, run.encoded_len())?;
    Ok(run)
}

/// Adds an entry to `out`. `run` are the bytes of its run.
pub(crate) fn append_snapshot_entry(out: &mut Vec<u8>, run: &[u8]) {
    out.extend_from_slice(run);
    out.extend_from_slice(&crc32fast::hash(run).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO: &[u8] = include_bytes!("../../tests/fixtures/golden/clean/snapshot.dat");

    #[test]
    fn the_header_of_the_go_store_is_reproduced_byte_for_byte() {
        let header = decode_snapshot_header(GO).unwrap();
        assert_eq!(encode_snapshot_header(header), GO[..SNAPSHOT_HEADER_LEN]);
    }

    #[test]
    fn every_bit_flip_of_header_and_entry_is_noticed() {
        let entry_len =
            decode_snapshot_entry(&GO[SNAPSHOT_HEADER_LEN..]).unwrap().encoded_len() + 4;
        for bit in 0..(SNAPSHOT_HEADER_LEN + entry_len) * 8 {
            let mut flipped = GO.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let noticed = if bit / 8 < SNAPSHOT_HEADER_LEN {
                decode_snapshot_header(&flipped).is_err()
            } else {
                decode_snapshot_entry(&flipped[SNAPSHOT_HEADER_LEN..]).is_err()
            };
            assert!(noticed, "bit {bit}");
        }
    }
}
