//! Eight processes that race to open one directory, again and again: one wins, the others are told
//! who it is, and when the winner is killed the next one gets it.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use common::{directory, open};
use kvstore::{Durability, ErrorKind, Options};

const RACERS: usize = 8;
const ROUNDS: usize = 200;

/// Every so many rounds the winner is asked to close; in the others it is killed.
const CLOSE_EVERY: usize = 4;

/// Run by the test below in a process of its own: opens and closes as it is told by lines on
/// standard input, and answers each with a line.
#[test]
fn a_racer_as_a_process() {
    let Some(place) = std::env::var_os("KVSTORE_TEST_RACE") else { return };
    let options = Options::new().durability(Durability::Os);
    let mut store = None;
    for order in std::io::stdin().lock().lines() {
        let answer = match order.unwrap().as_str() {
            "open" => match options.open(Path::new(&place)) {
                Ok(opened) => {
                    let count = opened.len();
                    opened.set(format!("win {count}"), std::process::id().to_string()).unwrap();
                    store = Some(opened);
                    "won".to_owned()
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                    format!("lost to {}", error.lock_holder().unwrap_or_default())
                }
            },
            "close" => {
                store.take().unwrap().close().unwrap();
                "closed".to_owned()
            }
            other => panic!("no order {other}"),
        };
        // Past the harness, which prints to standard output too.
        std::io::stderr().write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
}

struct Racer {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStderr>,
}

impl Racer {
    fn start(place: &Path) -> Racer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_racer_as_a_process", "--nocapture", "--test-threads=1"])
            .env("KVSTORE_TEST_RACE", place)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stderr.take().unwrap());
        Racer { process, orders, answers }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        // It may have ended by itself, if the test has failed.
        let _killed = self.process.kill().is_ok();
        let _ended = self.process.wait().is_ok();
    }
}

#[test]
fn of_eight_processes_that_open_at_once_one_wins_each_time() {
    let place = directory();
    let mut racers: Vec<Racer> = (0..RACERS).map(|_| Racer::start(place.path())).collect();
    let mut kills = 0;
    for round in 0..ROUNDS {
        for racer in &mut racers {
            racer.order("open");
        }
        let answers: Vec<String> = racers.iter_mut().map(Racer::answer).collect();
        let winners: Vec<usize> = (0..RACERS).filter(|&racer| answers[racer] == "won").collect();
        let [winner] = winners[..] else { panic!("round {round}: {answers:?}") };
        let holder = racers[winner].id();
        let lost_to = format!("lost to {holder}");
        let losers = (0..RACERS).filter(|&racer| racer != winner);
        for loser in losers {
            assert_eq!(answers[loser], lost_to, "round {round}");
        }
        if round % CLOSE_EVERY == 0 {
            racers[winner].order("close");
            assert_eq!(racers[winner].answer(), "closed", "round {round}");
        } else {
            racers[winner] = {
                racers[winner].process.kill().unwrap();
                racers[winner].process.wait().unwrap();
                Racer::start(place.path())
            };
            kills += 1;
        }
    }
    drop(racers);
    let store = open(place.path());
    assert_eq!(store.len(), ROUNDS, "each winner wrote once, and saw what all before it wrote");
    let line = format!(
        "{ROUNDS} races of {RACERS} processes: one winner each time, whom every loser was told, \
         {kills} of them killed\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A lock file looks like one that a killed process has left. Who removed it let another writer in, and
/// what was acknowledged to one of the two was lost.
#[test]
fn a_lock_file_that_is_removed_lets_nobody_in() {
    let place = directory();
    let remove = || std::fs::remove_file(place.path().join("LOCK")).unwrap();
    let kind = |options: Options| options.open(place.path()).map(drop).map_err(|e| e.kind());
    let (write, read) = (Options::new, || Options::new().read_only(true));
    let store = open(place.path());
    store.set("key", "value").unwrap();
    remove();
    for _ in 0..2 {
        assert_eq!(kind(read()), Err(ErrorKind::Locked));
        // Makes the file anew.
        assert_eq!(kind(write()), Err(ErrorKind::Locked));
    }
    store.close().unwrap();

    let readers = [read(), read()].map(|options| options.open(place.path()).unwrap());
    remove();
    assert_eq!(kind(read()), Ok(()));
    assert_eq!(kind(write()), Err(ErrorKind::Locked));
    drop(readers);
    let waits = Options::new().lock_timeout(std::time::Duration::from_secs(10));
    assert_eq!(waits.open(place.path()).unwrap().len(), 1);
}
