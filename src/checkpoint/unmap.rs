//! Letting go of the old files.
//!
//! A file that is unmapped for the last time gives back its pages, and, since its name is gone, its
//! space on the disk: some 0.4 ms for a megabyte. Nobody has to wait for that, so large ones are
//! unmapped by a thread; one at a time, since the next checkpoint begins by waiting for it, so that
//! there are never more than two generations of files. One that also goes on with what another has
//! left over waits before it unmaps for the second time.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use crate::io::{SegmentSet, Segments};

/// Fewer bytes are unmapped at once.
const LARGE: usize = 16 << 20;

/// How long readers are waited for that still look at what was retired, at most.
const PATIENCE: Duration = Duration::from_millis(20);

/// Unmaps what checkpoints have retired.
#[derive(Default)]
pub(crate) struct Unmapper {
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Unmapper {
    /// Unmaps the segments `retired`, `bytes` in all, or has a thread do so.
    pub(super) fn unmap(&self, segments: &Arc<Segments>, retired: SegmentSet, bytes: usize) {
        self.join();
        if bytes >= LARGE {
            let segments = segments.clone();
            let thread = thread::Builder::new().name("kvstore-unmap".to_owned());
            if let Ok(started) = thread.spawn(move || unmap(&segments, retired)) {
                *self.thread.lock() = Some(started);
                return;
            }
        }
        unmap(segments, retired);
    }

    /// Waits for what is under way.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // An error would be a panic of the thread, which has nothing to lose.
            drop(thread.join());
        }
    }
}

/// What somebody still reads in is left to whoever lets go of it last.
fn unmap(segments: &Segments, retired: SegmentSet) {
    let step = Duration::from_millis(1);
    for _ in 0..PATIENCE.as_millis() {
        segments.unmap_retired();
        if segments.are_free(retired) {
            break;
        }
        thread::sleep(step);
    }
    segments.leave_retired();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Epoch, heap_mapping};

    /// A checkpoint that goes on with what another has left over unmaps twice. The first thread was
    /// once let go of, and nobody waited for it when the store was closed.
    #[test]
    fn one_thread_unmaps_at_a_time() {
        let (segments, unmapper) = (Arc::new(Segments::new()), Unmapper::default());
        let reader = Epoch.enter();
        for byte in 0..2 {
            let mut retired = SegmentSet::default();
            retired.insert(segments.install(heap_mapping(vec![byte; 100])).unwrap());
            segments.retire(retired);
            unmapper.unmap(&segments, retired, LARGE);
            let threads = Arc::strong_count(&segments) - 1;
            assert!(threads <= 1, "{threads} threads");
        }
        drop(reader);
        unmapper.join();
        assert_eq!(Arc::strong_count(&segments), 1);
    }
}
