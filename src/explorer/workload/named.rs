//! The workloads that are explored each time.

use super::Action::{self, Batch, Checkpoint, Close, Drop, Group, Open, Seal, Sync};
use super::parts::{
    behind_a_hole, big, delete, group, log_without_marks, sector_aligned, sector_sized,
    sector_sized_set, set, synced, unsynced, with_log,
};
use super::{LOG, Workload};
use crate::io::simulated::{Content, Image, SECTOR};
use crate::options::CloseCheckpoint::{Always, Auto, Never};
use crate::options::Durability as D;
use crate::record::{Mark, log_entry_len};

/// All of them.
pub(in crate::explorer) fn named() -> Vec<Workload> {
    [writes(), batches(), unsynced_writes(), closes(), kills(), checkpoints(), found_logs()]
        .concat()
}

fn workload(name: &str, initial: &Image, actions: Vec<Action>) -> Workload {
    Workload { name: name.to_owned(), initial: initial.clone(), actions }
}

/// A store that is opened for synced writes.
fn sync(actions: Vec<Action>) -> Vec<Action> {
    [vec![Open(D::Sync)], actions].concat()
}

/// A store that is opened for unsynced writes.
fn os(actions: Vec<Action>) -> Vec<Action> {
    [vec![Open(D::Os)], actions].concat()
}

/// Writes that are durable when they return.
fn writes() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload("one set", &empty, sync(vec![synced(set("a", "1"))])),
        workload(
            "single sets",
            &empty,
            sync(vec![synced(set("a", "1")), synced(set("b", "2")), synced(set("c", "3"))]),
        ),
        workload(
            "overwrites",
            &empty,
            sync((0..5).map(|n| synced(set("a", &n.to_string()))).collect()),
        ),
        workload(
            "deletes",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                synced(delete("a")),
                synced(delete("absent")),
                synced(set("a", "2")),
                synced(delete("a")),
            ]),
        ),
        workload(
            "groups",
            &empty,
            sync(vec![
                group(vec![set("a", "1"), set("b", "2"), set("c", "3")]),
                group(vec![delete("a"), set("b", "4"), set("a", "5"), delete("c")]),
                group(vec![big("d", 700, 1), big("e", 700, 2), big("f", 700, 3)]),
            ]),
        ),
        workload(
            "values of several sectors",
            &empty,
            sync(vec![
                synced(big("a", 1500, 1)),
                synced(big("b", 1100, 2)),
                synced(big("a", 1300, 3)),
            ]),
        ),
        workload(
            "values that make the log grow",
            &empty,
            sync(vec![
                synced(big("a", 40_000, 1)),
                synced(big("b", 40_000, 2)),
                synced(big("c", 150_000, 3)),
                synced(set("d", "4")),
            ]),
        ),
        workload(
            "empty keys and values",
            &empty,
            sync(vec![
                synced(set("", "")),
                synced(set("", "1")),
                synced(delete("")),
                synced(set("a", "")),
            ]),
        ),
    ]
}

/// Changes that take effect together.
fn batches() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload(
            "batches",
            &empty,
            sync(vec![
                Batch(vec![set("a", "1"), set("b", "2"), set("a", "3")], D::Sync),
                Batch(vec![delete("absent")], D::Sync),
                Batch(vec![delete("a"), set("c", "4"), delete("c"), set("d", "")], D::Sync),
                synced(set("e", "5")),
                Batch(vec![set("b", "6"), delete("e")], D::Sync),
            ]),
        ),
        workload(
            "batches of several sectors",
            &empty,
            sync(vec![
                Batch((0..6).map(|n| big(&format!("k{n}"), 300, n)).collect(), D::Sync),
                Batch((2..8).map(|n| big(&format!("k{n}"), 500, 9 + n)).collect(), D::Sync),
            ]),
        ),
        workload(
            "batches of several sectors, unsynced",
            &empty,
            os(vec![
                unsynced(set("a", "1")),
                Batch((0..5).map(|n| big(&format!("k{n}"), 400, n)).collect(), D::Os),
                unsynced(sector_sized_set(1, 5)),
                Batch(vec![big("k1", 600, 7), delete("a"), big("k2", 30, 8)], D::Os),
                unsynced(set("b", "2")),
            ]),
        ),
        workload(
            "batches that make the log grow",
            &empty,
            sync(vec![
                synced(big("a", 30_000, 1)),
                Batch((0..5).map(|n| big(&format!("k{n}"), 9_000, n)).collect(), D::Sync),
                Batch((0..5).map(|n| big(&format!("k{n}"), 30_000, 9 + n)).collect(), D::Os),
                Sync,
                synced(set("d", "4")),
            ]),
        ),
        workload(
            "batches in groups",
            &empty,
            sync(vec![
                Group(vec![
                    vec![set("a", "1")],
                    vec![set("a", "2"), big("b", 600, 1), delete("a")],
                    vec![delete("a")],
                    vec![set("c", "3"), set("a", "4")],
                ]),
                Group(vec![vec![delete("a"), set("d", "5")], vec![delete("c")]]),
            ]),
        ),
        workload(
            "a batch, killed, and others after it",
            &empty,
            os(vec![
                Batch(vec![big("a", 700, 1), big("b", 700, 2)], D::Os),
                Drop,
                Open(D::Sync),
                Batch(vec![delete("a"), set("c", "3")], D::Sync),
                Close(Never),
                Open(D::Os),
                Batch(vec![set("a", "4"), delete("c")], D::Os),
                Close(Always),
            ]),
        ),
    ]
}

