//! Writes of a transaction that depend on what it has written before.

mod common;

use common::{Model, contents, directory, open_os};
use kvstore::{ErrorKind, Options, Transaction};

#[test]
fn conditions_and_sums_are_of_what_it_has_written() {
    let place = directory();
    let store = Options::new().max_key_len(4).max_value_len(8).open(place.path()).unwrap();
    store.set("a", "1").unwrap();
    store.set("n", 5_i64.to_be_bytes()).unwrap();
    let mut transaction = store.transaction().unwrap();
    assert!(!transaction.compare_and_set("a", None, Some(b"2")).unwrap());
    assert!(transaction.compare_and_set("a", Some(b"1"), Some(b"2")).unwrap());
    assert!(!transaction.compare_and_set("a", Some(b"1"), None).unwrap());
    assert!(transaction.compare_and_set("a", Some(b"2"), None).unwrap());
    assert!(transaction.compare_and_set("a", None, None).unwrap());
    assert!(transaction.compare_and_set("b", None, Some(b"3")).unwrap());
    assert_eq!(transaction.increment("n", -7).unwrap(), -2);
    assert_eq!(transaction.increment("n", 0).unwrap(), -2);
    assert_eq!(transaction.increment("new", i64::MAX).unwrap(), i64::MAX);
    assert_eq!(transaction.len(), 3);
    for (key, kind) in [
        ("new", ErrorKind::InvalidArgument),
        ("b", ErrorKind::InvalidArgument),
        ("too long", ErrorKind::TooLarge),
    ] {
        assert_eq!(transaction.increment(key, 1).unwrap_err().kind(), kind);
    }
    let long = transaction.compare_and_set("a", None, Some(b"too long a value"));
    assert_eq!(long.unwrap_err().kind(), ErrorKind::TooLarge);
    transaction.commit().unwrap();
    let number = |number: i64| number.to_be_bytes().to_vec();
    let expected: Model = [("b", b"3".to_vec()), ("n", number(-2)), ("new", number(i64::MAX))]
        .map(|(key, value)| (key.into(), value))
        .into();
    assert_eq!(contents(&store), expected);
}

#[test]
fn what_is_popped_first_is_the_first_that_is_there() {
    let place = directory();
    let store = open_os(place.path());
    for key in ["b", "d", "f"] {
        store.set(key, "stored").unwrap();
    }
    let mut transaction = store.transaction().unwrap();
    let first = |transaction: &mut Transaction| {
        let first = transaction.pop_first().unwrap();
        first.map(|(key, _)| String::from_utf8(key).unwrap())
    };
    assert_eq!(first(&mut transaction).as_deref(), Some("b"));
    transaction.set("e", "after what was popped");
    assert_eq!(first(&mut transaction).as_deref(), Some("d"));
    transaction.set("a", "before it");
    transaction.set("d", "the same");
    for expected in ["a", "d", "e", "f"] {
        assert_eq!(first(&mut transaction).as_deref(), Some(expected));
    }
    assert_eq!(first(&mut transaction), None);
    transaction.set("", "the very first");
    assert_eq!(first(&mut transaction).as_deref(), Some(""));
    transaction.commit().unwrap();
    assert!(store.is_empty());
}
