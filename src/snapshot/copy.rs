//! Copying records into a snapshot, in order, each checked first; by two threads if they are many.

use super::SnapshotWriter;
use super::blocks::Blocks;
use super::shares::{Report, Shares};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{File, Location, SegmentSet};
use crate::ordered::{OrderedRun, Walk};
use crate::record::{LOG_RUN_OFFSET, append_snapshot_entry};
use crate::record::{decode_log_entry, decode_snapshot_entry, log_entry_len};
use crate::sync::{Mutex, is_parallel, join};

/// Fewer records are copied by one thread.
const MANY: usize = 16 << 10;

/// Bytes that a share should have, and after which it is written in any case.
pub(super) const SHARE: usize = 1 << 20;

/// Records that a share has at most: two of them are as many as a backup reports at once.
pub(crate) const MOST: usize = 2048;

/// Records by whose lengths those of all are judged.
const SAMPLE: usize = 64;

/// How many records, and how many bytes of entries they make.
#[derive(Clone, Copy, Default)]
pub(crate) struct Amount {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// What whoever has records copied wants to remember of each of them; `()` if nothing.
pub(crate) trait Note: Copy + Send {
    /// The same if the copy lies `bytes` further on.
    fn shifted(self, bytes: u64) -> Self;
}

impl Note for () {
    fn shifted(self, _bytes: u64) {}
}

impl SnapshotWriter {
    /// Adds the records of `ordered`, each checked against the checksum it was stored with, so that
    /// what memory or disk has garbled is never written anew under a checksum that makes it look
    /// right. `snapshots` are the segments in which it is that of a snapshot. Calls `progress` with
    /// what came since the last time, on this thread.
    ///
    /// # Errors
    /// `Corrupt` for the first record that is damaged; `OutOfMemory`; those of `progress` and of
    /// writing.
    pub(crate) fn copy(
        &mut self,
        ordered: &OrderedRun,
        snapshots: &SegmentSet,
        progress: &mut dyn FnMut(Amount) -> Result<()>,
    ) -> Result<()> {
        self.copy_noting(ordered, snapshots, |_, _, _| (), progress).map(drop)
    }

    /// As [`copy`](SnapshotWriter::copy). Returns what `note` made of each record's key, where it was,
    /// and the offset at which it is now; in no order.
    pub(crate) fn copy_noting<N: Note>(
        &mut self,
        ordered: &OrderedRun,
        snapshots: &SegmentSet,
        note: impl Fn(&[u8], Location, u64) -> N + Sync,
        progress: &mut dyn FnMut(Amount) -> Result<()>,
    ) -> Result<Vec<N>> {
        let threads = if ordered.len() >= MANY && is_parallel() { 2 } else { 1 };
        let source = Source { ordered, snapshots, note };
        self.copy_by(threads, &source, progress)
    }

