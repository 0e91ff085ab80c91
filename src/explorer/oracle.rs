//! What must be true of a disk after a crash.

use std::fmt::Write;

use super::exploration::{Exploration, Outcome};
use super::run::{Model, after, contents, open, write};
use super::workload::{Change, DIRECTORY, sector_sized_set};
use crate::io::Step;
use crate::io::simulated::{Crash, Image, SimulatedDisk};
use crate::options::Durability;
use crate::recovery::RecoveryReport;

/// How a state is to be recovered.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Recovery {
    pub(super) durability: Durability,
    /// A step that is left out, to see whether anybody notices.
    pub(super) skipped: Option<Step>,
    /// Whether recovery is crashed in turn.
    pub(super) nested: bool,
}

impl Recovery {
    fn disk(self, image: &Image) -> SimulatedDisk {
        let disk = SimulatedDisk::new(image);
        disk.skip(self.skipped);
        disk
    }
}

impl Exploration {
    /// Recovers `image`, which must hold one of `acceptable`: it opens; nothing but a torn write
    /// was cut, and what was cut is kept; what is then written survives another open, also after
    /// the power fails once more.
    pub(super) fn check(&self, image: &Image, acceptable: &[Model], recovery: Recovery) -> Outcome {
        let fingerprint = image.fingerprint();
        if !self.is_new(("recovered", fingerprint, acceptable, recovery)) {
            return Ok(());
        }
        self.note_state(fingerprint);
        self.note_recovery();
        let disk = recovery.disk(image);
        let store = open(&disk, recovery.durability).map_err(|error| format!("open: {error}"))?;
        let opened = disk.trace_len();
        let report = store.recovery_report();
        if report.damaged {
            return Err("a torn write was taken for damage".to_owned());
        }
        let found = contents(&store)?;
        if !acceptable.contains(&found) {
            return Err(describe_mismatch(&found, acceptable));
        }
        let cuts = Cut::all(image, report);
        cuts.iter().try_for_each(|cut| cut.check(&disk.cached()))?;

        let mut possible = vec![found];
        for change in after_recovery(fingerprint, recovery.durability) {
            write(&store, &change, recovery.durability).map_err(|error| format!("set: {error}"))?;
            possible.push(after(&possible[possible.len() - 1], &change));
        }
        drop(store);
        let (first, last) = (&possible[..1], &possible[possible.len() - 1..]);
        self.expect(&disk, recovery, last, "opened again")?;

        let trace = disk.trace();
        let mut crash = Crash::new(&trace);
        if recovery.nested {
            self.crash_recovery(&mut crash, opened, first, &cuts, recovery)?;
        }
        crash.advance_to(trace.len());
        let survivors = if recovery.durability == Durability::Sync { last } else { &possible };
        for choices in self.choices(&crash.alternatives(), 4, 6, fingerprint) {
            let survived = crash.image(&choices, None);
            cuts.iter().try_for_each(|cut| cut.check(&survived))?;
            self.expect_of(&survived, recovery, survivors, || "powered off".to_owned())?;
        }
        Ok(())
    }

    /// As [`expect`](Exploration::expect), of a new disk with `image` on it.
    fn expect_of(
        &self,
        image: &Image,
        recovery: Recovery,
        expected: &[Model],
        when: impl Fn() -> String,
    ) -> Outcome {
        if !self.is_new(("opened", image.fingerprint(), expected, recovery)) {
            return Ok(());
        }
        self.expect(&recovery.disk(image), recovery, expected, &when())
    }

    /// Whoever opens `disk` finds one of `expected`.
    fn expect(
        &self,
        disk: &SimulatedDisk,
        recovery: Recovery,
        expected: &[Model],
        when: &str,
    ) -> Outcome {
        self.note_recovery();
        let store =
            open(disk, recovery.durability).map_err(|error| format!("open, {when}: {error}"))?;
        if store.recovery_report().damaged {
            return Err(format!("a torn write was taken for damage, {when}"));
        }
        let found = contents(&store)?;
        if expected.contains(&found) {
            return Ok(());
        }
        Err(format!("{when}: {}", describe_mismatch(&found, expected)))
    }

