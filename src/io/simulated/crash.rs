//! What a crash may leave on a disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::Content;
use super::image::{Image, Node};
use super::trace::{Event, NodeId, Sector, Trace};
use super::{Random, SECTOR};

/// A disk at one moment of its trace: what is surely on it, and what is perhaps.
pub(crate) struct Crash<'t> {
    trace: &'t Trace,
    /// How many events have been folded in.
    at: usize,
    nodes: Vec<Folded>,
}

/// One node at that moment.
enum Folded {
    File(FoldedFile),
    Directory(FoldedDirectory),
}

#[derive(Default)]
struct FoldedFile {
    /// The content that is surely on the disk.
    durable: Arc<Content>,
    /// What perhaps replaced a sector of it: the versions since the last sync, latest last.
    sectors: BTreeMap<usize, Undecided>,
    /// What its length perhaps is by now, latest last.
    lengths: Vec<u64>,
}

#[derive(Default)]
struct FoldedDirectory {
    durable: BTreeMap<String, NodeId>,
    /// Changes that perhaps reached the disk.
    changes: Vec<Event>,
}

#[derive(Default)]
struct Undecided {
    versions: Vec<Sector>,
    /// A sync of it failed: later ones say nothing about it, until it is written again.
    in_doubt: bool,
}

impl<'t> Crash<'t> {
    /// The disk at the beginning of `trace`.
    pub(crate) fn new(trace: &'t Trace) -> Crash<'t> {
        let mut crash = Crash { trace, at: 0, nodes: Vec::new() };
        crash.add(&Node::Directory(trace.initial.clone()));
        crash
    }

    /// Numbers nodes as the disk does.
    fn add(&mut self, node: &Node) -> NodeId {
        let id = self.nodes.len();
        match node {
            Node::File(content) => {
                let durable = content.clone();
                self.nodes.push(Folded::File(FoldedFile { durable, ..FoldedFile::default() }));
            }
            Node::Directory(image) => {
                self.nodes.push(Folded::Directory(FoldedDirectory::default()));
                for (name, child) in &image.0 {
                    let child = self.add(child);
                    self.directory(id).durable.insert(name.clone(), child);
                }
            }
        }
        id
    }

    fn file(&mut self, node: NodeId) -> &mut FoldedFile {
        match &mut self.nodes[node] {
            Folded::File(file) => file,
            Folded::Directory(_) => unreachable!("the event is one of files"),
        }
    }

    fn directory(&mut self, node: NodeId) -> &mut FoldedDirectory {
        match &mut self.nodes[node] {
            Folded::Directory(directory) => directory,
            Folded::File(_) => unreachable!("the event is one of directories"),
        }
    }

    /// Moves on to the moment after `events` events.
    pub(crate) fn advance_to(&mut self, events: usize) {
        while self.at < events.min(self.trace.events.len()) {
            let event = &self.trace.events[self.at];
            self.at += 1;
            self.fold(event);
        }
    }

    fn fold(&mut self, event: &Event) {
        match event {
            Event::Stored { file, sectors } => self.file(*file).store(sectors),
            Event::Length { file, len } => self.file(*file).lengths.push(*len),
            Event::Synced { node } => match &mut self.nodes[*node] {
                Folded::File(file) => file.sync(),
                Folded::Directory(directory) => directory.sync(),
            },
            Event::SyncFailed { node } => {
                // Metadata stays pending.
                if let Folded::File(file) = &mut self.nodes[*node] {
                    file.sectors.values_mut().for_each(|sector| sector.in_doubt = true);
                }
            }
            Event::Created { directory, node, is_directory, .. } => {
                debug_assert_eq!(*node, self.nodes.len());
                self.nodes.push(match is_directory {
                    true => Folded::Directory(FoldedDirectory::default()),
                    false => Folded::File(FoldedFile::default()),
                });
                self.directory(*directory).changes.push(event.clone());
            }
            Event::Linked { directory, .. }
            | Event::Renamed { directory, .. }
            | Event::Removed { directory, .. } => {
                self.directory(*directory).changes.push(event.clone());
            }
        }
    }

    /// How many alternatives each undecided thing has; alternative 0 is always that nothing of it
    /// reached the disk, and the last one that all did.
    pub(crate) fn alternatives(&self) -> Vec<u8> {
        let mut alternatives = Vec::new();
        for node in &self.nodes {
            match node {
                Folded::File(file) => file.alternatives(&mut alternatives),
                Folded::Directory(directory) => {
                    alternatives.extend(directory.changes.iter().map(|_| 2));
                }
            }
        }
        alternatives
    }

    /// The disk as `choices` decide it, one alternative for each undecided thing in the order of
    /// [`alternatives`](Crash::alternatives). Where a file became longer without its content,
    /// `garbage` fills it, if any is given.
    pub(crate) fn image(&self, choices: &[u8], garbage: Option<u64>) -> Image {
        let mut rest = choices;
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            rest = left;
            taken
        };
        let decided: Vec<&[u8]> = self
            .nodes
            .iter()
            .map(|node| match node {
                Folded::File(file) => take(file.undecided()),
                Folded::Directory(directory) => take(directory.changes.len()),
            })
            .collect();
        self.directory_image(0, &decided, garbage)
    }

