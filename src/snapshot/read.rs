//! Reading a snapshot.

use std::path::Path;
use std::sync::Arc;

use super::SNAPSHOT_NAME;
use crate::error::{Error, Result};
use crate::io::{Access, Directory, LoadedBytes, MAX_FILE_LEN, Mapping};
use crate::record::{
    Malformed, Run, SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN, SnapshotHeader,
    decode_snapshot_entry, decode_snapshot_header,
};

/// A snapshot whose header has been checked, mapped and read from the disk.
pub(crate) struct LoadedSnapshot {
    pub(crate) header: SnapshotHeader,
    pub(crate) mapping: Arc<Mapping>,
}

/// Maps the directory's snapshot; `None` when it has none.
///
/// # Errors
/// `Corrupt` when the header is damaged or counts more entries than the file can hold; `Io` when
/// reading fails.
pub(crate) fn load(directory: &Directory) -> Result<Option<LoadedSnapshot>> {
    let Some(file) = directory.open_file(SNAPSHOT_NAME, Access::ReadOnly)? else { return Ok(None) };
    let path = file.path();
    let len = file.len()?;
    if len < SNAPSHOT_HEADER_LEN as u64 {
        let what = format!("the file has {len} bytes, fewer than a snapshot's header");
        return Err(corrupt(path, 0, what));
    }
    if len > MAX_FILE_LEN {
        let what = format!("the file has {len} bytes, more than the {MAX_FILE_LEN} it may have");
        return Err(corrupt(path, 0, what));
    }
    let mapping = file.map(0, len, Access::ReadOnly)?;
    let header = match LoadedBytes::new(&mapping).decode_at(0, decode_snapshot_header)? {
        Ok(header) => header,
        Err(Malformed::Magic(found)) => {
            let what = format!("it begins with {found:#010x}, so it is not a snapshot");
            return Err(corrupt(path, 0, what));
        }
        Err(malformed) => return Err(corrupt(path, 0, format!("in the header, {malformed}"))),
    };
    let least = u64::from(header.count) * SNAPSHOT_ENTRY_OVERHEAD as u64;
    if least > len - SNAPSHOT_HEADER_LEN as u64 {
        let what =
            format!("the header counts {} entries, which {len} bytes cannot hold", header.count);
        return Err(corrupt(path, 12, what));
    }
    Ok(Some(LoadedSnapshot { header, mapping }))
}

impl LoadedSnapshot {
    /// Calls `visit` with the offset of every entry's run and the run itself, in file order.
    ///
    /// # Errors
    /// Those of `visit`; `Corrupt` at the first damaged entry, naming it and its offset.
    pub(crate) fn for_each<'m>(
        &'m self,
        mut visit: impl FnMut(usize, Run<'m>) -> Result<()>,
    ) -> Result<()> {
        let mut loaded = LoadedBytes::new(&self.mapping);
        let mut at = SNAPSHOT_HEADER_LEN;
        for number in 0..self.header.count {
            let run = loaded.decode_at(at, decode_snapshot_entry)?.map_err(|malformed| {
                let what = format!("in entry {number} of {}, {malformed}", self.header.count);
                corrupt(self.mapping.path(), at as u64, what)
            })?;
            visit(at, run)?;
            at += run.encoded_len() + 4;
        }
        // What follows is a trailer of some newer version, or nothing.
        Ok(())
    }
}

fn corrupt(path: &Path, offset: u64, what: String) -> Error {
    Error::corrupt(path, offset, what).advise("nothing was changed; restore it from a backup")
}
