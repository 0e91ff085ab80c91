//! A disk that really is full: a tmpfs of 16 MiB, so that what the store takes for reserved is put
//! to the test by the kernel. A store to a mapped page that has no room would be a SIGBUS.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::disks::{on_a_disk, say, scenario};
use common::{Model, contents, names};
use kvstore::{CloseCheckpoint, Durability, Error, ErrorKind, Options, Store};

const BOTH: [Durability; 2] = [Durability::Os, Durability::Sync];

/// Writers killed under each durability.
const KILLS: u64 = 20;

/// Runs `scenario` in a process that has a disk of 16 MiB for itself.
fn on_a_small_disk(scenario: &str) {
    on_a_disk("full_disk", "small_disk.sh", "16m", scenario);
}

/// Run by the tests below in a process of its own.
#[test]
fn a_scenario_as_a_process() {
    let Some((scenario, disk)) = scenario() else { return };
    match scenario.as_str() {
        "filled" => BOTH.into_iter().for_each(|durability| filled(&disk, durability)),
        "killed" => BOTH.into_iter().for_each(|durability| killed(&disk, durability)),
        "contended" => BOTH.into_iter().for_each(|durability| contended(&disk, durability)),
        "sparse" => BOTH.into_iter().for_each(|durability| sparse(&disk, durability)),
        "writer" => writer(&disk),
        other => panic!("no scenario {other}"),
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing_open_closed_or_opened_again() {
    on_a_small_disk("filled");
}

#[test]
fn writers_killed_on_a_full_disk_lose_nothing_that_was_acknowledged() {
    on_a_small_disk("killed");
}

#[test]
fn room_that_others_take_and_give_back_beside_four_writers_is_never_a_crash() {
    on_a_small_disk("contended");
}

#[test]
fn a_log_with_holes_on_a_full_disk_is_an_error_and_not_a_crash() {
    on_a_small_disk("sparse");
}

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// Of up to `longest` bytes, different for each number.
fn value(number: u64, longest: u64) -> Vec<u8> {
    let len = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % (longest + 1);
    number.to_be_bytes().iter().copied().cycle().take(len as usize).collect()
}

fn options(durability: Durability) -> Options {
    Options::new().durability(durability)
}

fn check_no_space(error: &Error, place: &Path) {
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!(error.os_error(), Some(libc::ENOSPC), "{error}");
    let message = error.to_string();
    assert!(message.contains(place.to_str().unwrap()) && message.contains("room"), "{message}");
}

/// Sets ever further keys until there is no room for one, of which then nothing may be seen.
fn fill(store: &Store, model: &mut Model, next: &mut u64, longest: u64) {
    loop {
        let (key, value) = (key(*next), value(*next, longest));
        *next += 1;
        let Err(error) = store.set(&key, &value) else {
            model.insert(key, value);
            continue;
        };
        check_no_space(&error, store.path());
        assert!(!store.contains(&key).unwrap(), "a refused write can be seen");
        return;
    }
}

/// Writes a file of up to `bytes` bytes: as many as there is room for.
fn take_room(path: &Path, bytes: usize) {
    let mut file = fs::File::create(path).unwrap();
    for _ in 0..bytes / 4096 {
        if file.write_all(&[1; 4096]).is_err() {
            return;
        }
    }
}

fn filled(disk: &Path, durability: Durability) {
    let place = disk.join("data");
    let [first, second, third] = ["first", "second", "third"].map(|name| disk.join(name));
    take_room(&first, 4 << 20);
    take_room(&second, 512 << 10);
    take_room(&third, 2 << 20);
    let (mut model, mut next) = (Model::new(), 0);
    let store = options(durability).open(&place).unwrap();
    fill(&store, &mut model, &mut next, 40_000);
    assert!(model.len() > 200, "only {} records before the disk was full", model.len());
    assert_eq!(contents(&store), model);

    // A delete is shorter than what it deletes, and fits where that did not; until nothing does.
    let mut deleted = 0;
    for longest in [40_000, 0] {
        fill(&store, &mut model, &mut next, longest);
        for _ in 0..20 {
            let (oldest, _) = model.first_key_value().unwrap();
            match store.delete(oldest) {
                Ok(existed) => assert!(existed),
                Err(error) => {
                    check_no_space(&error, store.path());
                    assert!(store.contains(oldest).unwrap(), "a refused delete can be seen");
                    break;
                }
            }
            model.pop_first();
            deleted += 1;
        }
    }
    assert!((10..40).contains(&deleted), "{deleted} deletes fitted");
    assert_eq!(contents(&store), model);
    store.sync().unwrap();

    fs::remove_file(&first).unwrap();
    store.set("there is room", "again").unwrap();
    model.insert(b"there is room".to_vec(), b"again".to_vec());
    let before = model.len();
    fill(&store, &mut model, &mut next, 40_000);
    assert!(model.len() > before + 50, "the room made was not used");
    assert_eq!(contents(&store), model);

    // The snapshot would be about as long as the log, which takes nearly all there is.
    let error = store.close().unwrap_err();
    check_no_space(&error, &place);
    assert!(error.to_string().contains("nothing is lost"), "{error}");
    assert!(!names(&place).iter().any(|name| name.starts_with("snapshot")), "it takes room");

    // Full, it is opened, read and closed, with and without an attempt at a snapshot.
    for close in [CloseCheckpoint::Never, CloseCheckpoint::Always, CloseCheckpoint::Auto] {
        let store = options(durability).close_checkpoint(close).open(&place).unwrap();
        let report = store.recovery_report();
        assert_eq!((report.bytes_cut, report.damaged), (0, false));
        assert_eq!(contents(&store), model);
        fill(&store, &mut model, &mut next, 20_000);
        match close {
            CloseCheckpoint::Never => store.close().unwrap(),
            _ => check_no_space(&store.close().unwrap_err(), &place),
        }
    }
    let read_only = Options::new().read_only(true).open(&place).unwrap();
    assert_eq!(contents(&read_only), model);
    read_only.close().unwrap();

    // With some room there can be deletes, after which a snapshot needs little more.
    fs::remove_file(&second).unwrap();
    let store = options(durability).open(&place).unwrap();
    let written = model.len();
    while model.len() > 50 {
        let (key, _) = model.pop_first().unwrap();
        assert!(store.delete(key).unwrap());
    }
    fs::remove_file(&third).unwrap();
    store.close().unwrap();
    let store = options(durability).open(&place).unwrap();
    assert_eq!(contents(&store), model);
    fill(&store, &mut model, &mut next, 40_000);
    assert_eq!(contents(&store), model);
    drop(store);
    fs::remove_dir_all(&place).unwrap();
    say(&format!(
        "proved: full with {written} records, {durability:?}: {deleted} deletes fitted, nothing \
         was lost open, closed or opened again, and room made was used"
    ));
}

/// Run by [`killed`]: fills the disk, and goes on at its end until it is killed. Reports each
/// number once it is set, and once that the disk is full.
fn writer(disk: &Path) {
    let durability = match std::env::var("KVSTORE_TEST_DURABILITY").unwrap().as_str() {
        "Os" => Durability::Os,
        _ => Durability::Sync,
    };
    let closes = std::env::var_os("KVSTORE_TEST_CLOSES").is_some();
    let mut store = options(durability).open(disk).unwrap();
    let mut out = std::io::stderr().lock();
    let (mut number, mut longest) = (0, 40_000);
    loop {
        match store.set(key(number), value(number, longest)) {
            Ok(()) => {
                out.write_all(&number.to_be_bytes()).unwrap();
                number += 1;
                continue;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
        }
        if longest > 0 {
            out.write_all(&u64::MAX.to_be_bytes()).unwrap();
            longest = 0;
        }
        if closes {
            assert_eq!(store.close().unwrap_err().kind(), ErrorKind::NoSpace);
            store = options(durability).open(disk).unwrap();
        }
    }
}

fn killed(disk: &Path, durability: Durability) {
    let mut acknowledged_in_all = 0;
    for round in 0..KILLS {
        let place = disk.join("data");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_scenario_as_a_process", "--nocapture", "--test-threads=1"]);
        command.env("KVSTORE_TEST_SCENARIO", "writer").env("KVSTORE_TEST_DISK", &place);
        command.env("KVSTORE_TEST_DURABILITY", format!("{durability:?}"));
        if round % 2 == 0 {
            command.env("KVSTORE_TEST_CLOSES", "1");
        }
        let mut writer = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = writer.stderr.take().unwrap();
        let (mut report, mut acknowledged, mut full) = ([0; 8], 0, false);
        while out.read_exact(&mut report).is_ok() {
            match u64::from_be_bytes(report) {
                u64::MAX => {
                    full = true;
                    thread::sleep(Duration::from_micros(1_500 * round));
                    writer.kill().unwrap();
                }
                number => {
                    assert_eq!(number, acknowledged, "round {round}");
                    acknowledged += 1;
                }
            }
        }
        assert!(full && !writer.wait().unwrap().success());
        let store = options(durability).open(&place).unwrap();
        let found = store.len() as u64;
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "round {round}: {found} found, {acknowledged} acknowledged"
        );
        // Those after the disk was full are empty; of the others none may be.
        let expected = |number| [value(number, 40_000), value(number, 0)];
        for number in 0..found {
            let got = store.get(key(number)).unwrap().unwrap();
            assert!(expected(number).iter().any(|value| *value == *got), "record {number}");
        }
        acknowledged_in_all += acknowledged;
        drop(store);
        fs::remove_dir_all(&place).unwrap();
    }
    say(&format!(
        "proved: {KILLS} writers killed on a full disk, {durability:?}: all of \
         {acknowledged_in_all} acknowledged records found"
    ));
}

fn contended(disk: &Path, durability: Durability) {
    const REFUSALS: u64 = 50;
    let mut written = 0;
    for round in 0..4 {
        let place = disk.join("data");
        let store = options(durability).open(&place).unwrap();
        let stop = AtomicBool::new(false);
        let model: Model = thread::scope(|scope| {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    take_room(&disk.join("room"), 8 << 20);
                    fs::remove_file(disk.join("room")).unwrap();
                }
            });
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    scope.spawn(move || {
                        let (mut model, mut next) = (Model::new(), writer << 32);
                        for _ in 0..REFUSALS {
                            fill(store, &mut model, &mut next, 10_000);
                            let some = model.first_key_value().map(|(key, _)| key.clone());
                            match some.map(|key| (store.delete(&key), key)) {
                                Some((Ok(existed), key)) => {
                                    assert!(existed && model.remove(&key).is_some());
                                }
                                Some((Err(error), _)) => check_no_space(&error, store.path()),
                                None => {}
                            }
                        }
                        model
                    })
                })
                .collect();
            let models = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
            stop.store(true, Ordering::Relaxed);
            models
        });
        assert_eq!(contents(&store), model);
        written += model.len();
        if round % 2 == 0 {
            // Without room it fails, and with it succeeds: the same is there.
            let _closed = store.close().is_ok();
        }
        drop(store);
        assert_eq!(contents(&options(durability).open(&place).unwrap()), model);
        fs::remove_dir_all(&place).unwrap();
    }
    say(&format!(
        "proved: 4 times 4 writers beside one that takes and gives back 8 MiB, {durability:?}: \
         {written} records, {} refusals, nothing lost",
        4 * 4 * REFUSALS
    ));
}