    fn copy_by<N: Note>(
        &mut self,
        threads: usize,
        source: &Source<'_, impl Fn(&[u8], Location, u64) -> N + Sync>,
        progress: &mut dyn FnMut(Amount) -> Result<()>,
    ) -> Result<Vec<N>> {
        let records = records_in_share(source.ordered);
        let shares = Shares::new(source.ordered.len().div_ceil(records));
        let output = Output { file: &self.file, blocks: Mutex::new(&mut self.blocks) };
        let mut ours = Worker::new(source, &output, &shares, records);
        let mut theirs = Worker::new(source, &output, &shares, records);
        let mut work = || ours.work(Some(progress));
        let (done, helped) =
            if threads > 1 { join(work, || theirs.work(None)) } else { (work(), Ok(())) };
        // The error is that of the first share that has failed.
        match (done, helped) {
            (Err((share, error)), Err((other, _))) if share <= other => return Err(error),
            (_, Err((_, error))) | (Err((_, error)), Ok(())) => return Err(error),
            (Ok(()), Ok(())) => {}
        }
        let (mut notes, more) = (ours.notes, theirs.notes);
        notes.try_reserve_exact(more.len()).map_err(|_| out_of_memory(size_of_val(&*more)))?;
        notes.extend_from_slice(&more);
        self.count(notes.len())?;
        Ok(notes)
    }
}

/// How many records make a share, judged by some of them: not by the two longest, since one record
/// that is far longer than most would have each share be of a single one.
fn records_in_share(ordered: &OrderedRun) -> usize {
    let every = (ordered.len() / SAMPLE).max(1);
    let sampled = ordered.locations().step_by(every);
    // One that cannot be read is reported when it is to be copied.
    let len = |location| ordered.pins().record(location).map_or(0, |run| run.encoded_len());
    let mut lens: Vec<usize> = sampled.map(len).collect();
    lens.sort_unstable();
    lens.truncate(lens.len().saturating_sub(2));
    let bytes = lens.iter().sum();
    (SHARE * lens.len()).checked_div(bytes).unwrap_or(1).clamp(1, MOST)
}

/// Where it is copied to.
struct Output<'a> {
    file: &'a File,
    /// Added to by whoever has the turn, and so in order.
    blocks: Mutex<&'a mut Blocks>,
}

/// What one thread copies.
struct Worker<'a, F, N> {
    source: &'a Source<'a, F>,
    output: &'a Output<'a>,
    shares: &'a Shares,
    /// Records of each share but the last.
    records: usize,
    bytes: Vec<u8>,
    block: Vec<u8>,
    notes: Vec<N>,
}

impl<'a, N: Note, F: Fn(&[u8], Location, u64) -> N> Worker<'a, F, N> {
    fn new(
        source: &'a Source<'a, F>,
        output: &'a Output<'a>,
        shares: &'a Shares,
        records: usize,
    ) -> Worker<'a, F, N> {
        let (bytes, block, notes) = (Vec::new(), Vec::new(), Vec::new());
        Worker { source, output, shares, records, bytes, block, notes }
    }

    /// Copies shares until none is left or one before them has failed. An error is that of the share
    /// it comes with.
    fn work(&mut self, report: Option<Report<'_>>) -> std::result::Result<(), (usize, Error)> {
        self.shares.work(report, |share, report| self.copy_share(share, report))
    }

    /// False when the share is not needed, since one before it has failed.
    fn copy_share(&mut self, share: usize, mut report: Option<Report<'_>>) -> Result<bool> {
        let ordered = self.source.ordered;
        let start = share * self.records;
        let mut walk = Walk::new(ordered, start..ordered.len().min(start + self.records));
        while walk.left() > 0 {
            let first_note = self.notes.len();
            let more = self.source.encode(&mut walk, &mut self.bytes, &mut self.notes)?;
            if !self.shares.add(share, more) {
                return Ok(false);
            }
            let report = report.as_mut().map(|report| &mut **report as _);
            if !self.shares.wait(share, report)? {
                return Ok(false);
            }
            let (place, whole) = self.output.blocks.lock().add(&self.bytes, &mut self.block)?;
            if walk.left() == 0 {
                self.shares.pass_on();
            }
            let notes = &mut self.notes[first_note..];
            notes.iter_mut().for_each(|note| *note = note.shifted(place));
            whole.write(self.output.file, &self.bytes, &self.block)?;
            self.bytes.clear();
            // After a record of gigabytes.
            self.bytes.shrink_to(2 * SHARE);
        }
        Ok(true)
    }
}

/// What is copied, and what is noted of it.
struct Source<'a, F> {
    ordered: &'a OrderedRun,
    snapshots: &'a SegmentSet,
    note: F,
}

