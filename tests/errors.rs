//! Bad input: each a specific error that names the path and what to do; nothing is lost.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{directory, open};
use kvstore::{Durability, ErrorKind, MAX_LEN, Options, Store};

#[test]
fn a_missing_directory_is_not_created_unless_asked() {
    let place = directory();
    let missing = place.path().join("no/such");
    let error = Options::new().create(false).open(&missing).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOENT)));
    let message = error.to_string();
    assert!(message.contains(missing.to_str().unwrap()) && message.contains("create"), "{message}");
    let error = Options::new().read_only(true).open(&missing).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ENOENT));
    assert!(!place.path().join("no").exists());
    assert!(Store::open(&missing).unwrap().is_empty());
}

#[test]
fn a_file_where_a_directory_should_be() {
    let place = directory();
    let file = place.path().join("file");
    fs::write(&file, b"precious").unwrap();
    let error = Store::open(&file).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOTDIR)));
    assert!(error.to_string().contains(file.to_str().unwrap()));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert!(Store::open(file.join("below")).is_err());
}

/// Run by the test below as another user, since file modes do not hold root back.
#[test]
fn no_permission_as_the_user_nobody() {
    let Some(path) = std::env::var_os("KVSTORE_TEST_FORBIDDEN") else { return };
    let error = Store::open(&path).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::EACCES)));
    let message = error.to_string();
    assert!(message.contains(path.to_str().unwrap()) && message.contains("owner"), "{message}");
}

#[test]
fn no_permission() {
    use std::os::unix::process::CommandExt;
    let place = directory();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let forbidden = place.path().join("forbidden");
    Store::open(&forbidden).unwrap().close().unwrap();
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).unwrap();
    // The test program itself may lie where nobody else may go.
    let program = place.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["--exact", "no_permission_as_the_user_nobody"]);
    command.env("KVSTORE_TEST_FORBIDDEN", &forbidden).current_dir(place.path());
    // SAFETY: asks for a number.
    if unsafe { libc::getuid() } == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn keys_and_values_beyond_the_limits() {
    let place = directory();
    let store = Options::new().max_key_len(4).max_value_len(8).open(place.path()).unwrap();
    store.set("four", "eight ch").unwrap();
    let error = store.set("fives", "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("key") && error.to_string().contains("limit of 4"));
    let error = store.set("", "nine char").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("value"), "{error}");
    assert!(!store.delete("fives").unwrap(), "what was set under another limit can be deleted");
    assert!(store.get("a key that is too long is merely absent").unwrap().is_none());
    assert_eq!(store.len(), 1);
}

#[test]
fn a_limit_that_the_format_cannot_hold() {
    let place = directory();
    let options = Options::new().max_value_len(MAX_LEN + 1);
    let error = options.open(place.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_closed_store_says_so_whatever_is_asked() {
    let place = directory();
    let store = open(place.path());
    store.set("key", "value").unwrap();
    let clone = store.clone();
    store.close().unwrap();
    store.close().unwrap();
    assert!(clone.is_closed());
    let path = place.path().to_str().unwrap();
    let errors = [
        clone.get("key").map(drop).unwrap_err(),
        clone.get_pinned("key").map(drop).unwrap_err(),
        clone.get_many(&["key"]).map(drop).unwrap_err(),
        clone.get_many_with(&["key"], |_, _| ()).unwrap_err(),
        clone.contains("key").map(drop).unwrap_err(),
        clone.set("key", "value").unwrap_err(),
        clone.delete("key").map(drop).unwrap_err(),
        clone.scan(..).next().unwrap().map(drop).unwrap_err(),
        clone.keys().next().unwrap().map(drop).unwrap_err(),
        clone.cursor(.., kvstore::Direction::Ascending).map(drop).unwrap_err(),
        clone.sync().unwrap_err(),
        clone.check().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains(path), "{error}");
    }
    assert_eq!((clone.len(), clone.stats()), (0, kvstore::Stats::default()));
}

#[test]
fn what_was_obtained_before_the_close_stays_valid() {
    let place = directory();
    let store = open(place.path());
    store.set("a", "1").unwrap();
    store.set("b", "2").unwrap();
    let value = store.get("a").unwrap().unwrap();
    let pinned = store.get_pinned("b").unwrap().unwrap();
    let mut scan = store.scan(..);
    let mut cursor = store.cursor(.., kvstore::Direction::Ascending).unwrap();
    store.close().unwrap();
    assert_eq!((&*value, &*pinned), (b"1".as_slice(), b"2".as_slice()));
    assert_eq!(&*scan.next().unwrap().unwrap().0, b"a");
    assert_eq!(cursor.next_pair().unwrap().1, b"1");
    drop(value);
    assert_eq!(std::thread::spawn(move || pinned.to_vec()).join().unwrap(), b"2");
}

#[test]
fn a_read_only_store_refuses_writes() {
    let place = directory();
    let store = open(place.path());
    store.set("key", "value").unwrap();
    store.close().unwrap();
    let store = Options::new().read_only(true).open(place.path()).unwrap();
    for error in [store.set("key", "x").unwrap_err(), store.delete("key").map(drop).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
        assert!(error.to_string().contains(place.path().to_str().unwrap()));
    }
    store.sync().unwrap();
    assert!(store.contains("key").unwrap());
}

#[test]
fn a_second_open_is_told_who_holds_the_directory() {
    let place = directory();
    let store = open(place.path());
    for options in [Options::new(), Options::new().read_only(true)] {
        let error = options.open(place.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert_eq!(error.lock_holder(), Some(std::process::id()));
        let message = error.to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
    }
    store.close().unwrap();
    let readers: Vec<Store> =
        (0..2).map(|_| Options::new().read_only(true).open(place.path()).unwrap()).collect();
    assert_eq!(Store::open(place.path()).unwrap_err().kind(), ErrorKind::Locked);
    drop(readers);
    open(place.path());
}

#[test]
fn waiting_for_the_lock_ends_with_the_lock_or_the_timeout() {
    use std::time::{Duration, Instant};
    let place = directory();
    let store = open(place.path());
    let patient = Options::new().lock_timeout(Duration::from_millis(60));
    let start = Instant::now();
    assert_eq!(patient.open(place.path()).unwrap_err().kind(), ErrorKind::Locked);
    assert!(start.elapsed() >= Duration::from_millis(60));
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        store.close()
    });
    Options::new().lock_timeout(Duration::MAX).open(place.path()).unwrap();
    closer.join().unwrap().unwrap();
}

#[test]
fn empty_keys_and_values_are_keys_and_values() {
    let place = directory();
    let store = Options::new().durability(Durability::Os).open(place.path()).unwrap();
    store.set("", "").unwrap();
    assert_eq!(store.get("").unwrap().as_deref(), Some(b"".as_slice()));
    assert_eq!(store.get_pinned("").unwrap().as_deref(), Some(b"".as_slice()));
    assert!(store.delete("").unwrap());
    assert!(store.get("").unwrap().is_none());
}
