//! A writer that is killed loses nothing that it has acknowledged.

mod common;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{directory, open};
use kvstore::{Durability, Options, Store};

const ROUNDS: u64 = 200;

fn key(number: u64) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// Of many lengths, and different for each number.
fn value(number: u64) -> Vec<u8> {
    let len = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    number.to_be_bytes().iter().copied().cycle().take(len as usize).collect()
}

/// Run by the test below in a process of its own: writes ever further numbers and reports each
/// once it is set, until it is killed.
#[test]
fn a_writer_as_a_process() {
    let Some(place) = std::env::var_os("KVSTORE_TEST_KILL") else { return };
    let os = std::env::var_os("KVSTORE_TEST_OS").is_some();
    let durability = if os { Durability::Os } else { Durability::Sync };
    let store = Options::new().durability(durability).open(Path::new(&place)).unwrap();
    // The harness prints to standard output.
    let mut out = std::io::stderr().lock();
    for number in store.len() as u64.. {
        store.set(key(number), value(number)).unwrap();
        out.write_all(&number.to_be_bytes()).unwrap();
    }
}

/// How many records the store has: the numbers from 0 on, each with its value.
fn records(store: &Store) -> u64 {
    let count = store.len() as u64;
    for number in 0..count {
        let found = store.get(key(number)).unwrap();
        assert_eq!(found.as_deref(), Some(value(number).as_slice()), "record {number} of {count}");
    }
    count
}

#[test]
fn two_hundred_killed_writers_lose_nothing_that_was_acknowledged() {
    let place = directory();
    let mut random: u64 = 7;
    let (mut acknowledged, mut torn) = (0, 0);
    for round in 0..ROUNDS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_writer_as_a_process", "--nocapture", "--test-threads=1"]);
        command.env("KVSTORE_TEST_KILL", place.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        if round % 2 == 0 {
            command.env("KVSTORE_TEST_OS", "1");
        }
        let mut writer = command.spawn().unwrap();
        let mut out = writer.stderr.take().unwrap();
        let reader = thread::spawn(move || {
            let mut reported = Vec::new();
            out.read_to_end(&mut reported).map(|_| reported)
        });
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        thread::sleep(Duration::from_micros(5_000 + (random >> 33) % 10_000));
        writer.kill().unwrap();
        assert!(!writer.wait().unwrap().success());
        let reported = reader.join().unwrap().unwrap();
        if let Some(last) = reported.chunks_exact(8).last() {
            acknowledged = acknowledged.max(u64::from_be_bytes(last.try_into().unwrap()) + 1);
        }
        let store = open(place.path());
        torn += u64::from(store.recovery_report().bytes_cut > 0);
        let found = records(&store);
        assert!(found >= acknowledged, "round {round}: {found} of {acknowledged} acknowledged");
        acknowledged = found;
        if round % 10 == 9 {
            store.close().unwrap();
        }
    }
    println!("{ROUNDS} writers killed, {acknowledged} records acknowledged, {torn} torn tails cut");
    assert!(acknowledged > ROUNDS, "the writers hardly wrote");
}
