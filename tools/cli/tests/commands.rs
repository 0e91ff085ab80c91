//! The program from outside: exit status, what it prints, and that it leaves the source alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kvstore::{Options, Store};
use serde_json::Value;
use tempfile::TempDir;

fn kvstore(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvstore"));
    command.args(arguments).args(paths).output().unwrap()
}

/// Runs a command and returns its exit status and what it printed on both streams.
fn run(arguments: &[&str], paths: &[&Path]) -> (i32, String, String) {
    let output = kvstore(arguments, paths);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn run_json(arguments: &[&str], paths: &[&Path]) -> (i32, Value) {
    let (status, out, err) = run(arguments, paths);
    assert_eq!(err, "", "nothing but JSON");
    (status, serde_json::from_str(&out).unwrap())
}

/// Checks a directory both ways: exit status, the report, the JSON; and that it stays as it is.
fn verify(path: &Path, status: i32) -> (String, Value) {
    let before = files(path);
    let (found, text, err) = run(&["verify"], &[path]);
    assert_eq!((found, err.as_str()), (status, ""), "{text}");
    let (found, json) = run_json(&["verify", "--json"], &[path]);
    assert_eq!(found, status);
    assert_eq!(json["schema"], 1);
    assert_eq!(json["sound"], status == 0);
    assert_eq!(files(path), before, "nothing was changed");
    (text, json)
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let content = fs::read(&path).unwrap_or_default();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

/// Ten records in the snapshot, five more in the log, one group each.
fn data() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (0..10).for_each(|number| store.set(format!("key:{number:02}"), "a value").unwrap());
    store.close().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (10..15).for_each(|number| store.set(format!("key:{number:02}"), "a value").unwrap());
    drop(store);
    directory
}

fn edit(directory: &TempDir, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = directory.path().join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn used(log: &[u8]) -> usize {
    log.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

#[test]
fn a_sound_directory() {
    let directory = data();
    let (text, json) = verify(directory.path(), 0);
    assert!(text.contains(": sound\n") && text.contains("10 entries, in order of key"), "{text}");
    assert!(text.ends_with("what to do: nothing.\n"), "{text}");
    assert_eq!((&json["condition"], &json["snapshot"]["count"]), (&"sound".into(), &10.into()));
    assert_eq!(
        (&json["logs"][0]["sets"], &json["logs"][0]["log_use"]),
        (&5.into(), &"replayed".into())
    );
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn a_backup_has_everything_and_changes_nothing() {
    let (directory, place) = (data(), tempfile::tempdir().unwrap());
    let (copy, second) = (place.path().join("copy"), place.path().join("second"));
    let before = files(directory.path());
    let (status, text, err) = run(&["backup"], &[directory.path(), &copy]);
    assert_eq!((status, err.as_str()), (0, ""), "{text}");
    assert!(text.contains("15 records, 395 bytes, written to") && text.contains("copy"), "{text}");
    assert_eq!(Store::open(&copy).unwrap().len(), 15);
    let (status, json) = run_json(&["backup", "--json"], &[directory.path(), &second]);
    assert_eq!(status, 0);
    assert_eq!((&json["schema"], &json["records"]), (&1.into(), &15.into()));
    assert_eq!((&json["bytes"], &json["damaged"]), (&395.into(), &false.into()));
    assert_eq!(json["to"], second.to_str().unwrap());
    assert_eq!(files(directory.path()), before);

    let (status, _, err) = run(&["backup"], &[directory.path(), &copy]);
    assert_eq!(status, 2);
    assert!(err.contains("is not empty"), "{err}");
    let writer = Store::open(directory.path()).unwrap();
    let (status, _, err) = run(&["backup"], &[directory.path(), &place.path().join("third")]);
    assert_eq!(status, 2);
    assert!(err.contains("is open in process"), "{err}");
    drop(writer);
    // What is no data directory is not backed up as an empty one.
    let (status, _, err) = run(&["backup"], &[place.path(), &place.path().join("third")]);
    assert_eq!(status, 2);
    assert!(err.contains("neither a snapshot nor a log"), "{err}");
    assert!(!place.path().join("third").exists());
}

#[test]
fn a_backup_of_a_damaged_log_says_so() {
    let (directory, place) = (data(), tempfile::tempdir().unwrap());
    edit(&directory, "wal.log", |bytes| bytes[50] ^= 1);
    let copy = place.path().join("copy");
    let (status, text, _) = run(&["backup"], &[directory.path(), &copy]);
    assert_eq!(status, 1);
    assert!(text.contains("10 records") && text.contains("The log is damaged"), "{text}");
    assert_eq!(Store::open(&copy).unwrap().len(), 10);

    let (directory, torn) = (data(), place.path().join("torn"));
    edit(&directory, "wal.log", |bytes| bytes.truncate(used(bytes) - 3));
    let (status, text, _) = run(&["backup"], &[directory.path(), &torn]);
    assert_eq!(status, 0);
    assert!(text.contains("14 records") && text.contains("torn write"), "{text}");
}

#[test]
fn every_directory_of_the_go_store_is_sound() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    for name in ["clean", "crash", "wal-only", "empty"] {
        let (text, _) = verify(&golden.join(name), 0);
        assert!(text.contains(": sound\n"), "{text}");
    }
}

#[test]
fn a_torn_log_is_no_damage() {
    let directory = data();
    edit(&directory, "wal.log", |bytes| bytes.truncate(used(bytes) - 3));
    let (text, json) = verify(directory.path(), 0);
    assert!(text.contains("as a crash leaves it"), "{text}");
    assert_eq!((&json["condition"], &json["refuses_to_open"]), (&"torn".into(), &false.into()));
}

#[test]
fn a_damaged_log_is_told_with_path_offset_and_what_to_do() {
    let directory = data();
    edit(&directory, "wal.log", |bytes| bytes[50] ^= 1);
    let (text, json) = verify(directory.path(), 1);
    for part in ["damaged: ", "wal.log at offset 41, ", "checksum", "4 valid sets", "quarantine/"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let finding = &json["findings"][0];
    assert_eq!((&finding["offset"], &finding["condition"]), (&41.into(), &"damaged".into()));
    assert!(finding["path"].as_str().unwrap().ends_with("/wal.log"));
    assert_eq!(json["logs"][0]["entries_behind"], 4);
}

#[test]
fn every_kind_of_damage_to_a_snapshot() {
    type Change = fn(&mut Vec<u8>);
    let kinds: [(&str, u64, Change); 9] = [
        ("the file is empty", 0, Vec::clear),
        ("fewer than a snapshot's header", 0, |bytes| bytes.truncate(19)),
        ("magic number", 0, |bytes| bytes[0] = b'X'),
        ("in the header, its checksum", 0, |bytes| bytes[6] ^= 1),
        ("which 270 bytes cannot hold", 12, |bytes| {
            bytes[12..16].copy_from_slice(&1000_u32.to_be_bytes());
            let checksum = checksum(&bytes[..16]);
            bytes[16..20].copy_from_slice(&checksum.to_be_bytes());
        }),
        ("in entry 0 of 10, the file ends", 20, |bytes| bytes[20] = 0x7F),
        ("in entry 0 of 10, its checksum", 20, |bytes| bytes[25] ^= 1),
        ("in entry 9 of 10, the file ends", 245, |bytes| bytes.truncate(260)),
        ("in entry 9 of 10, its checksum", 245, |bytes| bytes[269] ^= 1),
    ];
    for (what, offset, change) in kinds {
        let directory = data();
        edit(&directory, "snapshot.dat", change);
        let (text, json) = verify(directory.path(), 1);
        assert!(text.contains(what), "{what} in {text}");
        assert!(text.contains("opening it is refused"), "{text}");
        assert_eq!(json["findings"][0]["offset"], offset, "{what}");
        assert_eq!(json["refuses_to_open"], true, "{what}");
        assert!(Store::open(directory.path()).is_err(), "{what}");
    }
}

/// CRC-32/IEEE, a bit at a time.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[test]
fn a_directory_that_a_writer_holds_is_not_checked_and_the_holder_is_named() {
    let directory = data();
    let store = Store::open(directory.path()).unwrap();
    let new = tempfile::tempdir().unwrap();
    let pid = format!("process {}", std::process::id());
    for arguments in [["verify"], ["repair"], ["salvage"]] {
        let paths = [directory.path(), new.path()];
        let paths = if arguments == ["verify"] { &paths[..1] } else { &paths[..] };
        let (status, out, err) = run(&arguments, paths);
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.starts_with("kvstore: ") && err.contains(&pid), "{err}");
    }
    let (status, json) = run_json(&["verify", "--json"], &[directory.path()]);
    assert_eq!((status, &json["error"]["code"]), (2, &(-4).into()));
    assert_eq!(json["error"]["lock_holder"], std::process::id());
    drop(store);
    let reader = Options::new().read_only(true).open(directory.path()).unwrap();
    verify(directory.path(), 0);
    drop(reader);
}

#[test]
fn what_is_no_data_directory_or_cannot_be_read_is_not_checked() {
    let directory = data();
    let empty = tempfile::tempdir().unwrap();
    let unreadable = data();
    // Not even root can open it.
    fs::remove_file(unreadable.path().join("snapshot.dat")).unwrap();
    symlink("snapshot.dat", unreadable.path().join("snapshot.dat")).unwrap();
    let wrong_kind = data();
    fs::remove_file(wrong_kind.path().join("wal.log")).unwrap();
    fs::create_dir(wrong_kind.path().join("wal.log")).unwrap();
    let cases = [
        (directory.path().join("nowhere"), "No such file or directory"),
        (directory.path().join("wal.log"), "Not a directory"),
        (empty.path().to_path_buf(), "holds no store"),
        (unreadable.path().to_path_buf(), "snapshot.dat: Too many levels of symbolic links"),
        (wrong_kind.path().to_path_buf(), "wal.log"),
    ];
    for (path, why) in cases {
        let (status, out, err) = run(&["verify"], &[&path]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(why), "{why} in {err}");
        let (status, json) = run_json(&["verify", "--json"], &[&path]);
        assert_eq!(status, 2);
        assert!(json["error"]["message"].as_str().unwrap().contains(why), "{json}");
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

/// Repairs or salvages, both ways of printing, and returns the status, the text, the JSON, and how
/// many records the new directory has.
fn rebuild(command: &str, from: &Path) -> (i32, String, Value, usize) {
    let before = files(from);
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let (status, text, err) = run(&[command], &[from, &one]);
    assert_eq!(err, "");
    let (same, json) = run_json(&[command, "--json"], &[from, &two]);
    assert_eq!(same, status);
    assert_eq!(json["complete"], status == 0);
    assert_eq!(files(from), before, "the source is as it was");
    let records = Store::open(&one).unwrap().len();
    assert_eq!(Store::open(&two).unwrap().len(), records);
    assert_eq!(json["records"], records);
    (status, text, json, records)
}

#[test]
fn repair_and_salvage_of_a_sound_directory_are_complete() {
    let directory = data();
    for command in ["repair", "salvage"] {
        let (status, text, _, records) = rebuild(command, directory.path());
        assert_eq!((status, records), (0, 15));
        assert!(text.contains("It is complete"), "{text}");
    }
}

#[test]
fn repair_says_what_is_missing_and_salvage_what_it_is() {
    let directory = data();
    edit(&directory, "wal.log", |bytes| bytes[100] ^= 1); // in the second group's mark
    let (status, text, json, records) = rebuild("repair", directory.path());
    assert_eq!((status, records), (1, 11));
    assert!(text.contains("at some earlier instant"), "{text}");
    assert!(text.contains("4 valid entries in it would be kept by a salvage"), "{text}");
    assert_eq!((&json["is_prefix"], &json["left_out"][0]["entries"]), (&true.into(), &4.into()));
    let (status, text, json, records) = rebuild("salvage", directory.path());
    assert_eq!((status, records), (1, 15));
    assert!(text.contains("NOT a state"), "{text}");
    assert_eq!((&json["salvaged"], &json["applied_behind"]), (&true.into(), &4.into()));
}

#[test]
fn a_damaged_snapshot_is_repaired_in_part() {
    let directory = data();
    edit(&directory, "snapshot.dat", |bytes| bytes[20 + 3 * 25 + 5] ^= 1);
    let (status, text, json, records) = rebuild("repair", directory.path());
    assert_eq!((status, records), (1, 3 + 5));
    assert!(text.contains("NOT a state") && text.contains("snapshot.dat at offset 95"), "{text}");
    assert_eq!(json["complete_up_to"], Value::Null, "ten entries may be in order by chance");
    let (_, _, _, records) = rebuild("salvage", directory.path());
    assert_eq!(records, 14);
}

#[test]
fn a_report_that_cannot_be_printed_takes_nothing_back() {
    let (directory, place) = (data(), tempfile::tempdir().unwrap());
    let printed_to = |stdout: Stdio, arguments: &[&str], to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvstore"));
        command.args(arguments).arg(directory.path());
        if !to.is_empty() {
            command.arg(place.path().join(to));
        }
        let output = command.stdout(stdout).stderr(Stdio::piped()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let closed = || Stdio::from(std::io::pipe().unwrap().1);
    let quiet = |status| (status, String::new());
    assert_eq!(printed_to(closed(), &["verify"], ""), quiet(0));
    assert_eq!(printed_to(closed(), &["verify", "--json"], ""), quiet(0));
    assert_eq!(printed_to(closed(), &["repair"], "repaired"), quiet(0));
    assert_eq!(printed_to(closed(), &["backup", "--json"], "copy"), quiet(0));
    assert_eq!(printed_to(closed(), &["backup", "--json"], "copy"), quiet(2));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (status, err) = printed_to(full.into(), &["repair"], "again");
    assert_eq!(status, 2);
    assert!(err.contains("it is done, but the report cannot be written"), "{err}");
    for new in ["repaired", "copy", "again"] {
        assert_eq!(Store::open(place.path().join(new)).unwrap().len(), 15, "{new}");
    }
    edit(&directory, "snapshot.dat", |bytes| bytes[25] ^= 1);
    assert_eq!(printed_to(closed(), &["verify"], ""), quiet(1));
}

#[test]
fn a_new_directory_that_has_something_in_it_is_left_alone() {
    let directory = data();
    let taken = tempfile::tempdir().unwrap();
    fs::write(taken.path().join("file"), b"mine").unwrap();
    let inside = directory.path().join("new");
    for command in ["repair", "salvage"] {
        for (path, why) in [(taken.path(), "is not empty"), (&inside, "lies in the directory")] {
            let (status, out, err) = run(&[command], &[directory.path(), path]);
            assert_eq!((status, out.as_str()), (2, ""));
            assert!(err.contains(why), "{err}");
        }
        let (status, _, err) = run(&[command], &[directory.path(), directory.path()]);
        assert_eq!(status, 2, "{err}");
    }
    assert_eq!(files(taken.path()).len(), 1);
    assert!(!inside.exists());
}

#[test]
fn help_and_version_say_what_is_needed() {
    let (status, out, _) = run(&["--version"], &[]);
    assert_eq!((status, out), (0, format!("kvstore {}\n", env!("CARGO_PKG_VERSION"))));
    let (status, out, _) = run(&["--help"], &[]);
    assert_eq!(status, 0);
    for part in ["verify", "repair", "salvage", "Exit status: 0", "copy the directory"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    for command in ["verify", "repair", "salvage"] {
        let (status, out, _) = run(&[command, "--help"], &[]);
        assert_eq!(status, 0);
        assert!(out.contains("Exit status:") && out.contains("--json"), "{out}");
        assert!(out.lines().all(|line| line.len() <= 100), "{out}");
    }
    assert_eq!(run(&["frobnicate"], &[]).0, 2);
    assert_eq!(run(&[], &[]).0, 2);
}