/// A copy or a backup may have made holes of the zeros at a log's end.
fn sparse(disk: &Path, durability: Durability) {
    let (place, room) = (disk.join("data"), disk.join("room"));
    let never = options(durability).close_checkpoint(CloseCheckpoint::Never);
    let store = never.open(&place).unwrap();
    let mut model = Model::new();
    for number in 0..100 {
        store.set(key(number), value(number, 1_000)).unwrap();
        model.insert(key(number), value(number, 1_000));
    }
    store.close().unwrap();
    let log = fs::OpenOptions::new().write(true).open(place.join("wal.log")).unwrap();
    log.set_len(8 << 20).unwrap();
    take_room(&room, 16 << 20);
    match never.open(&place) {
        Ok(store) => {
            check_no_space(&store.set("long", [7; 9_000]).unwrap_err(), &place);
            assert_eq!(contents(&store), model);
        }
        // On tmpfs even reading a hole takes room.
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace)),
    }
    fs::remove_file(&room).unwrap();
    let store = never.open(&place).unwrap();
    assert_eq!(contents(&store), model);
    store.set("long", [7; 9_000]).unwrap();
    drop(store);
    fs::remove_dir_all(&place).unwrap();
    say(&format!("proved: a log with holes on a full disk, {durability:?}: refused, nothing lost"));
}
