//! Many short random histories of real threads on a real store, each checked to be one that could
//! have happened one operation at a time.
//!
//! Reads and writes by key are checked for each key alone, which is as good as checking them all
//! at once (Herlihy and Wing's locality): that is what the store promises of them. `get_many`
//! promises no more than as many gets at some instants of the call. A scan promises all keys as of
//! one instant, and a batch writes them at one, so histories with those are checked whole.

mod checker;
#[path = "../common/mod.rs"]
mod common;
mod known;
mod map;

use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use checker::linearize;
use common::{contents, directory};
use kvstore::{Batch, Durability, Store};
use map::{Answer, Call, Contents, Event, KEYS, Map};

/// How long histories of one kind are recorded and checked.
const TIME: Duration = Duration::from_secs(3);

/// A slow disk takes longer for as many.
const FEWEST: u64 = 20;

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// `KVSTORE_TEST_SEED`, or one from the clock. The same seed makes the same calls; their timing
/// is the machine's.
fn seed() -> u64 {
    let given = std::env::var("KVSTORE_TEST_SEED").ok();
    given.map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        |seed| seed.parse().expect("KVSTORE_TEST_SEED is a number"),
    )
}

/// What the histories of a test are made of.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    durabilities: &'static [Durability],
    /// Where nothing waits for the disk, as many as a small machine runs at once.
    threads: usize,
    /// Calls of each thread.
    calls: usize,
    scans: bool,
}

/// One thread's part in one history.
struct Recorder<'a> {
    store: &'a Store,
    /// Every call and return takes a number. That the numbers are taken in an order says that
    /// what came before one happened before what came after a later one.
    clock: &'a AtomicU64,
    kind: Kind,
    random: Random,
    thread: usize,
    /// What the keys of this history begin with.
    history: u64,
    /// What the keys had when this thread last looked.
    known: Contents,
    /// How many compare-and-sets found what they expected, and how many did not.
    matched: &'a AtomicU64,
    differed: &'a AtomicU64,
    events: Vec<Event>,
}

