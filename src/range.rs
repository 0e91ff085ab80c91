//! Ranges of keys, for scans.

use std::ops::{self, Bound};

/// A range of keys in ascending byte order, optionally limited to a prefix.
///
/// Every standard range over byte strings converts into one, so scans accept `..`,
/// `"a".."m"`, `b"k".to_vec()..` and the like.
///
/// ```
/// use kvstore::KeyRange;
///
/// let range = KeyRange::from("user:1".."user:5").and_prefix("user:");
/// assert!(range.contains(b"user:3"));
/// assert!(!range.contains(b"user:5"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { start: Bound::Unbounded, end: Bound::Unbounded }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> KeyRange {
        KeyRange::all().and_prefix(prefix)
    }

    /// The keys of this range that also begin with `prefix`.
    pub fn and_prefix(self, prefix: impl AsRef<[u8]>) -> KeyRange {
        let prefix = prefix.as_ref();
        let end = match successor_of_prefix(prefix) {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        KeyRange {
            start: later_start(self.start, Bound::Included(prefix.to_vec())),
            end: earlier_end(self.end, end),
        }
    }

    pub(crate) fn start(&self) -> Bound<&[u8]> {
        self.start.as_ref().map(Vec::as_slice)
    }

    pub(crate) fn end(&self) -> Bound<&[u8]> {
        self.end.as_ref().map(Vec::as_slice)
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        let after_start = match &self.start {
            Bound::Included(start) => key >= start.as_slice(),
            Bound::Excluded(start) => key > start.as_slice(),
            Bound::Unbounded => true,
        };
        after_start
            && match &self.end {
                Bound::Included(end) => key <= end.as_slice(),
                Bound::Excluded(end) => key < end.as_slice(),
                Bound::Unbounded => true,
            }
    }

    fn of(start: Bound<impl AsRef<[u8]>>, end: Bound<impl AsRef<[u8]>>) -> KeyRange {
        KeyRange {
            start: start.map(|key| key.as_ref().to_vec()),
            end: end.map(|key| key.as_ref().to_vec()),
        }
    }
}

/// The least byte string above every string that begins with `prefix`, if there is one.
fn successor_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn later_start(a: Bound<Vec<u8>>, b: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    // At equal keys the exclusive bound is the later one.
    let rank = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Unbounded => None,
        Bound::Included(key) => Some((key.clone(), false)),
        Bound::Excluded(key) => Some((key.clone(), true)),
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

fn earlier_end(a: Bound<Vec<u8>>, b: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (&a, &b) {
        (Bound::Unbounded, _) => b,
        (_, Bound::Unbounded) => a,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            // At equal keys the exclusive bound is the earlier one.
            let a_is_earlier = x < y || (x == y && matches!(a, Bound::Excluded(_)));
            if a_is_earlier { a } else { b }
        }
    }
}

impl From<ops::RangeFull> for KeyRange {
    fn from(_: ops::RangeFull) -> KeyRange {
        KeyRange::all()
    }
}

impl<K: AsRef<[u8]>> From<ops::Range<K>> for KeyRange {
    fn from(range: ops::Range<K>) -> KeyRange {
        KeyRange::of(Bound::Included(range.start), Bound::Excluded(range.end))
    }
}

impl<K: AsRef<[u8]>> From<ops::RangeInclusive<K>> for KeyRange {
    fn from(range: ops::RangeInclusive<K>) -> KeyRange {
        let (start, end) = range.into_inner();
        KeyRange::of(Bound::Included(start), Bound::Included(end))
    }
}

impl<K: AsRef<[u8]>> From<ops::RangeFrom<K>> for KeyRange {
    fn from(range: ops::RangeFrom<K>) -> KeyRange {
        KeyRange::of(Bound::Included(range.start), Bound::<K>::Unbounded)
    }
}

impl<K: AsRef<[u8]>> From<ops::RangeTo<K>> for KeyRange {
    fn from(range: ops::RangeTo<K>) -> KeyRange {
        KeyRange::of(Bound::<K>::Unbounded, Bound::Excluded(range.end))
    }
}

impl<K: AsRef<[u8]>> From<ops::RangeToInclusive<K>> for KeyRange {
    fn from(range: ops::RangeToInclusive<K>) -> KeyRange {
        KeyRange::of(Bound::<K>::Unbounded, Bound::Included(range.end))
    }
}

impl<K: AsRef<[u8]>> From<(Bound<K>, Bound<K>)> for KeyRange {
    fn from((start, end): (Bound<K>, Bound<K>)) -> KeyRange {
        KeyRange::of(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_before_the_next_prefix() {
        let range = KeyRange::prefix([1, 0xFF]);
        assert!(range.contains(&[1, 0xFF]));
        assert!(range.contains(&[1, 0xFF, 0xFF, 0xFF]));
        assert!(!range.contains(&[2]));
        assert!(!range.contains(&[1, 0xFE, 0xFF]));
        assert!(KeyRange::prefix([0xFF]).contains(&[0xFF, 0xFF]));
        assert_eq!(KeyRange::prefix([]).end, Bound::Unbounded);
    }

    #[test]
    fn a_prefix_narrows_and_never_widens() {
        let range = KeyRange::from("b".."d").and_prefix("c");
        assert!(!range.contains(b"b"));
        assert!(range.contains(b"c"));
        assert!(range.contains(b"czz"));
        assert!(!range.contains(b"d"));
        let narrow = KeyRange::from("ca"..="cb").and_prefix("c");
        assert!(!narrow.contains(b"c"));
        assert!(narrow.contains(b"cb"));
        assert!(!narrow.contains(b"cba"));
    }

    #[test]
    fn every_standard_range_converts() {
        assert!(KeyRange::from(..).contains(b""));
        assert!(KeyRange::from("b"..).contains(b"b"));
        assert!(!KeyRange::from(.."b").contains(b"b"));
        assert!(KeyRange::from(..="b").contains(b"b"));
        let open = KeyRange::from((Bound::Excluded("a"), Bound::<&str>::Unbounded));
        assert!(!open.contains(b"a"));
        assert!(open.contains(b"a\0"));
    }
}
