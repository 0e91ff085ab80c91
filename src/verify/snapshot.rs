//! Checking every byte of a snapshot, also behind damage.

use super::checksums::RangeChecksums;
use super::no_memory_to_search;
use super::progress::Ticker;
use super::report::{Condition, Finding, SnapshotCheck, Verification};
use super::source::SourceFile;
use crate::error::Result;
use crate::io::{LoadedBytes, MAX_FILE_LEN, Mapping};
use crate::record::{
    Malformed, Run, SNAPSHOT_ENTRY_OVERHEAD, SNAPSHOT_HEADER_LEN, decode_snapshot_entry,
    decode_snapshot_header,
};

/// Calls `visit` with every valid entry: its offset, its run, and whether damage lies before it.
/// What is wrong goes to `report`.
///
/// Behind damage, an entry is where lengths that fit are followed by the checksum of the bytes up
/// to it. By chance that happens once in 2^32 tries. A value that holds a piece of another snapshot
/// looks like entries if the damage is in its own entry.
///
/// # Errors
/// Those of `visit`; an I/O error; `Cancelled`.
pub(crate) fn survey<'m>(
    file: &'m SourceFile,
    report: &mut Verification,
    ticker: &mut Ticker<'_>,
    visit: impl FnMut(usize, Run<'m>, bool) -> Result<()>,
) -> Result<SnapshotCheck> {
    ticker.begin("checking", &file.path, file.len);
    let mut survey = Survey {
        check: SnapshotCheck {
            path: file.path.clone(),
            bytes: file.len,
            ascending: true,
            ..SnapshotCheck::default()
        },
        report,
        last: None,
        visit,
    };
    match &file.mapping {
        None if file.len > MAX_FILE_LEN => {
            let what = format!("the file is longer than the {MAX_FILE_LEN} bytes it may have");
            survey.damaged(0, file.len, what);
        }
        None => survey.damaged(0, 0, "the file is empty".to_owned()),
        Some(mapping) => survey.run(mapping, ticker)?,
    }
    Ok(survey.check)
}

struct Survey<'r, 'm, V> {
    check: SnapshotCheck,
    report: &'r mut Verification,
    /// The key of the last valid entry.
    last: Option<&'m [u8]>,
    visit: V,
}

impl<'m, V: FnMut(usize, Run<'m>, bool) -> Result<()>> Survey<'_, 'm, V> {
    fn damaged(&mut self, offset: u64, len: u64, what: String) {
        self.check.condition = Condition::Damaged;
        let path = self.check.path.clone();
        self.report.add(Finding { condition: Condition::Damaged, path, offset, len, what });
    }

    fn run(&mut self, mapping: &'m Mapping, ticker: &mut Ticker<'_>) -> Result<()> {
        let mut loaded = LoadedBytes::new(mapping);
        self.check_header(&mut loaded)?;
        let mut at = SNAPSHOT_HEADER_LEN.min(mapping.len());
        while self.wants_more(at, mapping.len()) {
            ticker.reached(at)?;
            match loaded.decode_at(at, decode_snapshot_entry)? {
                Ok(run) => at += self.found(at, run, false)?,
                Err(malformed) => {
                    self.check.last_key = self.last.map(<[u8]>::to_vec);
                    while loaded.load_more()? {}
                    return self.search(at, malformed, loaded.bytes(), ticker);
                }
            }
        }
        self.check.last_key = self.last.map(<[u8]>::to_vec);
        self.check.trailer_bytes = (mapping.len() - at) as u64;
        Ok(())
    }

    fn check_header(&mut self, loaded: &mut LoadedBytes<'m>) -> Result<()> {
        let len = self.check.bytes;
        let header_len = len.min(SNAPSHOT_HEADER_LEN as u64);
        match loaded.decode_at(0, decode_snapshot_header)? {
            Ok(header) => {
                self.check.timestamp = Some(header.timestamp);
                self.check.count = Some(header.count);
                let least = u64::from(header.count) * SNAPSHOT_ENTRY_OVERHEAD as u64;
                if least > len - header_len {
                    let what = format!(
                        "the header counts {} entries, which {len} bytes cannot hold",
                        header.count
                    );
                    self.damaged(12, 4, what);
                }
            }
            Err(Malformed::Truncated) => {
                let what = format!("the file has {len} bytes, fewer than a snapshot's header");
                self.damaged(0, header_len, what);
            }
            Err(malformed) => self.damaged(0, header_len, format!("in the header, {malformed}")),
        }
        let field = loaded.bytes().get(4..).and_then(|bytes| bytes.first_chunk());
        self.check.stated_timestamp = field.map_or(0, |field| i64::from_be_bytes(*field));
        Ok(())
    }

    /// Whether there should be another entry at `at`.
    fn wants_more(&self, at: usize, len: usize) -> bool {
        match self.check.count {
            Some(count) => self.check.entries + self.check.entries_behind < u64::from(count),
            // Without a header, to the end of the file.
            None => at < len,
        }
    }

    /// Takes a valid entry and returns its length.
    fn found(&mut self, at: usize, run: Run<'m>, behind: bool) -> Result<usize> {
        let count = if behind { &mut self.check.entries_behind } else { &mut self.check.entries };
        *count += 1;
        self.check.ascending &= self.last.is_none_or(|last| last < run.key);
        self.last = Some(run.key);
        (self.visit)(at, run, behind)?;
        Ok(run.encoded_len() + 4)
    }

    /// Goes on behind the damage at `at`, to the end of the file.
    fn search(
        &mut self,
        mut at: usize,
        malformed: Malformed,
        bytes: &'m [u8],
        ticker: &mut Ticker<'_>,
    ) -> Result<()> {
        let number = self.check.entries;
        let mut what = match self.check.count {
            Some(count) => format!("in entry {number} of {count}, {malformed}"),
            None => format!("in entry {number}, {malformed}"),
        };
        ticker.begin("searching", &self.check.path, 2 * bytes.len() as u64);
        let checksums = RangeChecksums::new(bytes, ticker)?
            .ok_or_else(|| no_memory_to_search(&self.check.path))?;
        let mut damage = Some(at);
        while at < bytes.len() && self.wants_more(at, bytes.len()) {
            ticker.reached(bytes.len() + at)?;
            match valid_entry(bytes, at, &checksums) {
                Some(run) => {
                    if let Some(start) = damage.take() {
                        self.damaged(start as u64, (at - start) as u64, what);
                        what = String::new();
                    }
                    at += self.found(at, run, true)?;
                }
                None => {
                    if damage.is_none() {
                        damage = Some(at);
                        what = "no valid entry".to_owned();
                    }
                    at += 1;
                }
            }
        }
        if let Some(start) = damage {
            self.damaged(start as u64, (bytes.len() - start) as u64, what);
        }
        Ok(())
    }
}

/// The entry at `at`, if there is a valid one.
fn valid_entry<'m>(bytes: &'m [u8], at: usize, checksums: &RangeChecksums<'_>) -> Option<Run<'m>> {
    let run = Run::decode(&bytes.get(at..)?)?;
    let crc_at = at + run.encoded_len();
    let stored = u32::from_be_bytes(*bytes.get(crc_at..)?.first_chunk()?);
    (checksums.of(at, crc_at) == stored).then_some(run)
}
