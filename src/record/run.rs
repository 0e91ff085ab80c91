//! The run `key_len key value_len value` that log and snapshot entries share.

use super::u32_at;

/// Bytes that can be read at an offset; each answer is bounds-checked.
pub(crate) trait ByteSource<'a> {
    /// `len` bytes from `start`, or `None` beyond the end.
    fn bytes(&self, start: usize, len: usize) -> Option<&'a [u8]>;
}

impl<'a> ByteSource<'a> for &'a [u8] {
    fn bytes(&self, start: usize, len: usize) -> Option<&'a [u8]> {
        self.get(start..start.checked_add(len)?)
    }
}

/// A decoded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Run<'a> {
    /// Where the key begins in a run.
    pub(crate) const KEY_AT: usize = 4;

    /// Where the value begins in this run.
    pub(crate) fn value_at(&self) -> usize {
        Run::KEY_AT + self.key.len() + 4
    }

    /// Bytes of the run itself: two length fields, the key and the value.
    pub(crate) fn encoded_len(&self) -> usize {
        8 + self.key.len() + self.value.len()
    }

    /// Decodes the run at the start of `source`.
    pub(crate) fn decode(source: &impl ByteSource<'a>) -> Option<Run<'a>> {
        let key = Run::decode_key(source)?;
        let at = 4 + key.len();
        let value_len = u32_at(source.bytes(at, 4)?, 0)? as usize;
        Some(Run { key, value: source.bytes(at + 4, value_len)? })
    }

    /// The run at the start of `source`, if its key is `key`.
    ///
    /// Looks at the stored length first, so at no byte beyond the run, and finds the value by
    /// the length it was given: then the processor can start on it before the key has arrived.
    #[inline]
    pub(crate) fn decode_if_key(source: &impl ByteSource<'a>, key: &[u8]) -> Option<Run<'a>> {
        if u32_at(source.bytes(0, 4)?, 0)? as usize != key.len() {
            return None;
        }
        let head = source.bytes(4, key.len() + 4)?;
        let (found, value_len) = head.split_at(key.len());
        if !are_equal(found, key) {
            return None;
        }
        let value_len = u32_at(value_len, 0)? as usize;
        Some(Run { key: found, value: source.bytes(8 + key.len(), value_len)? })
    }

    /// The key of the run at the start of `source`, without touching its value.
    #[inline]
    pub(crate) fn decode_key(source: &impl ByteSource<'a>) -> Option<&'a [u8]> {
        let key_len = u32_at(source.bytes(0, 4)?, 0)? as usize;
        source.bytes(4, key_len)
    }

    /// Writes the run to the start of `out`, which is `encoded_len` long or longer.
    pub(super) fn encode(&self, out: &mut [u8]) {
        let (key_end, run_end) = (4 + self.key.len(), self.encoded_len());
        out[..4].copy_from_slice(&(self.key.len() as u32).to_be_bytes());
        out[4..key_end].copy_from_slice(self.key);
        out[key_end..key_end + 4].copy_from_slice(&(self.value.len() as u32).to_be_bytes());
        out[key_end + 4..run_end].copy_from_slice(self.value);
    }
}

/// Whether two byte strings of the same length are equal.
///
/// Without a call for the usual lengths of keys: what surrounds a call keeps the processor from
/// having as many reads under way at once.
#[inline]
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let words = |at: usize| a[at..].first_chunk::<8>() == b[at..].first_chunk::<8>();
    match a.len().min(b.len()) {
        // The two words overlap unless there are sixteen bytes.
        len @ 8..=16 => a.len() == b.len() && words(0) && words(len - 8),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_that_of_slices() {
        for len in 0..40 {
            let a: Vec<u8> = (0..len).collect();
            assert!(are_equal(&a, &a.clone()));
            for at in 0..a.len() {
                let mut b = a.clone();
                b[at] ^= 1;
                assert!(!are_equal(&a, &b), "{len} {at}");
            }
        }
        assert!(!are_equal(b"12345678", b"123456789"));
    }

    #[test]
    fn a_run_is_found_by_its_key_alone() {
        let mut bytes = vec![0; 8 + 3 + 5];
        Run { key: b"key", value: b"value" }.encode(&mut bytes);
        let source = bytes.as_slice();
        assert_eq!(Run::decode_if_key(&source, b"key").unwrap().value, b"value");
        for other in [b"ke".as_slice(), b"kez", b"keys", b""] {
            assert_eq!(Run::decode_if_key(&source, other), None);
        }
        assert_eq!(Run::decode_if_key(&&bytes[..15], b"key"), None, "it ends inside the value");
    }
}
