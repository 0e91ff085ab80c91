//! What a directory holds, after `docs/FORMAT.md` alone.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::ops::Range;

use super::reference::{BATCH, CONTINUES, DELETE, MARK, MARK_LEN, SET};
use super::reference::{LogEntry, log_entries, snapshot_entries};

pub type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The files of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub snapshot: Option<Vec<u8>>,
    /// By the generation in their names.
    pub sealed: BTreeMap<u64, Vec<u8>>,
    pub log: Option<Vec<u8>>,
}

impl Files {
    pub fn len(&self) -> usize {
        self.named().iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Each with its name, the logs in their order.
    pub fn named(&self) -> Vec<(String, &[u8])> {
        let snapshot = self.snapshot.iter().map(|bytes| ("snapshot.dat".to_owned(), &**bytes));
        let sealed = self.sealed.iter();
        let sealed = sealed.map(|(number, bytes)| (format!("wal-{number}.log"), &**bytes));
        let log = self.log.iter().map(|bytes| ("wal.log".to_owned(), &**bytes));
        snapshot.chain(sealed).chain(log).collect()
    }

    /// The bytes of the file of this name.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.named().into_iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes)
    }

    /// The last sealed log, if it is `wal.log` under another name.
    pub fn second_name(&self) -> Option<u64> {
        let (&generation, last) = self.sealed.last_key_value()?;
        (!last.is_empty() && self.log.as_ref() == Some(last)).then_some(generation)
    }

    fn logs(&self) -> impl Iterator<Item = Log<'_>> {
        let second_name = self.second_name();
        let sealed = self.sealed.iter().map(|(&generation, bytes)| (generation, bytes));
        let sealed = sealed.filter(move |&(generation, _)| Some(generation) != second_name);
        let sealed = sealed.map(|(generation, bytes)| Log::new(bytes, Some(generation)));
        sealed.chain(self.log.iter().map(|bytes| Log::new(bytes, None)))
    }
}

/// Bytes that are not replayed, in the log of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub log: String,
    pub bytes: Range<usize>,
}

/// What a directory holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// The records, what has to be cut, and which of that is the first that was damaged.
    State { model: Model, cuts: Vec<Cut>, damage: Option<Cut> },
    /// Bytes that must not be guessed about.
    Corrupt,
    /// An operation of a newer version.
    Unsupported,
}

/// Reads a directory with these files.
pub fn read(files: &Files) -> Reading {
    let (base, mut model) = match files.snapshot.as_deref().map(snapshot_entries) {
        None => (None, Model::new()),
        Some(None) => return Reading::Corrupt,
        Some(Some((timestamp, entries))) => (Some(timestamp), entries.into_iter().collect()),
    };
    let (mut cuts, mut damage) = (Vec::new(), None);
    let mut chain = Chain { base, last: None, is_broken: false };
    for log in files.logs() {
        let is_covered = log.is_covered(base);
        let is_covered_sealed = is_covered && log.sealed.is_some();
        if !is_covered_sealed && log.lacks_snapshot(base) {
            return Reading::Corrupt;
        }
        if !log.is_supported {
            return Reading::Unsupported;
        }
        let (cut, is_damaged) = if is_covered {
            // What follows its entries is kept, and the log then removed.
            (log.rest(), false)
        } else if chain.takes(&log) {
            log.apply(&mut model);
            (log.rest(), log.is_damaged())
        } else {
            (log.used(), log.vouches_before() || log.synced_before() > chain.end_of_continued(&log))
        };
        if !is_covered {
            chain.goes_over(&log);
        }
        let cut = Cut { log: log.name(), bytes: cut };
        if is_damaged && damage.is_none() {
            damage = Some(cut.clone());
        }
        if !cut.bytes.is_empty() {
            cuts.push(cut);
        }
    }
    Reading::State { model, cuts, damage }
}

/// Where the logs that were replayed end.
struct Chain {
    base: Option<i64>,
    /// The last log that was replayed.
    last: Option<End>,
    /// Whether the last log that is not covered was not replayed.
    is_broken: bool,
}

struct End {
    generation: Option<u64>,
    /// Bytes of its valid entries.
    len: u64,
    has_rest: bool,
}

impl Chain {
    /// Whether the log goes on where those before it end.
    fn takes(&self, log: &Log<'_>) -> bool {
        match log.continues {
            None => !self.is_broken && self.last.as_ref().is_none_or(|last| !last.has_rest),
            Some([generation, _, _]) if is_covered(generation, self.base) => true,
            Some([_, end, _]) => self.continued(log).is_some_and(|last| last.len >= end),
        }
    }

    fn goes_over(&mut self, log: &Log<'_>) {
        self.is_broken = !self.takes(log);
        if !self.is_broken {
            let (len, has_rest) = (log.end as u64, !log.rest().is_empty());
            self.last = Some(End { generation: log.sealed, len, has_rest });
        }
    }

    /// The log that `log` continues, if that is there.
    fn continued(&self, log: &Log<'_>) -> Option<&End> {
        let [generation, _, _] = log.continues?;
        self.last.as_ref().filter(|last| last.generation == Some(generation))
    }