    /// The power fails after each thing that recovery did: the next one finds the same.
    fn crash_recovery(
        &self,
        crash: &mut Crash<'_>,
        events: usize,
        expected: &[Model],
        cuts: &[Cut],
        recovery: Recovery,
    ) -> Outcome {
        for at in 1..=events {
            crash.advance_to(at);
            for choices in self.choices(&crash.alternatives(), 16, 3, at as u64) {
                let image = crash.image(&choices, None);
                self.note_state(image.fingerprint());
                cuts.iter().try_for_each(|cut| cut.check(&image))?;
                let when = || format!("after a crash in recovery at event {at}");
                self.expect_of(&image, recovery, expected, when)?;
            }
        }
        Ok(())
    }

    /// Choices of what reached the disk: all there are, if they are at most `exhaustive`;
    /// otherwise nothing, everything, everything but one, and `samples` others.
    pub(super) fn choices(
        &self,
        alternatives: &[u8],
        exhaustive: usize,
        samples: usize,
        salt: u64,
    ) -> Vec<Vec<u8>> {
        let count = alternatives.iter().try_fold(1_usize, |count, &n| {
            let count = count.checked_mul(n.into())?;
            (count <= exhaustive).then_some(count)
        });
        let digits = |mut number: usize| {
            let mut choices = Vec::with_capacity(alternatives.len());
            for &alternative in alternatives {
                choices.push((number % alternative as usize) as u8);
                number /= alternative as usize;
            }
            choices
        };
        if let Some(count) = count {
            return (0..count).map(digits).collect();
        }
        let mut random = self.random(salt);
        let everything: Vec<u8> = alternatives.iter().map(|&n| n - 1).collect();
        let mut all = vec![vec![0; alternatives.len()], everything.clone()];
        for sample in 0..samples {
            let mut choices = everything.clone();
            let position = random.below(choices.len());
            match sample % 4 {
                // All but one, only one, a prefix, and anything.
                0 => choices[position] = 0,
                1 => {
                    choices.fill(0);
                    choices[position] = everything[position];
                }
                2 => choices[position..].fill(0),
                _ => {
                    for (choice, &n) in choices.iter_mut().zip(alternatives) {
                        *choice = random.below(n.into()) as u8;
                    }
                }
            }
            all.push(choices);
        }
        all
    }
}

/// What is written after recovery. Unsynced, it is as long as what may have been torn, so that it
/// ends where an entry once began that must not come back.
fn after_recovery(fingerprint: u64, durability: Durability) -> Vec<Change> {
    match durability {
        Durability::Sync => {
            vec![Change::Set(b"probe".to_vec(), b"written after recovery".to_vec())]
        }
        Durability::Os => {
            let count = 1 + fingerprint % 3;
            (0..count).map(|number| sector_sized_set(number, 1_000)).collect()
        }
    }
}

/// Bytes that recovery cut from a log.
pub(super) struct Cut {
    /// Where the log is.
    log: String,
    offset: usize,
    bytes: Vec<u8>,
}

impl Cut {
    /// What `report` says of opening `image`.
    pub(super) fn all(image: &Image, report: &RecoveryReport) -> Vec<Cut> {
        let cut = |cut: &crate::recovery::Cut| {
            let (log, offset) = (format!("{DIRECTORY}/{}", cut.name), cut.offset as usize);
            let bytes = image.file(&log).and_then(|log| log.range(offset, cut.len as usize));
            Cut { log, offset, bytes: bytes.unwrap_or_default() }
        };
        report.cuts.iter().map(cut).collect()
    }

    /// The bytes are in the log still, or in quarantine.
    pub(super) fn check(&self, image: &Image) -> Outcome {
        let found = image.file(&self.log).and_then(|log| log.range(self.offset, self.bytes.len()));
        if self.bytes.is_empty() || found.as_ref() == Some(&self.bytes) {
            return Ok(());
        }
        let quarantined = image.files(&format!("{DIRECTORY}/quarantine"));
        if quarantined.iter().any(|(_, content)| **content == *self.bytes) {
            return Ok(());
        }
        Err(format!("bytes were cut from {} and are not in quarantine", self.log))
    }
}

/// How what was found differs from what it could be.
fn describe_mismatch(found: &Model, acceptable: &[Model]) -> String {
    let summary = |model: &Model| {
        let mut text = String::new();
        for (key, value) in model {
            let key = String::from_utf8_lossy(key);
            let shown = &value[..value.len().min(8)];
            let _ = write!(
                text,
                " {key:?}={}/{}b",
                String::from_utf8_lossy(shown).escape_debug(),
                value.len()
            );
        }
        format!("{{{text} }}")
    };
    let possible: Vec<String> = acceptable.iter().map(summary).collect();
    format!("found {}, which is none of {}", summary(found), possible.join(" or "))
}
