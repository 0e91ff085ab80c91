//! Making the log longer, and its pages ready, ahead of the writer.
//!
//! The first store to a page of a mapped file faults, and on a busy disk that fault can wait for
//! the file system's journal; making the file longer can take milliseconds. A thread does both
//! before the writer gets there. It is started when the log is worth it, and it is only ever
//! ahead: a writer that overtakes it does the work itself.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::Allocation;
use crate::error::{ErrorKind, Result};
use crate::io::{Access, File, Mapping, PAGE, fork_count};

/// Pages are ready up to this many bytes ahead of the writer.
const AHEAD: u64 = 8 << 20;

/// A log shorter than this is left to fault its few pages in.
const WORTHWHILE: u64 = 1 << 20;

/// How many bytes are made ready by one system call.
const STEP: usize = 256 << 10;

/// A mapped part of the log file, from `file_offset` on.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) mapping: Arc<Mapping>,
    pub(super) file_offset: u64,
}

impl Window {
    fn end(&self) -> u64 {
        self.file_offset + self.mapping.len() as u64
    }
}

/// The length of the log file and the window after the current one.
pub(super) struct Growth {
    file: Arc<File>,
    allocation: Allocation,
    state: Mutex<GrowthState>,
}

struct GrowthState {
    /// Disk space is reserved for the bytes from the start of the log's life up to here.
    reserved: u64,
    /// Length of the file.
    len: u64,
    /// Mapped ahead of time.
    ready: Option<Window>,
}

impl Growth {
    /// For a file of `len` bytes, of which those from `end` on may be sparse.
    pub(super) fn new(file: Arc<File>, allocation: Allocation, end: u64, len: u64) -> Growth {
        let state = Mutex::new(GrowthState { reserved: end, len, ready: None });
        Growth { file, allocation, state }
    }

    /// A window from the page of `end` on that holds at least the bytes up to `needed`.
    pub(super) fn next_window(&self, end: u64, needed: u64) -> Result<Window> {
        // Waits for a preparation under way, rather than doing the same twice.
        let mut state = self.state.lock();
        match state.ready.take() {
            Some(window) if window.end() >= needed => Ok(window),
            _ => self.map_window(&mut state, end, needed),
        }
    }

    /// Has the next window ready, if that can be done; otherwise the writer will find out.
    fn prepare_window(&self, end: u64, current_end: u64) -> Option<Window> {
        let mut state = self.state.lock();
        if state.ready.is_none() {
            state.ready = self.map_window(&mut state, end, current_end + 1).ok();
        }
        state.ready.clone()
    }

    fn map_window(&self, state: &mut GrowthState, end: u64, needed: u64) -> Result<Window> {
        if state.reserved < needed {
            state.reserved = self.reserve(state, needed)?;
            state.len = state.len.max(state.reserved);
        }
        let file_offset = end - end % PAGE;
        let mapping =
            self.file.map(file_offset, state.reserved - file_offset, Access::ReadWrite)?;
        Ok(Window { mapping, file_offset })
    }
}