    fn end_of_continued(&self, log: &Log<'_>) -> u64 {
        self.continued(log).map_or(0, |last| last.len)
    }
}

/// Whether the snapshot has all of the sealed log of this generation.
fn is_covered(generation: u64, base: Option<i64>) -> bool {
    base.is_some_and(|base| u64::try_from(base).is_ok_and(|base| generation < base))
}

/// A log, read as far as it goes.
struct Log<'a> {
    bytes: &'a [u8],
    /// The generation in its name.
    sealed: Option<u64>,
    /// Those that are replayed if the log is, and where each ends.
    entries: Vec<(LogEntry, usize)>,
    end: usize,
    is_supported: bool,
    /// The base in the mark that opens it.
    base: Option<i64>,
    continues: Option<[u64; 3]>,
}

impl Log<'_> {
    fn new(bytes: &[u8], sealed: Option<u64>) -> Log<'_> {
        let mut entries = log_entries(bytes);
        let (count, is_supported) = replayed(&entries);
        entries.truncate(count);
        let end = entries.last().map_or(0, |(_, end)| *end);
        let base = entries.first().and_then(|(entry, _)| Some(entry.mark_values()?.1));
        let second = entries.get(1).filter(|_| base.is_some());
        let continues = second.and_then(|(entry, _)| entry.continues_values());
        Log { bytes, sealed, entries, end, is_supported, base, continues }
    }

    fn name(&self) -> String {
        self.sealed.map_or("wal.log".to_owned(), |number| format!("wal-{number}.log"))
    }

    fn is_covered(&self, base: Option<i64>) -> bool {
        match (self.sealed, self.base, base) {
            (Some(generation), _, _) => is_covered(generation, base),
            (None, Some(own), Some(base)) => {
                own < base && self.entries.iter().all(|(entry, _)| entry.timestamp <= base)
            }
            _ => false,
        }
    }

    /// Whether it builds on another snapshot than one that is there, or an older one.
    fn lacks_snapshot(&self, base: Option<i64>) -> bool {
        let own = self.base.unwrap_or(0);
        match base {
            None => own != 0,
            Some(base) => self.base.is_some_and(|own| own > base),
        }
    }

    fn apply(&self, model: &mut Model) {
        for (entry, _) in &self.entries {
            match entry.operation {
                SET => drop(model.insert(entry.key.clone(), entry.value.clone())),
                DELETE => drop(model.remove(&entry.key)),
                _ => {}
            }
        }
    }

    /// What follows the entries, up to the zeros that end the file.
    fn rest(&self) -> Range<usize> {
        let used = self.bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        if self.end < used { self.end..used } else { 0..0 }
    }

    /// The entries and what follows them.
    fn used(&self) -> Range<usize> {
        0..self.end.max(self.rest().end)
    }

    /// Whether a mark behind the entries says that what follows them had reached the disk.
    fn is_damaged(&self) -> bool {
        let marks = self.entries.iter().rev().filter_map(|(entry, _)| entry.mark_values());
        let generation = marks.map(|(generation, _)| generation).next();
        let vouches = |at: usize| {
            let bytes = &self.bytes[at..(at + MARK_LEN).min(self.bytes.len())];
            let found = log_entries(bytes).first().and_then(|(entry, _)| entry.mark_values());
            found.is_some_and(|(number, _)| generation.is_none_or(|known| known == number))
        };
        // A log without a mark before its end, of the Go store, cannot tell.
        let tells = generation.is_some() || self.end == 0;
        tells && self.rest().skip(1).any(vouches)
    }

    /// Whether a mark says that what the log continues had reached the disk.
    fn vouches_before(&self) -> bool {
        let later = self.entries.iter().skip(1).any(|(entry, _)| entry.mark_values().is_some());
        later || self.is_damaged()
    }

    fn synced_before(&self) -> u64 {
        self.continues.map_or(0, |[_, _, synced]| synced)
    }
}

/// How many of the entries that a log begins with are replayed: all, or those before a batch that is
/// not whole. And whether what stopped it, if anything did, is only that.
fn replayed(entries: &[(LogEntry, usize)]) -> (usize, bool) {
    let known = |operation| [SET, DELETE, MARK, BATCH, CONTINUES].contains(&operation);
    let mut at = 0;
    while let Some((entry, end)) = entries.get(at) {
        if !known(entry.operation) {
            return (at, false);
        }
        let mut following = 0;
        if entry.operation == BATCH {
            let Some((count, bytes)) = entry.batch_values() else { return (at, true) };
            let limit = (*end as u64).checked_add(bytes);
            for (entry, end) in entries[at + 1..].iter().take(count as usize) {
                if !known(entry.operation) {
                    return (at, false);
                }
                if ![SET, DELETE].contains(&entry.operation)
                    || limit.is_some_and(|limit| *end as u64 > limit)
                {
                    return (at, true);
                }
                following += 1;
            }
            let end = entries[at + following].1 as u64;
            if following != count as usize || limit != Some(end) {
                return (at, true);
            }
        }
        at += 1 + following;
    }
    (at, true)
}