impl Recorder<'_> {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn record(&mut self) {
        for number in 0..self.kind.calls {
            let durabilities = self.kind.durabilities;
            let durability = durabilities[self.random.below(durabilities.len())];
            let key = self.random.below(KEYS);
            let value = (self.thread * self.kind.calls + number) as u32;
            match self.random.below(if self.kind.scans { 14 } else { 11 }) {
                0..3 => self.write(Call::Set(key, value), durability),
                3 => self.write(Call::Delete(key), durability),
                4 => self.write(Call::Increment(key, 1_000), durability),
                5 | 6 => {
                    let new = (self.random.below(4) > 0).then_some(value);
                    self.write(Call::CompareAndSet(key, self.known[key], new), durability);
                }
                7 | 8 => self.get(key),
                9 | 10 => self.get_many(),
                11 => self.write(Call::Batch(value), durability),
                _ => self.scan(),
            }
        }
    }

    fn event(&mut self, invoked: u64, returned: u64, call: Call, answer: Answer) {
        self.events.push(Event { thread: self.thread, invoked, returned, call, answer });
    }

    fn write(&mut self, call: Call, durability: Durability) {
        let name = call.key().map_or_else(String::new, |key| name(self.history, key));
        let store = self.store;
        let mut batch = Batch::new();
        if let Call::Batch(value) = call {
            for key in 0..KEYS {
                batch.set(self::name(self.history, key), bytes(value));
            }
        }
        let invoked = self.now();
        let answer = match call {
            Call::Set(_, value) => {
                store.set_with(&name, bytes(value), durability).unwrap();
                Answer::Done
            }
            Call::CompareAndSet(_, expected, new) => {
                let (expected, new) = (expected.map(bytes), new.map(bytes));
                let (expected, new) = (expected.as_ref(), new.as_ref());
                let matched = store.compare_and_set_with(
                    &name,
                    expected.map(<[u8; 8]>::as_slice),
                    new.map(<[u8; 8]>::as_slice),
                    durability,
                );
                Answer::Matched(matched.unwrap())
            }
            Call::Increment(_, delta) => {
                let sum = store.increment_with(&name, delta.into(), durability).unwrap();
                Answer::Sum(sum as u32)
            }
            Call::Batch(_) => {
                store.write_with(&batch, durability).unwrap();
                Answer::Done
            }
            _ => Answer::Existed(store.delete_with(&name, durability).unwrap()),
        };
        let returned = self.now();
        if let Answer::Matched(matched) = answer {
            self.matched.fetch_add(u64::from(matched), Ordering::Relaxed);
            self.differed.fetch_add(u64::from(!matched), Ordering::Relaxed);
        }
        self.event(invoked, returned, call, answer);
    }

    fn get(&mut self, key: usize) {
        let name = name(self.history, key);
        let invoked = self.now();
        let found = self.store.get_with(&name, number).unwrap();
        let returned = self.now();
        self.known[key] = found;
        self.event(invoked, returned, Call::Get(key), Answer::Value(found));
    }

    /// All keys: a get of each, at some instant of the call.
    fn get_many(&mut self) {
        let names: Vec<_> = (0..KEYS).map(|key| name(self.history, key)).collect();
        let mut found = [None; KEYS];
        let invoked = self.now();
        let visit = |key, value: Option<&[u8]>| found[key] = value.map(number);
        self.store.get_many_with(&names, visit).unwrap();
        let returned = self.now();
        self.known = found;
        for (key, found) in found.into_iter().enumerate() {
            self.event(invoked, returned, Call::Get(key), Answer::Value(found));
        }
    }

    fn scan(&mut self) {
        let prefix = format!("{}:", self.history);
        let mut contents = [None; KEYS];
        let invoked = self.now();
        let scan = self.store.scan_prefix(&prefix);
        for item in scan {
            let (key, value) = item.unwrap();
            let key: usize = str::from_utf8(&key[prefix.len()..]).unwrap().parse().unwrap();
            contents[key] = Some(number(&value));
        }
        let returned = self.now();
        self.event(invoked, returned, Call::Scan, Answer::Contents(contents));
    }
}

fn name(history: u64, key: usize) -> String {
    format!("{history}:{key}")
}

fn bytes(number: u32) -> [u8; 8] {
    i64::from(number).to_be_bytes()
}

fn number(value: &[u8]) -> u32 {
    i64::from_be_bytes(value.try_into().unwrap()).try_into().unwrap()
}

/// What was seen of the histories of one kind.
#[derive(Default)]
struct Seen {
    histories: u64,
    operations: u64,
    /// Operations that overlapped a write of another thread to the same key.
    contended: u64,
}

impl Seen {
    /// Fails unless `history` could have happened one operation at a time.
    fn check(&mut self, kind: Kind, history: &[Event]) {
        self.histories += 1;
        self.operations += history.len() as u64;
        self.contended +=
            history.iter().filter(|event| is_contended(event, history)).count() as u64;
        if kind.scans {
            assert_linearizable(history);
        } else {
            for key in 0..KEYS {
                let of_key = history.iter().filter(|event| event.call.key() == Some(key));
                assert_linearizable(&of_key.cloned().collect::<Vec<_>>());
            }
        }
    }
}

fn is_contended(event: &Event, history: &[Event]) -> bool {
    history.iter().any(|other| {
        let (key, other_key) = (event.call.key(), other.call.key());
        let same = key.is_none() || other_key.is_none() || key == other_key;
        let overlap = event.invoked < other.returned && other.invoked < event.returned;
        other.call.writes() && same && overlap && other.thread != event.thread
    })
}

fn assert_linearizable(history: &[Event]) {
    if linearize(&Map::default(), history).is_none() {
        let mut sorted = history.to_vec();
        sorted.sort_by_key(|event| event.invoked);
        let lines: Vec<_> = sorted.iter().map(|event| format!("  {event:?}")).collect();
        panic!("not linearizable:\n{}", lines.join("\n"));
    }
}

