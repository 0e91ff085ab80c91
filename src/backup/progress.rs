//! Telling the caller how far a backup has come.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Result};

/// How far a backup has come: see [`Store::backup_with`](crate::Store::backup_with).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Records that are checked, and written or about to be: the backup is whole when the call returns.
    pub records_done: u64,
    /// Records there are.
    pub records_total: u64,
    /// Bytes of those.
    pub bytes_done: u64,
    /// Bytes there will be: an estimate by the average of the records so far, exact at the end. It is
    /// never less than `bytes_done`.
    pub bytes_total: u64,
}

/// Records between two calls of the caller's function.
const RECORDS: u64 = 4096;

/// Bytes between two calls, if they are fewer records.
const BYTES: u64 = 1 << 20;

/// Counts, and calls the caller's function from time to time.
pub(super) struct Meter<'a> {
    report: &'a mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    records: u64,
    bytes: u64,
    total: u64,
    /// Bytes there will be, as far as that is known before the first record.
    expected: u64,
    /// What the caller was told last.
    told: (u64, u64),
}

impl<'a> Meter<'a> {
    pub(super) fn new(
        total: usize,
        report: &'a mut dyn FnMut(&BackupProgress) -> ControlFlow<()>,
    ) -> Meter<'a> {
        Meter { report, records: 0, bytes: 0, total: total as u64, expected: 0, told: (0, 0) }
    }

    /// Takes note that there will be about so many bytes.
    pub(super) fn announce(&mut self, bytes: usize) {
        self.expected = bytes as u64;
    }

    /// Begins anew.
    pub(super) fn restart(&mut self) {
        (self.records, self.bytes, self.told) = (0, 0, (0, 0));
    }

    /// Takes note of bytes that belong to no record.
    pub(super) fn header(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Takes note of records, and of all the bytes that they have.
    ///
    /// # Errors
    /// `Cancelled` when the caller wants no more.
    #[inline]
    pub(super) fn records(&mut self, records: usize, bytes: usize) -> Result<()> {
        self.records += records as u64;
        self.bytes += bytes as u64;
        let (records, bytes) = self.told;
        if self.records - records >= RECORDS || self.bytes - bytes >= BYTES {
            return self.tell();
        }
        Ok(())
    }

    /// Tells the caller of the last ones, if that is still to be done.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.told == (self.records, self.bytes) { Ok(()) } else { self.tell() }
    }

    /// Tells the caller how far this has come.
    #[cold]
    pub(super) fn tell(&mut self) -> Result<()> {
        self.told = (self.records, self.bytes);
        let average = u128::from(self.bytes) * u128::from(self.total);
        let estimate = average.checked_div(u128::from(self.records));
        let estimate = estimate.unwrap_or(u128::from(self.expected));
        let progress = BackupProgress {
            records_done: self.records,
            records_total: self.total,
            bytes_done: self.bytes,
            bytes_total: u64::try_from(estimate).unwrap_or(u64::MAX).max(self.bytes),
        };
        match (self.report)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Cancelled,
                "the backup was stopped by its progress callback; nothing of it is left",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_and_ends_with_what_there_was() {
        let mut told = Vec::new();
        let mut report = |progress: &BackupProgress| {
            told.push(*progress);
            ControlFlow::Continue(())
        };
        let mut meter = Meter::new(10_000, &mut report);
        meter.announce(300_000);
        meter.tell().unwrap();
        meter.header(20);
        (0..10_000)
            .try_for_each(|n| meter.records(1, if n == 5_000 { 3 << 20 } else { 30 }))
            .unwrap();
        meter.end().unwrap();
        let done: Vec<u64> = told.iter().map(|progress| progress.records_done).collect();
        assert_eq!(done, [0, 4096, 5001, 9097, 10_000]);
        assert_eq!((told[0].bytes_done, told[0].bytes_total), (0, 300_000));
        assert!(told.iter().all(|progress| progress.bytes_total >= progress.bytes_done));
        let last = told.last().unwrap();
        assert_eq!((last.records_total, last.bytes_total), (10_000, last.bytes_done));
        assert_eq!(last.bytes_done, 20 + 9_999 * 30 + (3 << 20));
    }

    #[test]
    fn a_backup_of_nothing_is_told_too() {
        let mut calls = 0;
        let mut report = |_: &BackupProgress| {
            calls += 1;
            ControlFlow::Break(())
        };
        let mut meter = Meter::new(0, &mut report);
        meter.header(20);
        assert_eq!(meter.end().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(calls, 1);
    }
}