impl<N, F: Fn(&[u8], Location, u64) -> N> Source<'_, F> {
    /// Adds entries to `out` for the next records of `walk`, as many as make a share at most, and what
    /// is noted of them, as if `out` were at the beginning of the file.
    fn encode(&self, walk: &mut Walk, out: &mut Vec<u8>, notes: &mut Vec<N>) -> Result<Amount> {
        let mut done = Amount::default();
        let most = walk.left().min(MOST);
        notes.try_reserve(most).map_err(|_| out_of_memory(most * size_of::<N>()))?;
        while out.len() < SHARE {
            let Some(location) = walk.next(self.ordered) else { break };
            let to = out.len() as u64;
            let key = self.encode_record(location, out)?;
            notes.push((self.note)(key, location, to));
            done.records += 1;
        }
        done.bytes = out.len();
        Ok(done)
    }

    /// Adds the entry of the record at `location` to `out`. Returns its key.
    #[inline]
    fn encode_record(&self, location: Location, out: &mut Vec<u8>) -> Result<&[u8]> {
        let pins = self.ordered.pins();
        let run = pins.record(location)?;
        let (run_len, copy_len) = (run.encoded_len(), run.encoded_len() + 4);
        out.try_reserve(copy_len).map_err(|_| out_of_memory(copy_len))?;
        let checked = if self.snapshots.contains(location.segment_id()) {
            let entry = pins.entry(location, 0, copy_len).unwrap_or_default();
            // With the checksum that was just found right.
            decode_snapshot_entry(entry).map(|_| out.extend_from_slice(entry))
        } else {
            let len = log_entry_len(run.key.len(), run.value.len());
            let entry = pins.entry(location, LOG_RUN_OFFSET, len).unwrap_or_default();
            decode_log_entry(entry)
                .map(|_| append_snapshot_entry(out, &entry[LOG_RUN_OFFSET..][..run_len]))
        };
        match checked {
            Ok(()) => Ok(run.key),
            Err(malformed) => {
                let (path, offset) = pins.describe(location);
                let what = format!("{malformed}; no snapshot was written, the log is kept");
                Err(Error::corrupt(&path, offset, what))
            }
        }
    }
}