    fn directory_image(&self, node: NodeId, decided: &[&[u8]], garbage: Option<u64>) -> Image {
        let Folded::Directory(directory) = &self.nodes[node] else { return Image::default() };
        let entries = directory.decide(decided[node]);
        let nodes = entries.into_iter().map(|(name, child)| {
            let node = match &self.nodes[child] {
                Folded::File(file) => Node::File(file.decide(decided[child], garbage)),
                Folded::Directory(_) => {
                    Node::Directory(self.directory_image(child, decided, garbage))
                }
            };
            (name, node)
        });
        Image(nodes.collect())
    }
}

impl FoldedFile {
    fn store(&mut self, sectors: &[(usize, Sector)]) {
        for (number, sector) in sectors {
            let undecided = self.sectors.entry(*number).or_default();
            // Its page is dirty again, so the next sync covers it.
            undecided.in_doubt = false;
            if undecided.versions.last() != Some(sector) {
                undecided.versions.push(sector.clone());
            }
        }
    }

    fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        if let Some(&len) = self.lengths.last() {
            durable.resize(len as usize);
            self.lengths.clear();
        }
        let decided: Vec<usize> = self
            .sectors
            .iter()
            .filter_map(|(&number, sector)| (!sector.in_doubt).then_some(number))
            .collect();
        for number in decided {
            if let Some(sector) =
                self.sectors.remove(&number).and_then(|mut all| all.versions.pop())
            {
                durable.put(number * SECTOR, &sector[..]);
            }
        }
    }

    fn alternatives(&self, out: &mut Vec<u8>) {
        if !self.lengths.is_empty() {
            out.push(1 + self.lengths.len() as u8);
        }
        out.extend(self.sectors.values().map(|sector| 1 + sector.versions.len() as u8));
    }

    fn undecided(&self) -> usize {
        usize::from(!self.lengths.is_empty()) + self.sectors.len()
    }

    fn decide(&self, choices: &[u8], garbage: Option<u64>) -> Arc<Content> {
        if choices.iter().all(|&choice| choice == 0) {
            return self.durable.clone();
        }
        let mut content = Content::clone(&self.durable);
        let mut choices = choices.iter();
        if !self.lengths.is_empty()
            && let Some(choice) = choices.next().and_then(|&choice| choice.checked_sub(1))
        {
            let was = content.len();
            content.resize(self.lengths[choice as usize] as usize);
            if let Some(seed) = garbage {
                fill_with_garbage(&mut content, was, seed);
            }
        }
        for ((&number, sector), &choice) in self.sectors.iter().zip(choices) {
            if let Some(version) = choice.checked_sub(1) {
                content.put(number * SECTOR, &sector.versions[version as usize][..]);
            }
        }
        Arc::new(content)
    }
}

/// Noise: what a block may have had in it before it became the file's.
fn fill_with_garbage(content: &mut Content, from: usize, seed: u64) {
    /// As much as matters: what follows it is zero.
    const MOST: usize = 8 * SECTOR;
    let mut random = Random::new(seed);
    let noise: Vec<u8> = (0..MOST).map(|_| random.next() as u8).collect();
    content.put(from, &noise);
}

impl FoldedDirectory {
    fn sync(&mut self) {
        for change in self.changes.drain(..) {
            apply(&change, &mut self.durable);
        }
    }

    /// The entries as `choices` decide them.
    fn decide(&self, choices: &[u8]) -> BTreeMap<String, NodeId> {
        let mut entries = self.durable.clone();
        for (change, &choice) in self.changes.iter().zip(choices) {
            if choice > 0 {
                apply(change, &mut entries);
            }
        }
        entries
    }
}

/// Makes the change that `event` is. A rename of what is not there, because its creation was
/// lost, changes nothing.
fn apply(event: &Event, entries: &mut BTreeMap<String, NodeId>) {
    match event {
        Event::Created { name, node, .. } | Event::Linked { name, node, .. } => {
            entries.insert(name.clone(), *node);
        }
        Event::Removed { name, .. } => {
            entries.remove(name);
        }
        Event::Renamed { from, to, .. } => {
            if let Some(node) = entries.remove(from) {
                entries.insert(to.clone(), node);
            }
        }
        _ => {}
    }
}
