//! Backups to other disks: full ones, mounted ones, and such as can share blocks.

mod common;

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::disks::{on_a_disk, say, scenario};
use common::{contents, directory, names, open, open_os};
use kvstore::{ErrorKind, Store};

/// Run by the tests below in a process of its own.
#[test]
fn a_scenario_as_a_process() {
    let Some((scenario, disk)) = scenario() else { return };
    match scenario.as_str() {
        "full" => full(&disk),
        "mounted" => mounted(&disk),
        "shares blocks" => shares_blocks(&disk),
        "fills up" => fills_up(&disk),
        other => panic!("no scenario {other}"),
    }
}

#[test]
fn a_full_disk_leaves_no_backup_and_does_not_disturb_the_store() {
    on_a_disk("backup_disks", "small_disk.sh", "4m", "full");
}

#[test]
fn where_a_disk_is_mounted_is_no_place_for_a_new_directory_but_in_it_is() {
    on_a_disk("backup_disks", "small_disk.sh", "64m", "mounted");
}

#[test]
fn a_snapshot_in_force_is_cloned_where_the_file_system_can() {
    for kind in ["btrfs", "xfs"] {
        on_a_disk("backup_disks", "cloning_disk.sh", kind, "shares blocks");
    }
}

#[test]
fn a_clone_is_a_store_of_its_own() {
    on_a_disk("backup_disks", "cloning_disk.sh", "xfs", "fills up");
}

/// A store of about 20 MB, in `data` of `place`.
fn large(place: &Path) -> Store {
    let store = open_os(&place.join("data"));
    for number in 0..20_000_u32 {
        store.set(format!("key {number:06}"), vec![number as u8; 1000]).unwrap();
    }
    store
}

/// Bytes that are free on the disk at `path`, everything before on the disk.
#[allow(unsafe_code, reason = "the standard library does not tell")]
fn free(path: &Path) -> u64 {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends in a NUL byte, and a struct of integers to be written to.
    let found = unsafe {
        libc::sync();
        let mut found = std::mem::zeroed::<libc::statvfs>();
        assert_eq!(libc::statvfs(path.as_ptr(), &raw mut found), 0);
        found
    };
    found.f_bfree * found.f_frsize
}

fn full(disk: &Path) {
    let place = directory();
    assert_ne!(fs::metadata(disk).unwrap().dev(), fs::metadata(place.path()).unwrap().dev());
    let mut store = large(place.path());
    for settled in [false, true] {
        if settled {
            store.close().unwrap();
            store = open(&place.path().join("data"));
        }
        let before = free(disk);
        let error = store.backup(disk.join("copy")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(error.os_error(), Some(libc::ENOSPC));
        assert!(error.to_string().contains("copy") && error.to_string().contains("make room"));
        assert!(names(disk).is_empty());
        assert_eq!(free(disk), before);
        store.set("goes", "on").unwrap();
        store.backup(place.path().join(format!("copy {settled}"))).unwrap();
    }
    say("proved: a backup to a full disk leaves nothing there, and the store goes on");
}

fn mounted(disk: &Path) {
    let place = directory();
    let store = large(place.path());
    let error = store.backup(disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("is where a file system is mounted"), "{error}");
    assert!(names(disk).is_empty());
    let beside = names(disk.parent().unwrap());
    assert!(!beside.iter().any(|name| name.contains("unfinished")), "{beside:?}");
    // From one file system to the other, as a log, and as a snapshot that cannot be cloned.
    store.backup(disk.join("copy")).unwrap();
    assert!(contents(&open(&disk.join("copy"))) == contents(&store));
    store.close().unwrap();
    let store = open(&place.path().join("data"));
    store.backup(disk.join("settled")).unwrap();
    assert!(contents(&open(&disk.join("settled"))) == contents(&store));
    say("proved: a backup from one file system to another holds the same");
}

fn shares_blocks(disk: &Path) {
    large(disk).close().unwrap();
    let store = open(&disk.join("data"));
    let bytes = fs::metadata(disk.join("data/snapshot.dat")).unwrap().len();
    let before = free(disk);
    store.backup(disk.join("copy")).unwrap();
    let taken = before.saturating_sub(free(disk));
    assert!(taken < bytes / 8, "a clone of {bytes} bytes takes {taken}");
    assert!(contents(&open(&disk.join("copy"))) == contents(&store));
    // With one write since it is copied, and takes as much room.
    store.set("later", "").unwrap();
    let before = free(disk);
    store.backup(disk.join("written")).unwrap();
    let taken_written = before.saturating_sub(free(disk));
    assert!(taken_written > bytes / 2, "a copy of {bytes} bytes takes {taken_written}");
    say(&format!("proved: the clone of a snapshot of {bytes} bytes takes {taken} bytes of disk"));
}

/// The clone and what it was made from go ways of their own.
fn fills_up(disk: &Path) {
    large(disk).close().unwrap();
    let store = open_os(&disk.join("data"));
    let expected = contents(&store);
    store.backup(disk.join("copy")).unwrap();
    for number in 0..20_000_u32 {
        store.set(format!("key {number:06}"), vec![!number as u8; 1000]).unwrap();
    }
    store.close().unwrap();
    assert!(contents(&open(&disk.join("copy"))) == expected);
    assert!(contents(&open(&disk.join("data"))) != expected);
    fs::remove_dir_all(disk.join("data")).unwrap();
    assert!(contents(&open(&disk.join("copy"))) == expected);
    say("proved: a clone does not change with what it was made from");
}
