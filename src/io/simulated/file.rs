//! An open file of a simulated disk.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::disk::{NodeState, SimulatedDisk};
use super::faults::{Begun, Cloning};
use super::memory::{self, CAPACITY, Memory};
use super::trace::{Event, NodeId};
use crate::io::{Access, Mapping, RawFile, Step};

pub(super) struct SimulatedFile {
    pub(super) disk: SimulatedDisk,
    pub(super) node: NodeId,
}

impl SimulatedFile {
    fn memory(&self) -> Arc<Memory> {
        match &self.disk.state.lock().nodes[self.node] {
            NodeState::File { memory, .. } => memory.clone(),
            NodeState::Directory { .. } => unreachable!("a handle of a file is of a file"),
        }
    }

    fn cached_len(&self) -> usize {
        match &self.disk.state.lock().nodes[self.node] {
            NodeState::File { known, .. } => known.len(),
            NodeState::Directory { .. } => 0,
        }
    }

    /// Writes what `source` has there to the same place in this file.
    fn copy_from(&self, source: &Mapping, start: usize, len: usize) -> io::Result<()> {
        let bytes = source.bytes(start, len).ok_or(ErrorKind::InvalidInput)?;
        if start + len > CAPACITY {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.set_len(self.cached_len().max(start + len));
        self.memory().write(start, bytes);
        self.disk.state.lock().mark_dirty(self.node, start..start + len);
        Ok(())
    }

    pub(super) fn set_len(&self, len: usize) {
        let mut state = self.disk.state.lock();
        let NodeState::File { memory, known } = &mut state.nodes[self.node] else { return };
        if len == known.len() {
            return;
        }
        if len < known.len() {
            memory.clear(len);
        }
        Arc::make_mut(known).resize(len);
        state.record(Event::Length { file: self.node, len: len as u64 });
    }
}

impl RawFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.begin()?;
        Ok(self.cached_len() as u64)
    }

    fn write_at(&self, bytes: &[u8], offset: u64, step: Option<Step>) -> io::Result<usize> {
        let begun = self.disk.begin()?;
        let count = if begun == Begun::Short { bytes.len().div_ceil(2) } else { bytes.len() };
        if step.is_some_and(|step| self.disk.operations.skips(step)) {
            return Ok(count);
        }
        let end = offset as usize + count;
        if end > CAPACITY {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.set_len(self.cached_len().max(end));
        self.memory().write(offset as usize, &bytes[..count]);
        // That the bytes are the same does not keep their pages clean.
        self.disk.state.lock().mark_dirty(self.node, offset as usize..end);
        Ok(count)
    }

    fn allocate(&self, _from: u64, len: u64) -> io::Result<()> {
        self.disk.begin()?;
        if len as usize > CAPACITY {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.set_len(self.cached_len().max(len as usize));
        Ok(())
    }

    /// Space is not simulated. The bytes are zeros already, unless a step was left out.
    fn release(&self, from: u64, _len: u64) -> io::Result<()> {
        self.disk.begin()?;
        let range = from as usize..self.cached_len();
        if !self.memory().is_zero(range.clone()) {
            self.memory().clear(range.start);
            self.disk.state.lock().mark_dirty(self.node, range);
        }
        Ok(())
    }

    fn truncate(&self, len: u64, step: Step) -> io::Result<()> {
        self.disk.begin()?;
        if !self.disk.operations.skips(step) {
            self.set_len(len as usize);
        }
        Ok(())
    }

    fn clone_whole(&self, source: &Mapping) -> io::Result<()> {
        self.disk.begin()?;
        match self.disk.operations.cloning() {
            Cloning::Shares => self.copy_from(source, 0, source.len()),
            Cloning::Copies | Cloning::Unsupported => {
                Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
            }
        }
    }

    fn copy_range(&self, source: &Mapping, offset: u64, len: u64) -> io::Result<u64> {
        let begun = self.disk.begin()?;
        if self.disk.operations.cloning() == Cloning::Unsupported {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        let count = if begun == Begun::Short { len.div_ceil(2) } else { len };
        self.copy_from(source, offset as usize, count as usize)?;
        Ok(count)
    }

    fn sync_data(&self, step: Step) -> io::Result<()> {
        self.disk.sync(self.node, step)
    }

    fn map(&self, path: &Path, offset: u64, len: u64, access: Access) -> io::Result<Arc<Mapping>> {
        self.disk.begin()?;
        if offset + len > self.cached_len() as u64 {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok(memory::map(&self.memory(), &self.disk.operations, path, offset, len, access))
    }
}