#[cold]
pub(super) fn out_of_memory(bytes: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("no memory for {bytes} bytes of a snapshot"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::index::IndexWriter;
    use crate::io::{Directory, RealFileSystem, SegmentId, Segments, heap_mapping};
    use crate::record::{Operation, Run, encode_log_entry};

    /// Records in the order of their keys, every other one as in a log, the others as in a
    /// snapshot; the bytes at `damaged`, a number of a record, are not those that it was stored with.
    struct Records {
        ordered: OrderedRun,
        snapshot: SegmentId,
    }

    fn records(count: usize, damaged: &[usize]) -> Records {
        // Now and then a large one, so that shares end at their bytes.
        records_of(count, damaged, |number| if number % 997 == 0 { 100_000 } else { number % 50 })
    }

    fn records_of(count: usize, damaged: &[usize], len: impl Fn(usize) -> usize) -> Records {
        let segments = Arc::new(Segments::new());
        let mut writer = IndexWriter::new(segments.clone());
        let (mut log, mut snapshot) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        for number in 0..count {
            let key = format!("{number:08}").into_bytes();
            let value = vec![number as u8; len(number)];
            let run = Run { key: &key, value: &value };
            let mut entry = vec![0; log_entry_len(key.len(), value.len())];
            encode_log_entry(&mut entry, Operation::Set, 1, run);
            let in_log = number % 2 == 0;
            places.push((in_log, if in_log { log.len() + LOG_RUN_OFFSET } else { snapshot.len() }));
            let flip = u8::from(damaged.contains(&number));
            if in_log {
                entry[LOG_RUN_OFFSET + 4] ^= flip;
                log.extend_from_slice(&entry);
            } else {
                append_snapshot_entry(&mut snapshot, &entry[LOG_RUN_OFFSET..][..run.encoded_len()]);
                *snapshot.last_mut().unwrap() ^= flip;
            }
        }
        let log = segments.install(heap_mapping(log)).unwrap();
        let snapshot = segments.install(heap_mapping(snapshot)).unwrap();
        for (number, (in_log, offset)) in places.into_iter().enumerate() {
            let key = format!("{number:08}").into_bytes();
            let hash = writer.index().hash(&key);
            writer.reserve(hash).unwrap();
            writer.set(hash, &key, Location::new(if in_log { log } else { snapshot }, offset));
        }
        Records { ordered: OrderedRun::of(&writer, segments.pins()).unwrap(), snapshot }
    }

    /// A record: its number, where it was, and where it is.
    #[derive(Clone, Copy, PartialEq)]
    struct Noted {
        number: usize,
        from: Location,
        to: u64,
    }

    impl Note for Noted {
        fn shifted(self, bytes: u64) -> Noted {
            Noted { to: self.to + bytes, ..self }
        }
    }

    /// A snapshot that was written: its bytes, the records that were told to be done, and what was
    /// noted of them.
    type Written = (Vec<u8>, usize, Vec<Noted>);

    fn copied(records: &Records, by_two: bool) -> Result<Written> {
        let directory = tempfile::tempdir().unwrap();
        let place = Directory::open(&RealFileSystem, directory.path(), false).unwrap();
        let Records { ordered, snapshot } = records;
        let mut writer = SnapshotWriter::create_in_place(&place, 1, ordered.len()).unwrap();
        let mut snapshots = SegmentSet::default();
        snapshots.insert(*snapshot);
        let note = |key: &[u8], from: Location, to: u64| Noted {
            number: str::from_utf8(key).unwrap().parse().unwrap(),
            from,
            to,
        };
        let source = Source { ordered, snapshots: &snapshots, note };
        let mut told = 0;
        let progress = &mut |more: Amount| {
            told += more.records;
            Ok(())
        };
        let mut notes = writer.copy_by(if by_two { 2 } else { 1 }, &source, progress)?;
        notes.sort_unstable_by_key(|noted| noted.number);
        writer.complete()?;
        let bytes = fs::read(directory.path().join("snapshot.dat")).unwrap();
        Ok((bytes, told, notes))
    }

    #[test]
    fn a_long_value_among_short_ones_does_not_make_shares_of_a_record() {
        // The first one is among those by which the others are judged.
        let records = records_of(20_000, &[], |number| if number == 0 { 64 << 20 } else { 20 });
        assert!(records_in_share(&records.ordered) >= MOST / 2);
    }

    #[test]
    fn two_threads_write_what_one_writes() {
        for count in [0, 1, 1023, 1024, 1025, 2049, 60_000] {
            let records = records(count, &[]);
            let (bytes, told, notes) = copied(&records, false).unwrap();
            assert_eq!(told, count);
            let locations = notes.iter().map(|noted| noted.from);
            assert!(locations.eq(records.ordered.locations()));
            for (number, noted) in notes.iter().enumerate() {
                assert_eq!(noted.number, number);
                let entry = decode_snapshot_entry(&bytes[noted.to as usize..]).unwrap();
                assert_eq!(entry.key, format!("{number:08}").as_bytes());
            }
            assert!((bytes, told, notes) == copied(&records, true).unwrap(), "{count}");
        }
    }

    #[test]
    fn the_first_damaged_record_is_found_whoever_comes_to_it() {
        // In a share of this thread, of the helper, and behind what fills a share.
        for damaged in [[10, 1030], [1030, 1500], [1501, 2500], [30_000, 59_998], [30_001, 59_999]]
        {
            let records = records(60_000, &damaged);
            let by_one = copied(&records, false).map(drop).unwrap_err();
            let by_two = copied(&records, true).map(drop).unwrap_err();
            assert_eq!((by_one.kind(), by_two.kind()), (ErrorKind::Corrupt, ErrorKind::Corrupt));
            assert_eq!(by_one.path(), Some(Path::new("memory")));
            assert_eq!(by_one.offset(), by_two.offset(), "{damaged:?}");
        }
    }
}
