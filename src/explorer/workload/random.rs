//! Workloads that a seed makes up.

use super::Action::{Batch, Checkpoint, Close, Drop, Group, Open, Seal, Sync, Write};
use super::Workload;
use super::parts::{big, delete, log_without_marks, sector_sized_set};
use crate::io::simulated::{Image, Random};
use crate::options::CloseCheckpoint::{Always, Auto, Never};
use crate::options::Durability as D;

/// A workload that `seed` makes up.
pub(in crate::explorer) fn random(seed: u64) -> Workload {
    let mut random = Random::new(seed);
    let pick = |random: &mut Random| if random.below(2) == 0 { D::Sync } else { D::Os };
    let change = |random: &mut Random| {
        let key = format!("k{}", random.below(6));
        match random.below(8) {
            0 | 1 => delete(&key),
            2 => big(&key, random.below(3_000), random.next()),
            3 => sector_sized_set(random.next() % 6, random.next()),
            4 if random.below(8) == 0 => big(&key, 40_000 + random.below(60_000), random.next()),
            _ => big(&key, random.below(200), random.next()),
        }
    };
    let mut actions = vec![Open(pick(&mut random))];
    for _ in 0..4 + random.below(8) {
        match random.below(16) {
            14 => actions.push(Checkpoint),
            15 => actions.push(Seal),
            0 => actions.extend([Drop, Open(pick(&mut random))]),
            1 => {
                let checkpoint = [Auto, Always, Never][random.below(3)];
                actions.extend([Close(checkpoint), Open(pick(&mut random))]);
            }
            2 => actions.push(Sync),
            3 => {
                let count = 1 + random.below(4);
                let batch = |random: &mut Random| {
                    let count = 1 + random.below(2) * random.below(4);
                    (0..count).map(|_| change(random)).collect()
                };
                actions.push(Group((0..count).map(|_| batch(&mut random)).collect()));
            }
            4 | 5 => {
                let count = 1 + random.below(6);
                let changes = (0..count).map(|_| change(&mut random)).collect();
                actions.push(Batch(changes, pick(&mut random)));
            }
            _ => actions.push(Write(change(&mut random), pick(&mut random))),
        }
    }
    let initial = match random.below(4) {
        0 => log_without_marks(
            &(0..random.below(4)).map(|_| change(&mut random)).collect::<Vec<_>>(),
        ),
        _ => Image::default(),
    };
    Workload { name: format!("random {seed}"), initial, actions }
}
