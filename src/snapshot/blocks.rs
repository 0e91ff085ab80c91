//! The blocks in which a snapshot is written: each begins at a multiple of its length.
//!
//! A kernel whose page cache takes large folios (Linux since 6.16 on ext4, before that on XFS) keeps
//! what is written at once in one folio only if it begins where such a folio may; of a write that
//! begins elsewhere it makes many small ones. Fewer are made faster, written back, mapped and unmapped.

use std::mem;
use std::ops::Range;

use super::copy::out_of_memory;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{File, MAX_FILE_LEN};

/// Bytes of a block. Of 64 KiB to 4 MiB this was the fastest to write (`docs/PERFORMANCE.md`). Fewer in
/// a test, so that small snapshots have several.
pub(super) const BLOCK: usize = if cfg!(test) { 4 << 10 } else { 512 << 10 };

/// What is added to a snapshot, until it fills a block.
#[derive(Default)]
pub(super) struct Blocks {
    /// Bytes that make whole blocks; they are with whoever added the last of each.
    whole: u64,
    /// What follows those, less than a block.
    open: Vec<u8>,
}

/// What has become whole, to be written by whoever added the last of it.
pub(super) struct Whole {
    at: u64,
    direct: Range<usize>,
}

impl Blocks {
    /// How many bytes have been added.
    pub(super) fn len(&self) -> u64 {
        self.whole + self.open.len() as u64
    }

    /// Adds `bytes`. Returns at which offset they are. What becomes whole by them is in `block` and
    /// among `bytes` themselves, which are copied only where they share a block with others:
    /// [`Whole::write`] writes it, at any time.
    ///
    /// # Errors
    /// `TooLarge` for more than a file may have, `OutOfMemory`; then the snapshot is of no use.
    pub(super) fn add(&mut self, bytes: &[u8], block: &mut Vec<u8>) -> Result<(u64, Whole)> {
        let (place, at) = (self.len(), self.whole);
        if place + bytes.len() as u64 > MAX_FILE_LEN {
            return Err(too_large());
        }
        block.clear();
        let room = BLOCK - self.open.len();
        if bytes.len() < room {
            extend(&mut self.open, bytes)?;
            return Ok((place, Whole { at, direct: 0..0 }));
        }
        // What shares the open block, whole blocks, and what the next one begins with.
        let head = if self.open.is_empty() { 0 } else { room };
        let tail = bytes.len() - (bytes.len() - head) % BLOCK;
        extend(&mut self.open, &bytes[..head])?;
        mem::swap(&mut self.open, block);
        extend(&mut self.open, &bytes[tail..])?;
        self.whole += (block.len() + tail - head) as u64;
        Ok((place, Whole { at, direct: head..tail }))
    }

    /// What fills no block, for when nothing is added any more.
    pub(super) fn write_rest(&self, file: &File) -> Result<()> {
        write_out(file, &self.open, self.whole)
    }
}

impl Whole {
    /// Writes it; `bytes` and `block` are as they were when it was added.
    pub(super) fn write(self, file: &File, bytes: &[u8], block: &[u8]) -> Result<()> {
        write_out(file, block, self.at)?;
        write_out(file, &bytes[self.direct], self.at + block.len() as u64)
    }
}

#[cold]
fn too_large() -> Error {
    let message = format!("a snapshot cannot exceed {MAX_FILE_LEN} bytes; the log is kept");
    Error::new(ErrorKind::TooLarge, message)
}

fn extend(to: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    to.try_reserve(bytes.len()).map_err(|_| out_of_memory(bytes.len()))?;
    to.extend_from_slice(bytes);
    Ok(())
}

fn write_out(file: &File, bytes: &[u8], offset: u64) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    file.write_all_at(bytes, offset)?;
    // Long before the sync, which then finds little to do.
    file.write_back(offset, bytes.len() as u64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::io::simulated::Random;
    use crate::io::{Directory, RealFileSystem};

    #[test]
    fn what_is_added_is_written_in_whole_blocks_whatever_its_length() {
        let directory = tempfile::tempdir().unwrap();
        let place = Directory::open(&RealFileSystem, directory.path(), false).unwrap();
        let file = place.create_file_for("blocks", "blocks").unwrap();
        let mut random = Random::new(7);
        let (mut blocks, mut block, mut expected) = (Blocks::default(), Vec::new(), Vec::new());
        let edges = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK];
        for number in 0..500 {
            let len = match edges.get(number % 11) {
                // Also from the beginning of a block.
                Some(edge) if number % 2 == 0 => edge + (BLOCK - expected.len() % BLOCK) % BLOCK,
                Some(&edge) => edge,
                None => (random.next() % (BLOCK as u64 / 3)) as usize,
            };
            let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            let (place, whole) = blocks.add(&bytes, &mut block).unwrap();
            assert_eq!(place, expected.len() as u64);
            expected.extend_from_slice(&bytes);
            assert_eq!(blocks.len(), expected.len() as u64);
            assert!(blocks.open.len() < BLOCK);
            assert_eq!(whole.at % BLOCK as u64, 0);
            assert_eq!((block.len() % BLOCK, whole.direct.len() % BLOCK), (0, 0));
            whole.write(&file, &bytes, &block).unwrap();
        }
        blocks.write_rest(&file).unwrap();
        assert!(fs::read(directory.path().join("blocks")).unwrap() == expected);
    }

    #[test]
    fn a_snapshot_is_no_longer_than_a_file_may_be() {
        let mut blocks = Blocks { whole: MAX_FILE_LEN, open: Vec::new() };
        let error = blocks.add(b"x", &mut Vec::new()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}
