//! What is on a disk: a tree of directories and files.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::content::Content;

/// A directory or a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    File(Arc<Content>),
    Directory(Image),
}

/// A directory's entries by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Image(pub(crate) BTreeMap<String, Node>);

impl Image {
    /// A number that differs between different images, but for one in 2^64 pairs.
    pub(crate) fn fingerprint(&self) -> u64 {
        foldhash::quality::FixedState::with_seed(0).hash_one(self)
    }

    /// What lies at `path`, names separated by slashes.
    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        let (first, rest) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
        match (self.0.get(first)?, rest) {
            (node, None) => Some(node),
            (Node::Directory(image), Some(rest)) => image.get(rest),
            (Node::File(_), Some(_)) => None,
        }
    }

    /// The content of the file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&Content> {
        match self.get(path)? {
            Node::File(content) => Some(content),
            Node::Directory(_) => None,
        }
    }

    /// The contents of the files in the directory at `path`, by name.
    pub(crate) fn files<'a>(&'a self, path: &str) -> Vec<(&'a str, &'a Content)> {
        let Some(Node::Directory(directory)) = self.get(path) else { return Vec::new() };
        let files = directory.0.iter().filter_map(|(name, node)| match node {
            Node::File(content) => Some((name.as_str(), &**content)),
            Node::Directory(_) => None,
        });
        files.collect()
    }
}
