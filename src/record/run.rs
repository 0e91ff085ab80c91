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
        if found != key {
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
