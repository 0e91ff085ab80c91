//! What tests of damaged and hostile files share: a place for many small files, random numbers,
//! and a watchdog.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// A temporary directory in memory where the system has one: a test that opens a hundred thousand
/// stores should not wait for a disk.
pub fn directory_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::tempdir_in(memory);
    made.unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Random numbers that a seed determines (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    /// A position in `len` bytes or at their end.
    pub fn position(&mut self, len: usize) -> usize {
        self.below(len + 1)
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }
}

/// Ends the process, naming the case, when one takes too long: a thread that hangs cannot be
/// stopped, and a test that never ends says nothing.
pub struct Watchdog(Sender<String>);

impl Watchdog {
    pub fn new(limit: Duration) -> Watchdog {
        let (sender, cases) = mpsc::channel::<String>();
        thread::spawn(move || {
            let mut current = String::from("before the first case");
            loop {
                match cases.recv_timeout(limit) {
                    Ok(next) => current = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        // Past the test harness, which keeps what is printed to itself.
                        let told = writeln!(io::stderr(), "no end after {limit:?}: {current}");
                        drop(told);
                        std::process::exit(101);
                    }
                }
            }
        });
        Watchdog(sender)
    }

    /// The case that is about to begin.
    pub fn begin(&self, case: String) {
        self.0.send(case).unwrap();
    }
}