/// Writes that become durable later, or never.
fn unsynced_writes() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload(
            "unsynced writes",
            &empty,
            os(vec![
                unsynced(set("a", "1")),
                unsynced(big("b", 600, 1)),
                unsynced(delete("a")),
                unsynced(set("c", "3")),
            ]),
        ),
        workload(
            "an explicit sync",
            &empty,
            os(vec![
                unsynced(set("a", "1")),
                unsynced(big("b", 600, 1)),
                Sync,
                unsynced(set("a", "2")),
                Sync,
                unsynced(set("d", "3")),
            ]),
        ),
        workload(
            "writes of both durabilities",
            &empty,
            os(vec![
                unsynced(set("a", "1")),
                synced(set("b", "2")),
                unsynced(big("c", 1200, 1)),
                synced(delete("absent")),
                unsynced(delete("a")),
            ]),
        ),
        workload(
            "entries of a sector each, unsynced",
            &empty,
            os(sector_aligned(4, 1).chain([Drop, Open(D::Os)]).chain(sector_sized(4, 9)).collect()),
        ),
    ]
}

/// A log that is kept at close, and snapshots.
fn closes() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload(
            "close and reopen",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                synced(set("b", "2")),
                Close(Auto),
                Open(D::Sync),
                synced(set("a", "3")),
                synced(delete("b")),
                Close(Always),
                Open(D::Sync),
                synced(set("c", "4")),
            ]),
        ),
        workload(
            "close with a kept log",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                synced(big("b", 900, 1)),
                Close(Never),
                Open(D::Sync),
                synced(set("c", "3")),
                Close(Never),
                Open(D::Sync),
            ]),
        ),
        workload(
            "close with a kept log whose mark crosses a sector",
            &empty,
            // Behind the first mark, so that 20 bytes are left of a sector.
            sync(vec![
                synced(big(
                    "a",
                    2 * SECTOR - 20 - log_entry_len(0, Mark::LEN) - log_entry_len(1, 0),
                    1,
                )),
                Close(Never),
                Open(D::Sync),
                synced(set("b", "2")),
            ]),
        ),
        workload(
            "close with a kept log, unsynced",
            &empty,
            os(vec![unsynced(set("a", "1")), unsynced(big("b", 2000, 1)), Close(Never)]),
        ),
        workload("close of an unused store", &empty, sync(vec![Close(Auto), Open(D::Sync)])),
        workload(
            "close after unsynced writes",
            &empty,
            os(sector_aligned(3, 1).chain([Close(Always), Open(D::Os)]).collect()),
        ),
        workload(
            "a snapshot replaced",
            &empty,
            sync(vec![
                group((0..8).map(|n| big(&format!("k{n}"), 100, n)).collect()),
                Close(Always),
                Open(D::Os),
                unsynced(big("k1", 1000, 11)),
                unsynced(delete("k2")),
                Close(Always),
            ]),
        ),
    ]
}

/// One process goes on where another was killed.
fn kills() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload(
            "killed and reopened",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                Drop,
                Open(D::Sync),
                synced(set("b", "2")),
                Drop,
                Open(D::Sync),
                synced(set("a", "3")),
            ]),
        ),
        workload(
            "killed unsynced and reopened synced",
            &empty,
            os(vec![
                unsynced(big("a", 600, 1)),
                unsynced(set("b", "2")),
                Drop,
                Open(D::Sync),
                synced(set("c", "3")),
                Close(Auto),
            ]),
        ),
    ]
}

