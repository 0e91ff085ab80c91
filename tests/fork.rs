//! A forked child cannot use its parent's store, nor harm it.

#![allow(unsafe_code, reason = "forking is what is tested")]

mod common;

use common::{contents, directory, open};
use kvstore::ErrorKind;

/// Runs `child` in a forked process and returns its exit code.
fn in_child(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs on, with one thread, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: a system call; a child that hangs is killed, which the parent notices.
            unsafe { libc::alarm(20) };
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: ends the child without running the parent's handlers.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "fork");
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child was killed: {status}");
            libc::WEXITSTATUS(status)
        }
    }
}

#[test]
fn every_call_in_a_forked_child_is_refused_and_the_parent_goes_on() {
    let place = directory();
    let store = open(place.path());
    store.set("key", "value").unwrap();
    let value = store.get("key").unwrap();
    let code = in_child(|| {
        let kinds = [
            store.get("key").map(drop).unwrap_err().kind(),
            store.set("key", "from the child").unwrap_err().kind(),
            store.delete("key").map(drop).unwrap_err().kind(),
            store.scan(..).next().unwrap().map(drop).unwrap_err().kind(),
            store.sync().unwrap_err().kind(),
            store.view().map(drop).unwrap_err().kind(),
            store.backup(place.path().join("backup")).unwrap_err().kind(),
            store.close().unwrap_err().kind(),
        ];
        let refused = kinds.iter().all(|kind| *kind == ErrorKind::Forked);
        let clone = store.clone();
        drop((clone, value));
        // Still locked by the parent, also for the child.
        let locked = kvstore::Store::open(place.path()).unwrap_err();
        i32::from(!(refused && locked.kind() == ErrorKind::Locked))
    });
    assert_eq!(code, 0);
    store.set("key", "from the parent").unwrap();
    assert_eq!(contents(&store).len(), 1);
    assert_eq!(kvstore::Store::open(place.path()).unwrap_err().kind(), ErrorKind::Locked);
    store.close().unwrap();
    open(place.path());
}

#[test]
fn a_child_can_use_stores_of_its_own() {
    let (parents, childs) = (directory(), directory());
    let store = open(parents.path());
    store.set("key", "value").unwrap();
    let code = in_child(|| {
        let own = open(childs.path());
        for number in 0..1_000 {
            own.set_with(format!("{number}"), "value", kvstore::Durability::Os).unwrap();
        }
        own.close().unwrap();
        drop(store);
        0
    });
    assert_eq!(code, 0);
    assert_eq!(contents(&open(childs.path())).len(), 1_000);
}

#[test]
fn children_forked_amid_writes_can_close_what_they_inherited() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let place = directory();
    let store = open(place.path());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    store.set(format!("key {writer} {number}"), [7; 300]).unwrap();
                }
            });
        }
        // Many, since a child is harmed only if the fork meets another thread amid a change.
        for _ in 0..3_000 {
            let code = in_child(|| {
                let clone = store.clone();
                let refused = clone.close().unwrap_err().kind() == ErrorKind::Forked;
                // Drops every reference that the child has, as closing a handle in C does.
                // SAFETY: the child ends before anybody uses `store` again.
                drop(unsafe { std::ptr::read(&raw const store) });
                drop(clone);
                i32::from(!refused)
            });
            assert_eq!(code, 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
    contents(&store);
}

/// Its copy of the descriptor would keep the lock: nobody has unlocked.
#[test]
fn a_child_that_outlives_its_killed_parent_does_not_keep_the_lock() {
    let place = directory();
    let mut pipe = [0; 2];
    // SAFETY: the array has room for both ends.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: both processes end by `_exit` or a signal.
    let parent = unsafe { libc::fork() };
    if parent == 0 {
        let store = open(place.path());
        store.set("key", "value").unwrap();
        // SAFETY: as above; the child only waits, and is ended by the alarm.
        unsafe {
            if libc::fork() == 0 {
                libc::alarm(5);
                libc::write(pipe[1], b"x".as_ptr().cast(), 1);
                loop {
                    libc::pause();
                }
            }
            loop {
                libc::pause();
            }
        }
    }
    let mut byte = 0_u8;
    // SAFETY: reads the one byte that the child's child writes; then ends the child that was made.
    unsafe {
        assert_eq!(libc::read(pipe[0], (&raw mut byte).cast(), 1), 1);
        libc::kill(parent, libc::SIGKILL);
        let mut status = 0;
        assert_eq!(libc::waitpid(parent, &raw mut status, 0), parent);
    }
    assert_eq!(contents(&open(place.path())).len(), 1);
}
