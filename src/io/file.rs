//! An open file, with errors that name it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Access, Mapping, RawFile, Step, cannot_clone};
use crate::error::{Error, Result};

/// An open file. Errors name its path, what was done, and the offset where there is one.
///
/// Interrupted system calls are called again, and what a short write has left is written.
pub(crate) struct File {
    path: PathBuf,
    raw: Box<dyn RawFile>,
}

impl File {
    pub(crate) fn new(path: PathBuf, raw: Box<dyn RawFile>) -> File {
        File { path, raw }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, action: &str, error: io::Error) -> Error {
        Error::io(action, &self.path, error)
    }

    pub(crate) fn len(&self) -> Result<u64> {
        retried(|| self.raw.len()).map_err(|error| self.failed("get the length of", error))
    }

    /// Writes all of `bytes` at `offset`, growing the file as needed.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.write(bytes, offset, None)
    }

    /// As [`write_all_at`](File::write_all_at), over bytes that are there already.
    pub(crate) fn overwrite(&self, bytes: &[u8], offset: u64, step: Step) -> Result<()> {
        self.write(bytes, offset, Some(step))
    }

    fn write(&self, bytes: &[u8], offset: u64, step: Option<Step>) -> Result<()> {
        write_all(&*self.raw, bytes, offset, step)
            .map_err(|error| self.failed("write", error).at(&self.path, Some(offset)))
    }

    /// Makes the file `len` bytes long, reserving disk space for the bytes from `from` on, so
    /// that storing to a mapping of them cannot fail. New bytes are zero.
    pub(crate) fn allocate(&self, from: u64, len: u64) -> Result<()> {
        let allocated = match retried(|| self.raw.allocate(from, len)) {
            // A file system without it, NFS 3 say: writing zeros reserves as well.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                self.write_zeros(from, len)
            }
            result => result,
        };
        allocated
            .map_err(|error| self.failed("reserve space for", error).at(&self.path, Some(from)))
    }

    /// Reserves by writing: bytes that exist already stay as they are.
    fn write_zeros(&self, from: u64, len: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut at = from.max(retried(|| self.raw.len())?);
        while at < len {
            let step = (len - at).min(ZEROS.len() as u64);
            write_all(&*self.raw, &ZEROS[..step as usize], at, None)?;
            at += step;
        }
        Ok(())
    }

    /// Has the kernel begin to write these bytes out, so that the sync that follows is short.
    pub(crate) fn write_back(&self, offset: u64, len: u64) {
        self.raw.write_back(offset, len);
    }

    /// Gives the disk space of all bytes from `from` on back, which are zeros, where the file system
    /// can do that. They stay zeros that can be read: whoever has the file mapped, and follows a length
    /// that memory has garbled, must not fault.
    pub(crate) fn release(&self, from: u64) -> Result<()> {
        let len = self.len()?.saturating_sub(from);
        if len == 0 {
            return Ok(());
        }
        match retried(|| self.raw.release(from, len)) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            released => released.map_err(|error| self.failed("give back space of", error)),
        }
    }

    /// Cuts the file off at `len`. No mapping may be *read* at or beyond `len` afterwards.
    pub(crate) fn truncate(&self, len: u64, step: Step) -> Result<()> {
        retried(|| self.raw.truncate(len, step)).map_err(|error| self.failed("shorten", error))
    }

    /// Makes this file, which is empty, the same as the one that `source` maps whole, without its
    /// bytes passing through this process: by sharing blocks, else by having the kernel copy. Calls
    /// `progress` with the bytes copied, from time to time. `false` where the system cannot do
    /// either; what is in this file is then of no use.
    pub(crate) fn clone_from(
        &self,
        source: &Mapping,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<bool> {
        /// Between two calls of `progress`.
        const STEP: u64 = 16 << 20;
        match retried(|| self.raw.clone_whole(source)) {
            Ok(()) => return Ok(true),
            Err(error) if cannot_clone(&error) => {}
            Err(error) => return Err(self.failed("clone a snapshot into", error)),
        }
        let (mut copied, len) = (0, source.len() as u64);
        while copied < len {
            progress(copied)?;
            match retried(|| self.raw.copy_range(source, copied, STEP.min(len - copied))) {
                Ok(0) => return Ok(false),
                Ok(more) => copied += more.min(len - copied),
                Err(error) if cannot_clone(&error) => return Ok(false),
                Err(error) => {
                    let error = self.failed("copy a snapshot into", error);
                    return Err(error.at(&self.path, Some(copied)));
                }
            }
        }
        Ok(true)
    }

    /// Makes content, and what is needed to find it, durable.
    ///
    /// A sync that was interrupted has reported nothing and is called again; after any other
    /// failure nobody can tell what is on the disk.
    pub(crate) fn sync_data(&self, step: Step) -> Result<()> {
        retried(|| self.raw.sync_data(step)).map_err(|error| self.failed("sync", error))
    }

    /// Maps `len` bytes from `offset`, a multiple of [`PAGE`](super::PAGE), shared with every
    /// other mapping. The file must be that long.
    pub(crate) fn map(&self, offset: u64, len: u64, access: Access) -> Result<Arc<Mapping>> {
        retried(|| self.raw.map(&self.path, offset, len, access))
            .map_err(|error| self.failed("map", error).at(&self.path, Some(offset)))
    }
}

fn write_all(
    raw: &dyn RawFile,
    mut bytes: &[u8],
    mut offset: u64,
    step: Option<Step>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = retried(|| raw.write_at(bytes, offset, step))?.min(bytes.len());
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// What `call` returns once no signal interrupts it. One that never gets through is an error, not
/// a hang.
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const ATTEMPTS: u32 = 256;
    for _ in 1..ATTEMPTS {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    call()
}
