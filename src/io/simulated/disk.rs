//! The disk: what processes see of it, and its operations.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::SECTOR;
use super::content::Content;
use super::faults::{Begun, Cloning, FaultPlan, Operations};
use super::file::SimulatedFile;
use super::image::{Image, Node};
use super::memory::Memory;
use super::trace::{Event, NodeId, Sector, Trace};
use crate::io::{Access, FileSystem, HeldLock, Lock, LockAttempt, RawDirectory, RawFile, Step};

/// An in-memory file system. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) operations: Arc<Operations>,
    locks: Arc<Mutex<HashSet<(NodeId, String)>>>,
}

/// What a process sees, and how it came to be.
pub(super) struct State {
    pub(super) nodes: Vec<NodeState>,
    pub(super) trace: Trace,
    /// The process has died and can change nothing any more, whatever it stores to memory.
    dead: bool,
}

pub(super) enum NodeState {
    File {
        memory: Arc<Memory>,
        /// The content when it was last looked at; as long as the file.
        known: Arc<Content>,
    },
    Directory {
        entries: BTreeMap<String, NodeId>,
        parent: Option<NodeId>,
    },
}

const ROOT: NodeId = 0;

impl SimulatedDisk {
    /// A disk with nothing but what `image` has, all of it durable.
    pub(crate) fn new(image: &Image) -> SimulatedDisk {
        let trace = Trace { initial: image.clone(), events: Vec::new() };
        let mut state = State { nodes: Vec::new(), trace, dead: false };
        state.add(&Node::Directory(image.clone()), None);
        SimulatedDisk {
            state: Arc::new(Mutex::new(state)),
            operations: Arc::default(),
            locks: Arc::default(),
        }
    }

    /// Has another program make the directory at `path`, in one that exists, and not sync it.
    pub(crate) fn make_directory(&self, path: &str) {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut node = ROOT;
        for parent in parents.split('/').filter(|parent| !parent.is_empty()) {
            node = self.state.lock().lookup(node, parent).unwrap();
        }
        let parent = SimulatedDirectory { disk: self.clone(), node };
        parent.add(name, NodeState::Directory { entries: BTreeMap::new(), parent: Some(node) });
    }

    /// Everything that has happened so far.
    pub(crate) fn trace(&self) -> Trace {
        let mut state = self.state.lock();
        state.observe();
        state.trace.clone()
    }

    /// How many things have happened so far.
    pub(crate) fn trace_len(&self) -> usize {
        let mut state = self.state.lock();
        state.observe();
        state.trace.len()
    }

    /// What processes see: the content of the page cache.
    pub(crate) fn cached(&self) -> Image {
        let mut state = self.state.lock();
        state.observe();
        match state.image(ROOT) {
            Node::Directory(image) => image,
            Node::File(_) => Image::default(),
        }
    }

    /// Has operations go wrong, or not any more. After a death, another process begins.
    pub(crate) fn plan(&self, plan: Option<FaultPlan>) {
        self.operations.plan(plan);
        let mut state = self.state.lock();
        if std::mem::take(&mut state.dead) {
            state.restore();
        }
    }

    /// Whether an operation went wrong since the plan was made.
    pub(crate) fn fault_fired(&self) -> bool {
        self.operations.fired()
    }

    /// How files can be cloned from now on; not at all at first.
    pub(crate) fn set_cloning(&self, cloning: Cloning) {
        self.operations.set_cloning(cloning);
    }

    /// Leaves `step` without effect from now on.
    pub(crate) fn skip(&self, step: Option<Step>) {
        self.operations.skip(step);
    }

    /// Whether a step was left out that should have had an effect.
    pub(crate) fn has_skipped(&self) -> bool {
        self.operations.has_skipped()
    }

    /// Begins an operation: looks at what was stored to memory before it.
    pub(super) fn begin(&self) -> io::Result<Begun> {
        let mut state = self.state.lock();
        state.observe();
        let begun = self.operations.begin();
        state.dead |= self.operations.is_dead();
        begun
    }

    /// Syncs `node`.
    pub(super) fn sync(&self, node: NodeId, step: Step) -> io::Result<()> {
        let begun = self.begin();
        if self.operations.skips(step) {
            return begun.map(drop);
        }
        let mut state = self.state.lock();
        match begun {
            Ok(_) => state.record(Event::Synced { node }),
            Err(ref error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => state.record(Event::SyncFailed { node }),
        }
        begun.map(drop)
    }

    fn directory(&self, node: NodeId) -> Box<dyn RawDirectory> {
        Box::new(SimulatedDirectory { disk: self.clone(), node })
    }
}

impl State {
    /// Adds `node` and what it holds, numbered as [`Crash`](super::Crash) numbers them.
    fn add(&mut self, node: &Node, parent: Option<NodeId>) -> NodeId {
        let id = self.nodes.len();
        match node {
            Node::File(content) => {
                let memory = Memory::new();
                memory.write(0, content.stored());
                let known = content.clone();
                self.nodes.push(NodeState::File { memory: Arc::new(memory), known });
            }
            Node::Directory(image) => {
                self.nodes.push(NodeState::Directory { entries: BTreeMap::new(), parent });
                for (name, child) in &image.0 {
                    let child = self.add(child, Some(id));
                    self.entries(id).insert(name.clone(), child);
                }
            }
        }
        id
    }