/// Checkpoints, whole or cut short once the log is sealed.
fn checkpoints() -> Vec<Workload> {
    let empty = Image::default();
    vec![
        workload(
            "checkpoints",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                synced(set("b", "2")),
                Checkpoint,
                synced(set("a", "3")),
                synced(delete("b")),
                Checkpoint,
                synced(set("b", "4")),
            ]),
        ),
        workload(
            "checkpoints amid unsynced writes",
            &empty,
            os(sector_aligned(2, 1)
                .chain([Checkpoint, unsynced(delete("k1"))])
                .chain(sector_sized(2, 5))
                .chain([Checkpoint, unsynced(set("z", "1")), Sync])
                .collect()),
        ),
        workload(
            "sealed amid unsynced writes",
            &empty,
            os(sector_aligned(3, 1)
                .chain([Seal])
                .chain(sector_sized(2, 9))
                .chain([Sync, unsynced(set("a", "1"))])
                .collect()),
        ),
        workload(
            "sealed unsynced, then a synced delete of nothing",
            &empty,
            os(sector_aligned(2, 1).chain([Seal, synced(delete("absent"))]).collect()),
        ),
        workload(
            "sealed twice and killed",
            &empty,
            os(sector_aligned(2, 1)
                .chain([Seal])
                .chain(sector_sized(2, 9))
                .chain([Seal, unsynced(set("a", "1")), Drop, Open(D::Os)])
                .chain(sector_sized(1, 20))
                .chain([Sync])
                .collect()),
        ),
        workload(
            "sealed, killed and opened synced",
            &empty,
            os(sector_aligned(2, 1)
                .chain([Seal, Drop, Open(D::Sync), synced(set("a", "1")), Checkpoint])
                .collect()),
        ),
        workload(
            "sealed and closed with a kept log",
            &empty,
            os(sector_aligned(2, 1)
                .chain([Seal, Close(Never), Open(D::Os), unsynced(set("a", "1")), Close(Never)])
                .chain([Open(D::Sync), synced(set("b", "1"))])
                .collect()),
        ),
        workload(
            "sealed and closed with a snapshot",
            &empty,
            sync(vec![
                synced(set("a", "1")),
                Seal,
                synced(set("b", "2")),
                Close(Always),
                Open(D::Sync),
                synced(set("c", "3")),
                Seal,
                Close(Always),
            ]),
        ),
        workload(
            "a checkpoint after others that failed",
            &empty,
            os(sector_aligned(1, 1)
                .chain([Seal, unsynced(set("a", "1")), Seal, Seal, Checkpoint])
                .chain([unsynced(set("b", "1")), Checkpoint, Checkpoint, Close(Auto)])
                .collect()),
        ),
    ]
}

/// Logs that others have left.
fn found_logs() -> Vec<Workload> {
    let go = log_without_marks(&[set("a", "1"), set("b", "2"), delete("a"), set("c", "3")]);
    let mut torn = go.file(LOG).map(Content::to_vec).unwrap_or_default();
    torn.extend(b"KVLG a torn entry that is longer than a sector ".repeat(16));
    let torn = with_log(torn);
    vec![
        workload(
            "a log of the Go store",
            &go,
            sync(vec![synced(set("a", "9")), synced(delete("b"))]),
        ),
        workload(
            "a log of the Go store, closed",
            &go,
            os([unsynced(delete("b"))]
                .into_iter()
                .chain(sector_sized(3, 1))
                .chain([Close(Always)])
                .collect()),
        ),
        workload(
            "a log of the Go store, sealed",
            &go,
            os(vec![
                unsynced(set("a", "9")),
                Seal,
                unsynced(delete("b")),
                Drop,
                Open(D::Os),
                unsynced(set("c", "5")),
                Checkpoint,
                unsynced(delete("c")),
                Close(Always),
            ]),
        ),
        workload(
            "a log sealed before the name of the one before it is durable",
            &Image::default(),
            // The first log once more behind the second would take back a half of what that has.
            os(vec![
                synced(set("a", "1")),
                Seal,
                Batch(vec![set("a", "2"), set("b", "3")], D::Os),
                Seal,
            ]),
        ),
        workload(
            "a log of the Go store, sealed amid unsynced writes",
            &go,
            // Replayed over a newer snapshot as far as the first, it would take back the second and
            // leave the third.
            os(vec![
                synced(set("a", "7")),
                unsynced(set("a", "8")),
                unsynced(set("d", "9")),
                Checkpoint,
                unsynced(delete("b")),
            ]),
        ),
        workload(
            "a log of the Go store, sealed amid unsynced writes, closed",
            &go,
            os(vec![
                synced(set("a", "7")),
                unsynced(set("a", "8")),
                unsynced(set("d", "9")),
                Seal,
                Close(Always),
            ]),
        ),
        workload("a torn log", &torn, sync(vec![synced(set("c", "3")), Close(Never)])),
        workload("a torn log, unsynced", &torn, os(sector_sized(3, 1).collect())),
        workload(
            "a log behind a hole, and an empty one behind it",
            &behind_a_hole(),
            sync(vec![synced(set("a", "1")), synced(set("b", "2"))]),
        ),
    ]
}
