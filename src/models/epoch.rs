//! Nothing is freed under a reader, everything is freed once the last one has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread;

use super::{World, explore};
use crate::io::{Epoch, Retirable, SpinLock};
use crate::sync::Lifetime;

/// Notices a use that its end is not ordered after, and counts ends.
struct Canary {
    lifetime: Lifetime,
    content: usize,
    ends: Arc<AtomicUsize>,
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.lifetime.ended();
        self.ends.fetch_add(1, Ordering::Relaxed);
    }
}

struct Cage {
    place: Retirable<Canary>,
    /// Not the model's business: a plain count of what happened.
    ends: Arc<AtomicUsize>,
}

impl Cage {
    fn new() -> Arc<Cage> {
        let cage = Cage { place: Retirable::vacant(), ends: Arc::default() };
        cage.put(1);
        Arc::new(cage)
    }

    fn put(&self, content: usize) {
        let (lifetime, ends) = (Lifetime::new(), self.ends.clone());
        self.place.replace(Box::new(Canary { lifetime, content, ends }));
    }

    /// Looks twice at what is there, and returns its content; 0 when it is vacant.
    fn look(&self) -> usize {
        let guard = Epoch.enter();
        let Some(canary) = self.place.load(&guard) else { return 0 };
        canary.lifetime.used();
        let content = canary.content;
        canary.lifetime.used();
        content
    }
}

#[test]
fn a_reader_beside_replacements() {
    explore("a reader beside replacements", World::Fences, 4, || {
        let cage = Cage::new();
        let reader = {
            let cage = cage.clone();
            thread::spawn(move || {
                let first = cage.look();
                let second = cage.look();
                assert!(first != 0 && first <= second, "no reader goes back: {first}, {second}");
            })
        };
        cage.put(2);
        cage.put(3);
        reader.join().unwrap();
        assert_eq!(cage.ends.load(Ordering::Relaxed), 2, "whoever was last freed it");
    });
}

#[test]
fn two_readers_beside_a_retirement() {
    explore("two readers beside a retirement", World::Fences, 3, || {
        let cage = Cage::new();
        let readers = [(); 2].map(|()| {
            let cage = cage.clone();
            thread::spawn(move || assert!(cage.look() <= 1))
        });
        cage.place.retire();
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(cage.ends.load(Ordering::Relaxed), 1, "whoever was last freed it");
    });
}

#[test]
fn nested_guards_keep_what_the_outer_one_may_see() {
    explore("nested guards", World::Fences, 4, || {
        let cage = Cage::new();
        let reader = {
            let cage = cage.clone();
            thread::spawn(move || {
                let outer = Epoch.enter();
                let seen = cage.place.load(&outer);
                cage.look();
                if let Some(canary) = seen {
                    canary.lifetime.used();
                }
            })
        };
        cage.place.retire();
        reader.join().unwrap();
        assert_eq!(cage.ends.load(Ordering::Relaxed), 1, "whoever was last freed it");
    });
}

#[test]
fn two_threads_retire_at_once() {
    explore("two threads retire at once", World::Fences, 3, || {
        let cage = Cage::new();
        let others = [(); 2].map(|()| {
            let cage = cage.clone();
            thread::spawn(move || {
                cage.look();
                cage.put(2);
            })
        });
        cage.look();
        for other in others {
            other.join().unwrap();
        }
        cage.place.retire();
        assert_eq!(cage.ends.load(Ordering::Relaxed), 3, "each is freed once");
    });
}

#[test]
fn a_slot_passes_from_a_thread_that_ends_to_one_that_begins() {
    explore("a slot changes hands", World::Fences, 3, || {
        let cage = Cage::new();
        let first = {
            let cage = cage.clone();
            thread::spawn(move || {
                cage.look();
            })
        };
        let second = {
            let cage = cage.clone();
            thread::spawn(move || {
                first.join().unwrap();
                cage.look();
            })
        };
        cage.put(2);
        second.join().unwrap();
        assert_eq!(cage.ends.load(Ordering::Relaxed), 1, "whoever was last freed it");
    });
}

#[test]
fn the_spin_lock_lets_one_in_at_a_time() {
    explore("spin lock", World::Fences, 3, || {
        let lock = Arc::new(SpinLock::new(0));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.with(|count| *count += 1))
        };
        lock.with(|count| *count += 1);
        other.join().unwrap();
        lock.with(|count| assert_eq!(*count, 2));
    });
}
