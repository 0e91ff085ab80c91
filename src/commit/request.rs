//! What callers ask the writer to do, with their own bytes or with copies that wait in a group.

use std::mem::size_of;
use std::ops::Range;

use super::{Change, Write};
use crate::index::KeyHash;

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request<'a> {
    /// Set or delete one key. The answer is whether it was there before.
    Write(Write<'a>),
    /// Several sets and deletes at once. The answer is `Done`.
    Batch(Operations<'a>),
    /// Set or delete a key if its value is the expected one. The answer is whether it was.
    CompareAndSet(CompareAndSet<'a>),
    /// Add to the number that a key has. The answer is the sum.
    Increment(Increment<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CompareAndSet<'a> {
    pub(crate) hash: KeyHash,
    pub(crate) key: &'a [u8],
    /// `None`: the key is absent.
    pub(crate) expected: Option<&'a [u8]>,
    /// `None`: the key is to be absent.
    pub(crate) new: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Increment<'a> {
    pub(crate) hash: KeyHash,
    pub(crate) key: &'a [u8],
    pub(crate) delta: i64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// Whether the key was there before.
    Existed(bool),
    /// Whether the value was the expected one.
    Matched(bool),
    Sum(i64),
}

impl Answer {
    /// The answer to a set, a delete or a compare-and-set.
    pub(crate) fn flag(self) -> bool {
        matches!(self, Answer::Existed(true) | Answer::Matched(true))
    }

    /// The answer to an increment.
    pub(crate) fn sum(self) -> i64 {
        if let Answer::Sum(sum) = self { sum } else { 0 }
    }
}

/// A set or a delete of a batch, whose bytes lie together with those of the others: the key, then
/// the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) change: Change,
    /// Where the key begins.
    pub(crate) start: usize,
    pub(crate) key_len: usize,
    /// 0 for a delete.
    pub(crate) value_len: usize,
}

impl Operation {
    #[inline]
    fn write<'a>(&self, bytes: &'a [u8], hash: KeyHash) -> Write<'a> {
        let (key, rest) = bytes[self.start..].split_at(self.key_len);
        Write { change: self.change, key, value: &rest[..self.value_len], hash }
    }
}

/// The operations of a batch, in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operations<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) operations: &'a [Operation],
    /// One for each.
    pub(crate) hashes: &'a [KeyHash],
}

impl<'a> Operations<'a> {
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// The one operation of a batch that has no other.
    #[cfg(test)]
    pub(crate) fn only(&self) -> Option<Write<'a>> {
        (self.len() == 1).then(|| self.at(0))
    }

    #[inline]
    pub(super) fn at(&self, position: usize) -> Write<'a> {
        self.operations[position].write(self.bytes, self.hashes[position])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Write<'a>> + use<'a> {
        let bytes = self.bytes;
        let pairs = self.operations.iter().zip(self.hashes);
        pairs.map(move |(operation, &hash)| operation.write(bytes, hash))
    }
}

impl<'a> Request<'a> {
    /// Bytes of memory that a copy takes.
    pub(super) fn size(&self) -> usize {
        let optional = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
        match self {
            Request::Write(write) => write.key.len() + write.value.len(),
            Request::Batch(batch) => {
                let each = size_of::<Operation>() + size_of::<KeyHash>();
                batch.bytes.len() + batch.len() * each
            }
            Request::CompareAndSet(request) => {
                request.key.len() + optional(request.expected) + optional(request.new)
            }
            Request::Increment(request) => request.key.len(),
        }
    }

    /// The hashes of the keys that may be written.
    pub(super) fn hashes(self) -> impl Iterator<Item = KeyHash> + use<'a> {
        let count = if let Request::Batch(batch) = self { batch.hashes.len() } else { 1 };
        (0..count).map(move |position| match self {
            Request::Write(write) => write.hash,
            Request::Batch(batch) => batch.hashes[position],
            Request::CompareAndSet(request) => request.hash,
            Request::Increment(request) => request.hash,
        })
    }
}

/// Requests that wait for somebody else to commit them, their bytes copied.
#[derive(Default)]
pub(super) struct Staged {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    hashes: Vec<KeyHash>,
    requests: Vec<StagedRequest>,
}

/// A [`Request`] by places in the bytes and operations of [`Staged`].
enum StagedRequest {
    Write {
        change: Change,
        hash: KeyHash,
        key: Range<usize>,
        value: Range<usize>,
    },
    Batch {
        bytes: Range<usize>,
        operations: Range<usize>,
    },
    CompareAndSet {
        hash: KeyHash,
        key: Range<usize>,
        expected: Option<Range<usize>>,
        new: Option<Range<usize>>,
    },
    Increment {
        hash: KeyHash,
        key: Range<usize>,
        delta: i64,
    },
}

impl Staged {
    /// Adds a copy of `request`; false, and nothing added, when memory cannot be had.
    pub(super) fn push(&mut self, request: Request<'_>) -> bool {
        let operations = if let Request::Batch(batch) = request { batch.len() } else { 0 };
        let reserved = self.bytes.try_reserve(request.size());
        let reserved = reserved.and_then(|()| self.operations.try_reserve(operations));
        let reserved = reserved.and_then(|()| self.hashes.try_reserve(operations));
        if reserved.and_then(|()| self.requests.try_reserve(1)).is_err() {
            return false;
        }
        let staged = match request {
            Request::Write(write) => StagedRequest::Write {
                change: write.change,
                hash: write.hash,
                key: self.copy(write.key),
                value: self.copy(write.value),
            },
            Request::Batch(batch) => {
                let first = self.operations.len();
                self.operations.extend_from_slice(batch.operations);
                self.hashes.extend_from_slice(batch.hashes);
                let operations = first..self.operations.len();
                StagedRequest::Batch { bytes: self.copy(batch.bytes), operations }
            }
            Request::CompareAndSet(request) => StagedRequest::CompareAndSet {
                hash: request.hash,
                key: self.copy(request.key),
                expected: request.expected.map(|value| self.copy(value)),
                new: request.new.map(|value| self.copy(value)),
            },
            Request::Increment(request) => StagedRequest::Increment {
                hash: request.hash,
                key: self.copy(request.key),
                delta: request.delta,
            },
        };
        // A batch's operations and hashes are pushed together, so positions agree.
        self.requests.push(staged);
        true
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Request<'_>> + Clone {
        let bytes = |range: &Range<usize>| &self.bytes[range.clone()];
        self.requests.iter().map(move |staged| match staged {
            StagedRequest::Write { change, hash, key, value } => Request::Write(Write {
                change: *change,
                key: bytes(key),
                value: bytes(value),
                hash: *hash,
            }),
            StagedRequest::Batch { bytes: content, operations } => Request::Batch(Operations {
                bytes: bytes(content),
                operations: &self.operations[operations.clone()],
                hashes: &self.hashes[operations.clone()],
            }),
            StagedRequest::CompareAndSet { hash, key, expected, new } => {
                Request::CompareAndSet(CompareAndSet {
                    hash: *hash,
                    key: bytes(key),
                    expected: expected.as_ref().map(bytes),
                    new: new.as_ref().map(bytes),
                })
            }
            StagedRequest::Increment { hash, key, delta } => {
                Request::Increment(Increment { hash: *hash, key: bytes(key), delta: *delta })
            }
        })
    }
}
