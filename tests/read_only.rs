//! A read-only open changes nothing: no content, no name, no time of any file or directory.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use common::disks::{on_a_disk, say, scenario};
use common::{Model, contents, directory, open, open_os, tree};
use kvstore::{ErrorKind, Options, Store};

fn read_only(path: &Path) -> Store {
    Options::new().read_only(true).open(path).unwrap()
}

/// Directories in every state that an open finds them in, by name.
fn make_all(place: &Path) -> Vec<&'static str> {
    let fill = |name: &str| {
        let store = open_os(&place.join(name));
        (0..500).for_each(|number| store.set(format!("key {number:03}"), "value").unwrap());
        store
    };
    let log = |name: &str| place.join(name).join("wal.log");
    fill("closed").close().unwrap();
    drop(fill("killed"));
    drop(fill("torn"));
    let bytes = fs::read(log("torn")).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    fs::write(log("torn"), &bytes[..used - 3]).unwrap();
    drop(fill("damaged"));
    let mut bytes = fs::read(log("damaged")).unwrap();
    bytes[used / 2] ^= 1;
    fs::write(log("damaged"), bytes).unwrap();
    fill("both").close().unwrap();
    open(&place.join("both")).set("later", "").unwrap();
    fill("covered").close().unwrap();
    let first = open(&place.join("covered"));
    first.set("key 001", "anew").unwrap();
    drop(first);
    let covered = fs::read(log("covered")).unwrap();
    open(&place.join("covered")).close().unwrap();
    fs::write(log("covered"), covered).unwrap();
    fill("interrupted").close().unwrap();
    fs::write(place.join("interrupted/snapshot.dat.tmp"), "half of one").unwrap();
    fill("without a log").close().unwrap();
    fs::remove_file(log("without a log")).unwrap();
    drop(fill("sealing"));
    // A process died amid sealing the log: one file under two names.
    fs::hard_link(log("sealing"), place.join("sealing/wal-1.log")).unwrap();
    drop(fill("sealed"));
    fs::rename(log("sealed"), place.join("sealed/wal-1.log")).unwrap();
    fs::write(place.join("sealed/wal.log.tmp"), "the next log").unwrap();
    vec![
        "closed",
        "killed",
        "torn",
        "damaged",
        "both",
        "covered",
        "interrupted",
        "without a log",
        "sealing",
        "sealed",
    ]
}

/// Opens, reads all there is in all ways, and closes.
fn use_it(path: &Path) -> Model {
    let store = read_only(path);
    let found = contents(&store);
    let keys: Vec<&Vec<u8>> = found.keys().collect();
    assert!(store.get_many(&keys).unwrap().iter().all(Option::is_some));
    assert_eq!(store.view().unwrap().len(), found.len());
    store.sync().unwrap();
    assert_eq!(store.set("key", "").unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.delete("key 001").unwrap_err().kind(), ErrorKind::ReadOnly);
    store.close().unwrap();
    // Once more, and dropped instead.
    drop(read_only(path));
    found
}

#[test]
fn nothing_is_changed_in_any_state_with_and_without_a_lock_file() {
    let place = directory();
    for name in make_all(place.path()) {
        let path = place.path().join(name);
        let mut found = Vec::new();
        for locked in [true, false] {
            if !locked {
                fs::remove_file(path.join("LOCK")).unwrap();
            }
            let before = tree(&path);
            found.push(use_it(&path));
            let copy = directory();
            read_only(&path).backup(copy.path().join("copy")).unwrap();
            assert!(tree(&path) == before, "{name}, locked: {locked}");
        }
        assert_eq!(found[0], found[1], "{name}");
        assert!(name == "damaged" || found[0].len() >= 499, "{name}");
    }
}

#[test]
fn a_directory_that_does_not_exist_is_not_made() {
    let place = directory();
    let path = place.path().join("nowhere");
    let error = Options::new().read_only(true).open(&path).unwrap_err();
    assert_eq!(error.os_error(), Some(libc::ENOENT));
    assert!(!path.exists());
}

/// A path that was typed wrong once looked like an empty store.
#[test]
fn a_directory_without_a_store_is_refused_and_left_alone() {
    let place = directory();
    fs::write(place.path().join("letter.txt"), "none of the store's").unwrap();
    let before = tree(place.path());
    let error = Options::new().read_only(true).open(place.path()).unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::Io, Some(libc::ENOENT)));
    assert!(error.to_string().contains("neither a snapshot nor a log"), "{error}");
    assert!(tree(place.path()) == before);
    // A writer makes one there, which a killed one leaves, too.
    drop(open(place.path()));
    assert!(read_only(place.path()).is_empty());
}

/// Nobody may write there but root, whom modes do not stop: it gives that up first.
#[test]
fn a_directory_that_may_only_be_read_opens_and_can_be_backed_up() {
    let place = directory();
    for name in make_all(place.path()) {
        let path = place.path().join(name);
        let _none = fs::remove_file(path.join("LOCK"));
        for entry in fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                fs::set_permissions(file, fs::Permissions::from_mode(0o444)).unwrap();
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = tree(place.path());
    let elsewhere = directory();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = elsewhere.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    #[allow(unsafe_code, reason = "the standard library does not offer the call")]
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534);
    }
    let output = command
        .args(["--exact", "a_scenario_as_a_process", "--nocapture"])
        .env("KVSTORE_TEST_SCENARIO", "not permitted")
        .env("KVSTORE_TEST_DISK", place.path())
        .env("TMPDIR", elsewhere.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("proved"), "{said}");
    assert!(tree(place.path()) == before);
    for entry in fs::read_dir(place.path()).unwrap() {
        // So that it can be removed.
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_file_system_that_is_mounted_read_only_will_do() {
    on_a_disk("read_only", "small_disk.sh", "64m", "mounted read-only");
}

/// Run by the tests above in a process of its own.
#[test]
fn a_scenario_as_a_process() {
    let Some((scenario, disk)) = scenario() else { return };
    match scenario.as_str() {
        "mounted read-only" => mounted_read_only(&disk),
        "not permitted" => not_permitted(&disk),
        other => panic!("no scenario {other}"),
    }
}

fn not_permitted(place: &Path) {
    assert!(fs::write(place.join("torn/file"), "").is_err(), "this user may write there");
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        let found = use_it(&path);
        let copy = directory();
        read_only(&path).backup(copy.path().join("copy")).unwrap();
        assert_eq!(contents(&open(&copy.path().join("copy"))), found);
    }
    say("proved: a directory that may only be read opens, and can be backed up");
}

fn mounted_read_only(disk: &Path) {
    let all = make_all(disk);
    for name in &all {
        let _none = fs::remove_file(disk.join(name).join("LOCK"));
    }
    let before = tree(disk);
    let mounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk).output().unwrap();
    if !mounted.status.success() {
        let why = String::from_utf8_lossy(&mounted.stderr);
        say(&format!("SKIPPED: not proved: nothing can be mounted read-only here: {}", why.trim()));
        return;
    }
    assert!(fs::write(disk.join("file"), "").is_err());
    for name in &all {
        let found = use_it(&disk.join(name));
        let copy = directory();
        read_only(&disk.join(name)).backup(copy.path().join("copy")).unwrap();
        assert_eq!(contents(&open(&copy.path().join("copy"))), found, "{name}");
    }
    assert!(tree(disk) == before);
    say("proved: a store on a file system that is mounted read-only opens, and can be backed up");
}
