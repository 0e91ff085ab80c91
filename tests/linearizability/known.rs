//! The checker against histories of which it is known whether they are linearizable.

use crate::checker::{MOST, linearize};
use crate::map::{Answer, Call, Event, Map};

use Answer::{Contents, Done, Existed, Value};
use Call::{Delete, Get, Scan, Set};

/// Operations with the instants of their call and return.
fn is_linearizable(history: &[(u64, u64, Call, Answer)]) -> bool {
    let event = |(thread, &(invoked, returned, call, answer))| Event {
        thread,
        invoked,
        returned,
        call,
        answer,
    };
    let history: Vec<Event> = history.iter().enumerate().map(event).collect();
    let order = linearize(&Map::default(), &history);
    if let Some(order) = &order {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..history.len()), "each is in the order once");
    }
    order.is_some()
}

#[test]
fn one_after_the_other() {
    let right = [
        (1, 2, Get(0), Value(None)),
        (3, 4, Set(0, 7), Done),
        (5, 6, Get(0), Value(Some(7))),
        (7, 8, Delete(0), Existed(true)),
        (9, 10, Delete(0), Existed(false)),
        (11, 12, Get(0), Value(None)),
    ];
    assert!(is_linearizable(&right));
    for wrong in 0..right.len() {
        let mut history = right;
        history[wrong].3 = match history[wrong].3 {
            Value(None) => Value(Some(7)),
            Value(Some(_)) => Value(None),
            Existed(existed) => Existed(!existed),
            _ => continue,
        };
        assert!(!is_linearizable(&history), "{:?}", history[wrong]);
    }
}

#[test]
fn a_read_during_a_write_sees_the_old_value_or_the_new() {
    let write = [(1, 2, Set(0, 1), Done), (3, 10, Set(0, 2), Done)];
    let with = |reads: &[(u64, u64, Call, Answer)]| is_linearizable(&[&write, reads].concat());
    assert!(with(&[(4, 5, Get(0), Value(Some(1)))]));
    assert!(with(&[(4, 5, Get(0), Value(Some(2)))]));
    assert!(with(&[(4, 5, Get(0), Value(Some(1))), (6, 7, Get(0), Value(Some(2)))]));
    // Back in time: by one reader, and from one reader to another.
    assert!(!with(&[(4, 5, Get(0), Value(Some(2))), (6, 7, Get(0), Value(Some(1)))]));
    assert!(with(&[(4, 6, Get(0), Value(Some(2))), (5, 7, Get(0), Value(Some(1)))]));
    // Before it was written, after it was overwritten, never written.
    assert!(!with(&[(1, 2, Get(0), Value(Some(2)))]));
    assert!(!with(&[(11, 12, Get(0), Value(Some(1)))]));
    assert!(!with(&[(4, 5, Get(0), Value(Some(3)))]));
}

#[test]
fn of_two_deletes_one_finds_the_key() {
    let set = (1, 2, Set(0, 1), Done);
    for (first, second, right) in
        [(true, false, true), (false, true, true), (true, true, false), (false, false, false)]
    {
        let deletes = [(3, 6, Delete(0), Existed(first)), (4, 5, Delete(0), Existed(second))];
        assert_eq!(is_linearizable(&[set, deletes[0], deletes[1]]), right, "{first} {second}");
    }
}

#[test]
fn a_lost_write_is_noticed() {
    let both = [(1, 4, Set(0, 1), Done), (2, 3, Set(0, 2), Done)];
    assert!(!is_linearizable(&[both[0], both[1], (5, 6, Get(0), Value(None))]));
    // Two readers that disagree about which of two writes came last.
    let readers = [(5, 6, Get(0), Value(Some(1))), (7, 8, Get(0), Value(Some(2)))];
    assert!(!is_linearizable(&[both[0], both[1], readers[0], readers[1]]));
}

#[test]
fn a_scan_is_of_one_instant() {
    let writes = [(1, 2, Set(0, 1), Done), (3, 4, Set(1, 1), Done), (5, 6, Set(0, 2), Done)];
    let with = |contents| {
        is_linearizable(&[writes[0], writes[1], writes[2], (1, 6, Scan, Contents(contents))])
    };
    assert!(with([Some(1), None, None]));
    assert!(with([Some(1), Some(1), None]));
    assert!(with([Some(2), Some(1), None]));
    assert!(!with([None, Some(1), None]), "the second write without the first");
    assert!(!with([Some(2), None, None]), "the third write without the second");
}

#[test]
fn what_is_right_of_each_key_can_be_wrong_of_all() {
    // Each key for itself could have been read before it was written.
    let history = [
        (1, 10, Set(0, 1), Done),
        (1, 10, Set(1, 1), Done),
        (2, 3, Scan, Contents([Some(1), None, None])),
        (4, 5, Scan, Contents([None, Some(1), None])),
    ];
    assert!(!is_linearizable(&history));
}

#[test]
fn a_long_history_is_checked_in_no_time() {
    // Groups of four overlapping writes, each followed by a read of the third.
    let mut history = Vec::new();
    while history.len() + 5 <= MOST {
        let at = history.len() as u64 * 10;
        for write in 0..4 {
            history.push((at + 1, at + 8, Set(0, (at + write) as u32), Done));
        }
        history.push((at + 9, at + 10, Get(0), Value(Some(at as u32 + 2))));
    }
    assert!(is_linearizable(&history));
    history.push((5_000, 5_001, Get(0), Value(Some(0))));
    assert!(!is_linearizable(&history));
}
