//! A log that is made ready while another is still appended to.
//!
//! To go on in it then takes no system call but the rename: its first bytes are reserved, mapped
//! and faulted in.

use std::sync::Arc;

use super::ahead::{Ahead, Growth};
use super::append::CurrentWindow;
use super::{Allocation, FIRST_ALLOCATION, LOG_NAME, NEXT_LOG_NAME};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Directory, File, MappedTail, SegmentId, SegmentSet, Segments};

/// How much of a fresh log is reserved at most.
const MOST_RESERVED: u64 = 8 << 20;

/// An empty log under its temporary name.
pub(crate) struct FreshLog {
    pub(super) file: Arc<File>,
    pub(super) growth: Arc<Growth>,
    pub(super) window: CurrentWindow,
    pub(super) ahead: Option<Ahead>,
}

impl FreshLog {
    /// Makes one that is to follow a log with `len` bytes of entries. With `prepare`, all of what is
    /// reserved is faulted in, and a thread goes on with that once the log is appended to; without,
    /// as much as a few writes need.
    ///
    /// # Errors
    /// `NoSpace`, `Io`; `TooLarge` when no number is left for its mapping.
    pub(crate) fn create(
        directory: &Directory,
        segments: &Segments,
        len: u64,
        allocation: Allocation,
        prepare: bool,
    ) -> Result<FreshLog> {
        let reserved = (len / 4).next_power_of_two().min(allocation.most);
        let reserved = reserved.clamp(FIRST_ALLOCATION, MOST_RESERVED);
        let file = Arc::new(directory.create_file_for(NEXT_LOG_NAME, LOG_NAME)?);
        let growth = Arc::new(Growth::new(file.clone(), allocation, 0, 0));
        let window = growth.next_window(0, reserved)?;
        let ready = if prepare { reserved } else { FIRST_ALLOCATION };
        // Best effort: what is not ready is faulted in by the first who stores there.
        let _ready = window.mapping.prepare_writes(0, ready as usize).is_ok();
        let Some(segment) = segments.install(window.mapping.clone()) else {
            let path = file.path();
            let message = format!(
                "no number is left to map {}; let go of what was read long ago, or close the store",
                path.display()
            );
            return Err(Error::new(ErrorKind::TooLarge, message).at(path, None));
        };
        let tail = MappedTail::new(window.mapping, 0);
        let window = CurrentWindow { tail, segment, file_offset: 0 };
        let ahead = prepare.then(|| Ahead::new(growth.clone(), 0, reserved));
        Ok(FreshLog { file, growth, window, ahead })
    }

    /// The segment of its first window.
    pub(crate) fn segment(&self) -> SegmentId {
        self.window.segment
    }

    /// Takes it out of `segments`: it is not going to be used.
    pub(crate) fn abandon(self, segments: &Segments) {
        let mut own = SegmentSet::default();
        own.insert(self.window.segment);
        segments.retire(own);
        segments.leave_retired();
    }
}