/// Records and checks histories of `kind` until the time is up.
fn check_histories(kind: Kind) {
    // One kind at a time: threads that wait for a processor do not meet.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let seed = seed();
    println!("{}: KVSTORE_TEST_SEED={seed}", kind.name);
    let place = directory();
    let store = Store::open(place.path()).unwrap();
    let clock = AtomicU64::new(0);
    let (barrier, started) = (Barrier::new(kind.threads), AtomicU64::new(0));
    let recorded = Mutex::new(Vec::new());
    let (matched, differed) = (AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    let seen = Mutex::new(Seen::default());
    // A thread that panicked would leave the others at the barrier.
    let failure = Mutex::new(None);
    let note_panic = |work: &mut dyn FnMut()| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            failure.lock().unwrap().get_or_insert(panic);
        }
    };
    let run = |thread: usize| {
        for history in 0.. {
            // One thread decides for all whether to go on.
            let contended = || seen.lock().unwrap().contended > 0;
            let enough = begin.elapsed() > TIME && history >= FEWEST && contended();
            if thread == 0 && (enough || failure.lock().unwrap().is_some()) {
                clock.store(u64::MAX, Ordering::SeqCst);
            }
            barrier.wait();
            if clock.load(Ordering::SeqCst) == u64::MAX {
                return;
            }
            // Once all have looked at the clock that they will advance; and awake, since waking up
            // takes longer than a history.
            started.fetch_add(1, Ordering::SeqCst);
            let mut spins = 0;
            while started.load(Ordering::SeqCst) < (history + 1) * kind.threads as u64 {
                spins += 1;
                if spins % 1_000 == 0 { thread::yield_now() } else { hint::spin_loop() }
            }
            let random = Random(seed ^ (history * kind.threads as u64 + thread as u64) << 20);
            let (store, clock) = (&store, &clock);
            let mut recorder = Recorder {
                store,
                clock,
                kind,
                random,
                thread,
                history,
                known: [None; KEYS],
                matched: &matched,
                differed: &differed,
                events: Vec::new(),
            };
            note_panic(&mut || recorder.record());
            recorded.lock().unwrap().append(&mut recorder.events);
            if barrier.wait().is_leader() {
                let history = std::mem::take(&mut *recorded.lock().unwrap());
                note_panic(&mut || seen.lock().unwrap().check(kind, &history));
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..kind.threads {
            let run = &run;
            scope.spawn(move || run(thread));
        }
    });
    if let Some(panic) = failure.into_inner().unwrap() {
        resume_unwind(panic);
    }
    let Seen { histories, operations, contended } = seen.into_inner().unwrap();
    println!(
        "{}: {histories} histories, {operations} operations, {contended} contended",
        kind.name
    );
    let (matched, differed) = (matched.into_inner(), differed.into_inner());
    println!("{}: {matched} compare-and-sets matched, {differed} did not", kind.name);
    assert!(matched > 0 && differed > 0, "too little was compared");
    // The log says that it happened in the order that everybody saw.
    let before = contents(&store);
    drop(store);
    assert!(contents(&Store::open(place.path()).unwrap()) == before, "the log tells another story");
    assert!(histories >= FEWEST && contended > 0, "too little happened to show anything");
}

#[test]
fn writes_that_are_not_synced() {
    let durabilities = &[Durability::Os];
    check_histories(Kind { name: "os", durabilities, threads: 2, calls: 60, scans: false });
}

#[test]
fn synced_writes() {
    let durabilities = &[Durability::Sync];
    check_histories(Kind { name: "sync", durabilities, threads: 4, calls: 8, scans: false });
}

#[test]
fn both_durabilities_in_one_history() {
    let durabilities = &[Durability::Os, Durability::Sync];
    check_histories(Kind { name: "both", durabilities, threads: 4, calls: 8, scans: false });
}

#[test]
fn scans_beside_writes() {
    let durabilities = &[Durability::Os, Durability::Sync];
    check_histories(Kind { name: "scans", durabilities, threads: 4, calls: 5, scans: true });
}