    pub(super) fn record(&mut self, event: Event) {
        if !self.dead {
            self.trace.events.push(event);
        }
    }

    fn entries(&mut self, directory: NodeId) -> &mut BTreeMap<String, NodeId> {
        match &mut self.nodes[directory] {
            NodeState::Directory { entries, .. } => entries,
            NodeState::File { .. } => unreachable!("a handle of a directory is of a directory"),
        }
    }

    fn check_empty_directory(&self, node: NodeId) -> io::Result<()> {
        match &self.nodes[node] {
            NodeState::File { .. } => Err(ErrorKind::NotADirectory.into()),
            NodeState::Directory { entries, .. } if entries.is_empty() => Ok(()),
            NodeState::Directory { .. } => Err(io::Error::from_raw_os_error(libc::ENOTEMPTY)),
        }
    }

    fn lookup(&mut self, directory: NodeId, name: &str) -> io::Result<NodeId> {
        self.entries(directory).get(name).copied().ok_or_else(missing)
    }

    /// Records which sectors of which files have changed since this was last called.
    pub(super) fn observe(&mut self) {
        if self.dead {
            return;
        }
        for (file, node) in self.nodes.iter_mut().enumerate() {
            let NodeState::File { memory, known } = node else { continue };
            if !memory.may_have_changed() {
                continue;
            }
            let changed = memory.changed(known);
            if !changed.is_empty() {
                let sectors = look(memory, known, changed.into_iter());
                self.trace.events.push(Event::Stored { file, sectors });
            }
        }
    }

    /// Records that the sectors of `range` of a file were written, changed or not.
    pub(super) fn mark_dirty(&mut self, file: NodeId, range: Range<usize>) {
        if self.dead || range.is_empty() {
            return;
        }
        let NodeState::File { memory, known } = &mut self.nodes[file] else { return };
        let numbers = range.start / SECTOR..range.end.div_ceil(SECTOR);
        let sectors = look(memory, known, numbers);
        self.record(Event::Stored { file, sectors });
    }

    /// Takes back what a dead process has stored to memory.
    fn restore(&mut self) {
        for node in &self.nodes {
            if let NodeState::File { memory, known } = node {
                memory.write(0, known.stored());
                memory.clear(known.stored().len());
            }
        }
    }

    fn image(&self, node: NodeId) -> Node {
        match &self.nodes[node] {
            NodeState::File { known, .. } => Node::File(known.clone()),
            NodeState::Directory { entries, .. } => Node::Directory(Image(
                entries.iter().map(|(name, &child)| (name.clone(), self.image(child))).collect(),
            )),
        }
    }
}

/// Looks at the sectors of these numbers, so that they are known.
fn look(
    memory: &Memory,
    known: &mut Arc<Content>,
    numbers: impl Iterator<Item = usize>,
) -> Vec<(usize, Sector)> {
    let known = Arc::make_mut(known);
    let mut look = |number| {
        let at = number * SECTOR;
        let sector = memory.sector(at, SECTOR.min(known.len() - at));
        known.put(at, &sector[..]);
        (number, sector)
    };
    numbers.map(&mut look).collect()
}

impl FileSystem for SimulatedDisk {
    fn open_directory(&self, path: &Path) -> io::Result<(PathBuf, Box<dyn RawDirectory>)> {
        self.begin()?;
        let mut state = self.state.lock();
        let mut node = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                node = state.lookup(node, &name.to_string_lossy())?;
            }
        }
        drop(state);
        Ok((path.to_path_buf(), self.directory(node)))
    }
}

struct SimulatedDirectory {
    disk: SimulatedDisk,
    node: NodeId,
}

impl SimulatedDirectory {
    /// Adds an entry for a new node.
    fn add(&self, name: &str, node: NodeState) -> NodeId {
        let mut state = self.disk.state.lock();
        let id = state.nodes.len();
        let is_directory = matches!(node, NodeState::Directory { .. });
        state.nodes.push(node);
        state.entries(self.node).insert(name.to_owned(), id);
        let name = name.to_owned();
        state.record(Event::Created { directory: self.node, name, node: id, is_directory });
        id
    }

