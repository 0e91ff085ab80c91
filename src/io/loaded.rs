//! A mapped file being read from its start.

use super::mapping::Mapping;
use crate::error::Result;
use crate::record::Malformed;

/// How much is read from the disk at a time, ahead of decoding.
const STEP: usize = 4 << 20;

/// The bytes of a mapping up to where they have been read from the disk: an I/O error is met
/// while reading, where it is an error, and not while decoding, where it would be a signal.
pub(crate) struct LoadedBytes<'m> {
    mapping: &'m Mapping,
    loaded: usize,
}

impl<'m> LoadedBytes<'m> {
    pub(crate) fn new(mapping: &'m Mapping) -> LoadedBytes<'m> {
        LoadedBytes { mapping, loaded: 0 }
    }

    pub(crate) fn bytes(&self) -> &'m [u8] {
        self.mapping.bytes(0, self.loaded).unwrap_or_default()
    }

    /// Reads on; false at the end of the file.
    pub(crate) fn load_more(&mut self) -> Result<bool> {
        let step = STEP.min(self.mapping.len() - self.loaded);
        self.mapping.load(self.loaded, step)?;
        self.loaded += step;
        Ok(step > 0)
    }

    /// What `decode` makes of the bytes from `at` on, reading as many as it needs. Only at the
    /// end of the file do they count as truncated.
    pub(crate) fn decode_at<T>(
        &mut self,
        at: usize,
        decode: impl Fn(&'m [u8]) -> std::result::Result<T, Malformed>,
    ) -> Result<std::result::Result<T, Malformed>> {
        loop {
            match decode(self.bytes().get(at..).unwrap_or_default()) {
                Err(Malformed::Truncated) if self.load_more()? => {}
                decoded => return Ok(decoded),
            }
        }
    }
}
