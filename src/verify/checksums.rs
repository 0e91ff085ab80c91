//! The checksum of any range of a file at a cost that does not depend on its length.
//!
//! Looking for entries behind damage means checking a candidate at every offset, and each may
//! claim to reach to the end of the file. To read what each claims would take time quadratic in
//! the file's length, and a hostile file would make it so. CRC-32 is linear: from the checksums of
//! two prefixes that of the range between them follows without its bytes.

use crc32fast::Hasher;

use super::progress::Ticker;
use crate::error::Result;

/// Distance of the prefixes whose checksums are kept: four bytes for each.
const BLOCK: usize = 1024;

/// Ranges up to this length are read; that is as fast.
const SHORT: usize = 2 * BLOCK;

/// Checksums of the ranges of `bytes`.
pub(crate) struct RangeChecksums<'m> {
    bytes: &'m [u8],
    /// The checksum of the bytes before each block.
    prefixes: Vec<u32>,
}

impl<'m> RangeChecksums<'m> {
    /// Reads `bytes` once. `None` when there is no memory for a 256th of their length.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(crate) fn new(
        bytes: &'m [u8],
        ticker: &mut Ticker<'_>,
    ) -> Result<Option<RangeChecksums<'m>>> {
        let mut prefixes = Vec::new();
        if prefixes.try_reserve_exact(bytes.len() / BLOCK + 1).is_err() {
            return Ok(None);
        }
        let mut hasher = Hasher::new();
        prefixes.push(0);
        for (block, chunk) in bytes.chunks_exact(BLOCK).enumerate() {
            hasher.update(chunk);
            prefixes.push(hasher.clone().finalize());
            ticker.reached(block * BLOCK)?;
        }
        Ok(Some(RangeChecksums { bytes, prefixes }))
    }

    /// The checksum of `bytes[start..end]`; 0, which then means nothing, when there is no such
    /// range.
    pub(crate) fn of(&self, start: usize, end: usize) -> u32 {
        match self.bytes.get(start..end) {
            None => 0,
            Some(range) if range.len() <= SHORT => crc32fast::hash(range),
            Some(range) => {
                // With A before `start` and B the range, crc(AB) = shift(crc(A), |B|) ^ crc(B).
                // `combine` computes the right side from crc(A) and crc(B); given crc(AB) in the
                // place of crc(B) it computes crc(B).
                let mut hasher = Hasher::new_with_initial_len(self.prefix(start), start as u64);
                let both = Hasher::new_with_initial_len(self.prefix(end), range.len() as u64);
                hasher.combine(&both);
                hasher.finalize()
            }
        }
    }

    /// The checksum of `bytes[..end]`.
    fn prefix(&self, end: usize) -> u32 {
        let block = end / BLOCK;
        let known = self.prefixes.get(block).copied().unwrap_or_default();
        let mut hasher = Hasher::new_with_initial(known);
        hasher.update(self.bytes.get(block * BLOCK..end).unwrap_or_default());
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    #[test]
    fn the_checksum_of_a_range_is_that_of_its_bytes() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let mut go_on = |_: &_| ControlFlow::Continue(());
        let checksums = RangeChecksums::new(&bytes, &mut Ticker::new(&mut go_on)).unwrap().unwrap();
        let edges = [0, 1, 3, 1023, 1024, 1025, 4096, 5000, 9_999, 19_456, 19_999, 20_000];
        for start in edges {
            for end in edges.into_iter().filter(|&end| end >= start) {
                let expected = crc32fast::hash(&bytes[start..end]);
                assert_eq!(checksums.of(start, end), expected, "{start}..{end}");
            }
        }
        assert_eq!(checksums.of(5, 20_001), 0);
    }
}