    fn file(&self, node: NodeId) -> Box<dyn RawFile> {
        Box::new(SimulatedFile { disk: self.disk.clone(), node })
    }
}

impl RawDirectory for SimulatedDirectory {
    fn open(&self, name: &str, _access: Access) -> io::Result<Box<dyn RawFile>> {
        self.disk.begin()?;
        let node = self.disk.state.lock().lookup(self.node, name)?;
        Ok(self.file(node))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn RawFile>> {
        self.disk.begin()?;
        let existing = self.disk.state.lock().lookup(self.node, name);
        if let Ok(node) = existing {
            let file = SimulatedFile { disk: self.disk.clone(), node };
            file.set_len(0);
            return Ok(Box::new(file));
        }
        let empty = NodeState::File { memory: Arc::new(Memory::new()), known: Arc::default() };
        Ok(self.file(self.add(name, empty)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.begin()?;
        Ok(self.disk.state.lock().entries(self.node).keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.begin()?;
        let mut state = self.disk.state.lock();
        let node = state.lookup(self.node, from)?;
        let entries = state.entries(self.node);
        entries.remove(from);
        entries.insert(to.to_owned(), node);
        let (from, to) = (from.to_owned(), to.to_owned());
        state.record(Event::Renamed { directory: self.node, from, to });
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.begin()?;
        let mut state = self.disk.state.lock();
        let node = state.lookup(self.node, from)?;
        if state.lookup(self.node, to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.entries(self.node).insert(to.to_owned(), node);
        state.record(Event::Linked { directory: self.node, name: to.to_owned(), node });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.begin()?;
        let mut state = self.disk.state.lock();
        if state.entries(self.node).remove(name).is_some() {
            state.record(Event::Removed { directory: self.node, name: name.to_owned() });
        }
        Ok(())
    }

    fn sync(&self, step: Step) -> io::Result<()> {
        self.disk.sync(self.node, step)
    }

    fn parent(&self) -> io::Result<Option<Box<dyn RawDirectory>>> {
        self.disk.begin()?;
        match &self.disk.state.lock().nodes[self.node] {
            NodeState::Directory { parent, .. } => {
                Ok(parent.map(|parent| self.disk.directory(parent)))
            }
            NodeState::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn subdirectory(&self, name: &str) -> io::Result<Box<dyn RawDirectory>> {
        self.disk.begin()?;
        let node = self.disk.state.lock().lookup(self.node, name)?;
        Ok(self.disk.directory(node))
    }

    fn create_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        self.disk.begin()?;
        let name = name.to_string_lossy();
        if self.disk.state.lock().lookup(self.node, &name).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.add(&name, NodeState::Directory { entries: BTreeMap::new(), parent: Some(self.node) });
        Ok(())
    }

    fn rename_subdirectory(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.disk.begin()?;
        let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
        let mut state = self.disk.state.lock();
        let node = state.lookup(self.node, &from)?;
        if let Ok(replaced) = state.lookup(self.node, &to) {
            state.check_empty_directory(replaced)?;
        }
        let entries = state.entries(self.node);
        entries.remove(&*from);
        entries.insert(to.to_string(), node);
        let (from, to) = (from.into_owned(), to.into_owned());
        state.record(Event::Renamed { directory: self.node, from, to });
        Ok(())
    }

    fn remove_subdirectory(&self, name: &OsStr) -> io::Result<()> {
        self.disk.begin()?;
        let name = name.to_string_lossy();
        let mut state = self.disk.state.lock();
        let node = state.lookup(self.node, &name)?;
        state.check_empty_directory(node)?;
        state.entries(self.node).remove(&*name);
        state.record(Event::Removed { directory: self.node, name: name.into_owned() });
        Ok(())
    }

    fn mode(&self) -> io::Result<u32> {
        self.disk.begin().map(|_| 0o755)
    }

    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        self.disk.begin().map(drop)
    }

    fn try_lock(&self, name: &str, lock: Lock) -> io::Result<LockAttempt> {
        self.disk.begin()?;
        let existing = self.disk.state.lock().lookup(self.node, name);
        if lock == Lock::Exclusive && existing.is_err() {
            let empty = NodeState::File { memory: Arc::new(Memory::new()), known: Arc::default() };
            self.add(name, empty);
        }
        let held = (self.node, name.to_owned());
        if !self.disk.locks.lock().insert(held.clone()) {
            return Ok(LockAttempt::HeldBy(None));
        }
        Ok(LockAttempt::Acquired(Box::new(SimulatedLock { disk: self.disk.clone(), held })))
    }
}

/// Shared locks are exclusive here: nothing that runs on a simulated disk has two readers.
struct SimulatedLock {
    disk: SimulatedDisk,
    held: (NodeId, String),
}

impl HeldLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.locks.lock().remove(&self.held);
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}
