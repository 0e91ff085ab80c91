//! The content of a simulated file.

use super::SECTOR;

/// The bytes of a file, without the zeros that end them: a log is made longer ahead of what is
/// written to it, and those zeros would be copied, hashed and compared for each state of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    /// Up to the last byte that is not zero, so that the same content is the same value.
    stored: Vec<u8>,
    len: usize,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        let mut content = Content { len: bytes.len(), stored: bytes };
        content.drop_zeros();
        content
    }
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes up to the last that is not zero.
    pub(super) fn stored(&self) -> &[u8] {
        &self.stored
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.stored.clone();
        bytes.resize(self.len, 0);
        bytes
    }

    /// Those of a range, or `None` when the file ends before.
    pub(crate) fn range(&self, start: usize, len: usize) -> Option<Vec<u8>> {
        let end = start.checked_add(len).filter(|&end| end <= self.len)?;
        let mut bytes = self.stored.get(start..end.min(self.stored.len())).unwrap_or(&[]).to_vec();
        bytes.resize(len, 0);
        Some(bytes)
    }

    pub(super) fn resize(&mut self, len: usize) {
        self.len = len;
        if len < self.stored.len() {
            self.stored.truncate(len);
            self.drop_zeros();
        }
    }

    /// Stores `bytes` from `at` on, as far as the file is long.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = (at + bytes.len()).min(self.len);
        if at >= end {
            return;
        }
        let bytes = &bytes[..end - at];
        if end < self.stored.len() {
            self.stored[at..end].copy_from_slice(bytes);
            return;
        }
        self.stored.truncate(at);
        if !is_zero(bytes) {
            self.stored.resize(at, 0);
            self.stored.extend_from_slice(bytes);
        }
        self.drop_zeros();
    }

    /// How many sectors it has, the last one perhaps in part.
    pub(super) fn sectors(&self) -> usize {
        self.len.div_ceil(SECTOR)
    }

    fn drop_zeros(&mut self) {
        let end = self.stored.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.stored.truncate(end);
    }
}

/// Compared with zeros as memory, which is far faster than byte by byte.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

impl PartialEq<[u8]> for Content {
    fn eq(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.len && {
            let (stored, zeros) = bytes.split_at(self.stored.len());
            stored == self.stored && is_zero(zeros)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Random;
    use super::*;

    #[test]
    fn it_is_what_a_vector_would_be_and_the_same_value_for_the_same_bytes() {
        let mut random = Random::new(1);
        let (mut content, mut bytes) = (Content::default(), Vec::new());
        for _ in 0..20_000 {
            let (at, len) = (random.below(3 * SECTOR), random.below(SECTOR));
            if random.below(4) == 0 {
                content.resize(at);
                bytes.resize(at, 0);
            } else {
                // Zeros, or some that begin and end with zeros.
                let mut put = vec![0; len];
                if random.below(2) == 0 {
                    let from = random.below(len + 1);
                    put[from..].iter_mut().for_each(|byte| *byte = random.below(3) as u8);
                }
                content.put(at, &put);
                let end = (at + len).min(bytes.len());
                if at < end {
                    bytes[at..end].copy_from_slice(&put[..end - at]);
                }
            }
            assert_eq!((content.len(), content.to_vec()), (bytes.len(), bytes.clone()));
            assert_eq!(content, Content::from(bytes.clone()));
            assert!(content == *bytes);
            let found = content.range(at, len);
            assert_eq!(found.as_deref(), bytes.get(at..at + len));
        }
    }
}
