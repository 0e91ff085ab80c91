//! Values as reads return them.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use crate::io::{GuardedBytes, Location, PinnedBytes};
use crate::ordered::OrderedRun;

/// Bytes borrowed from the mapped files of a store: a value, or a key from a scan.
///
/// No copy is made, and no shared counter touched. In return a value belongs to the thread that
/// read it, and while it is held, memory and files that the store has replaced are not freed; after
/// some hundred checkpoints no more are possible. So it is not for keeping: copy it with `to_vec`,
/// or get it by [`Store::get_pinned`](crate::Store::get_pinned).
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// let store = kvstore::Store::open(directory.path())?;
/// store.set("key", "value")?;
/// let length = store.get("key")?.map_or(0, |value| value.len());
/// let copy: Option<Vec<u8>> = store.get("key")?.map(|value| value.to_vec());
/// assert_eq!((length, copy), (5, Some(b"value".to_vec())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Value<'a>(Bytes<'a>);

enum Bytes<'a> {
    Guarded(GuardedBytes<'a>),
    Borrowed(&'a [u8]),
    Shared(SharedBytes),
}

/// Bytes of a scan's records, which the scan keeps mapped together with all that it has lent. Not
/// counted atomically: a value belongs to one thread.
struct SharedBytes {
    ordered: Rc<OrderedRun>,
    start: Location,
    len: usize,
}

impl<'a> Value<'a> {
    #[inline]
    pub(super) fn guarded(bytes: GuardedBytes<'a>) -> Value<'a> {
        Value(Bytes::Guarded(bytes))
    }

    /// `bytes` from `start` on, which is in one of the records of `ordered`.
    #[inline]
    pub(super) fn shared(ordered: &Rc<OrderedRun>, start: Location, len: usize) -> Value<'a> {
        Value(Bytes::Shared(SharedBytes { ordered: Rc::clone(ordered), start, len }))
    }

    /// Of a view, which keeps them where they are.
    #[inline]
    pub(super) fn borrowed(bytes: &'a [u8]) -> Value<'a> {
        Value(Bytes::Borrowed(bytes))
    }
}

impl Deref for Value<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Guarded(bytes) => bytes,
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Shared(SharedBytes { ordered, start, len }) => {
                // They were there when the record was read.
                ordered.pins().bytes(*start, *len).unwrap_or_default()
            }
        }
    }
}

/// A value that keeps its file mapped by a reference count: valid on any thread and for as long
/// as it lives, also after the store was closed.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// let store = kvstore::Store::open(directory.path())?;
/// store.set("key", "value")?;
/// let value = store.get_pinned("key")?.unwrap();
/// store.close()?;
/// assert_eq!(&*value, b"value");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PinnedValue(PinnedBytes);

impl PinnedValue {
    pub(super) fn new(bytes: PinnedBytes) -> PinnedValue {
        PinnedValue(bytes)
    }
}

impl Deref for PinnedValue {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The traits that make both kinds usable as byte strings.
macro_rules! byte_string {
    ($($type:ty),*) => {$(
        impl AsRef<[u8]> for $type {
            #[inline]
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl Eq for $type {}

        impl PartialEq<[u8]> for $type {
            fn eq(&self, other: &[u8]) -> bool {
                **self == *other
            }
        }

        impl PartialEq<&[u8]> for $type {
            fn eq(&self, other: &&[u8]) -> bool {
                **self == **other
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", self.escape_ascii())
            }
        }
    )*};
}

byte_string!(Value<'_>, PinnedValue);