impl Growth {
    /// Reserves disk space for the bytes up to `needed` and beyond, and returns up to where. On
    /// a disk that is nearly full it asks for half as much beyond, and half of that, and so on:
    /// what is left is used up in few windows.
    fn reserve(&self, state: &GrowthState, needed: u64) -> Result<u64> {
        let least = needed.next_multiple_of(PAGE);
        let mut len = match needed <= state.len {
            true => state.len,
            false => self.allocation.next(state.len, needed),
        };
        loop {
            match self.file.allocate(state.reserved, len) {
                Ok(()) => return Ok(len),
                Err(error) if error.kind() == ErrorKind::NoSpace && least < len => {
                    len = least + ((len - least) / 2 / PAGE * PAGE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The writer's side of the thread.
pub(super) struct Ahead {
    growth: Arc<Growth>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
    /// The next order is due when the log's end gets here.
    due: u64,
    /// Pages are ready, or ordered to be, up to here.
    prepared: u64,
    /// Whether the window after the current one has been ordered.
    next_ordered: bool,
    /// The process that the thread runs in.
    forks: u64,
}

#[derive(Default)]
struct Orders {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    pages: Option<PagesOrder>,
    window: Option<WindowOrder>,
    stop: bool,
}

struct PagesOrder {
    mapping: Arc<Mapping>,
    from: usize,
    to: usize,
}

/// Asks for the window after the one that ends at `current_end`.
struct WindowOrder {
    log_end: u64,
    current_end: u64,
}

impl Ahead {
    /// For a log that ends at `end`, and whose pages are ready up to `prepared`.
    pub(super) fn new(growth: Arc<Growth>, end: u64, prepared: u64) -> Ahead {
        Ahead {
            growth,
            orders: Arc::default(),
            thread: None,
            due: end.max(WORTHWHILE),
            prepared,
            next_ordered: false,
            forks: fork_count(),
        }
    }

    /// The writer goes on in another window, which begins at `file_offset`.
    pub(super) fn enter_window(&mut self, file_offset: u64) {
        if !self.next_ordered {
            // It was mapped by the writer itself: nothing of it is ready.
            self.prepared = self.prepared.min(file_offset);
        }
        self.next_ordered = false;
        self.due = self.due.min(self.prepared.max(WORTHWHILE));
    }

    /// The log now ends at `end`, in the window of `mapping`.
    #[inline]
    pub(super) fn advanced_to(&mut self, end: u64, mapping: &Arc<Mapping>, file_offset: u64) {
        if end >= self.due {
            self.order(end, Window { mapping: mapping.clone(), file_offset });
        }
    }

    #[cold]
    fn order(&mut self, end: u64, window: Window) {
        if self.thread.is_none() && !self.start() {
            self.due = u64::MAX;
            return;
        }
        let window_end = window.end();
        let from = self.prepared.max(end).min(window_end);
        let to = (end + AHEAD).min(window_end);
        let mut pending = self.orders.pending.lock();
        if from < to {
            let at = |offset: u64| (offset - window.file_offset) as usize;
            // An order that the thread has not got to yet is extended.
            let earlier = pending.pages.take();
            let earlier = earlier.filter(|order| Arc::ptr_eq(&order.mapping, &window.mapping));
            let from = earlier.map_or(at(from), |order| order.from);
            pending.pages = Some(PagesOrder { from, to: at(to), mapping: window.mapping });
            self.prepared = to;
        }
        if !self.next_ordered && to == window_end {
            pending.window = Some(WindowOrder { log_end: end, current_end: window_end });
            self.next_ordered = true;
            self.prepared = window_end + AHEAD;
        }
        drop(pending);
        self.orders.changed.notify_one();
        // With the next window ordered there is nothing more to ask for before it is entered.
        self.due = if self.next_ordered { self.prepared - AHEAD / 2 } else { to - AHEAD / 2 };
    }

    /// Starts the thread; without one the writer goes on alone.
    fn start(&mut self) -> bool {
        let (orders, growth) = (self.orders.clone(), self.growth.clone());
        let name = "kvstore-ahead".to_owned();
        self.thread =
            thread::Builder::new().name(name).spawn(move || carry_out(&orders, &growth)).ok();
        self.thread.is_some()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if fork_count() != self.forks {
            // A child has no such thread, and the lock may have been held by it at the fork.
            std::mem::forget(self.thread.take());
            return;
        }
        self.orders.pending.lock().stop = true;
        self.orders.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // An error would be a panic of the thread, which has nothing to lose.
            drop(thread.join());
        }
    }
}

/// The thread: carries orders out until told to stop.
fn carry_out(orders: &Orders, growth: &Growth) {
    loop {
        let (pages, window) = {
            let mut pending = orders.pending.lock();
            while pending.pages.is_none() && pending.window.is_none() && !pending.stop {
                orders.changed.wait(&mut pending);
            }
            if pending.stop {
                return;
            }
            (pending.pages.take(), pending.window.take())
        };
        if let Some(pages) = pages {
            prepare(&pages.mapping, pages.from, pages.to);
        }
        if let Some(WindowOrder { log_end, current_end }) = window
            && let Some(next) = growth.prepare_window(log_end, current_end)
        {
            // The writer moves over when an entry does not fit, so somewhat before the end.
            let from = current_end.saturating_sub(STEP as u64).max(next.file_offset);
            let to = (current_end + AHEAD).min(next.end());
            let at = |offset: u64| (offset - next.file_offset) as usize;
            prepare(&next.mapping, at(from), at(to));
        }
    }
}

fn prepare(mapping: &Mapping, from: usize, to: usize) {
    for start in (from..to).step_by(STEP) {
        if mapping.prepare_writes(start, STEP.min(to - start)).is_err() {
            // The pages will be faulted in one by one.
            return;
        }
    }
}
