//! Scenarios that need a disk of their own, each in a process that has it for itself.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::directory;

/// Prints past the test harness, which keeps what a passing test prints to itself.
pub fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Runs `scenario` of the test file `file` in a process that has the disk which `script`, with
/// `kind` as its argument, mounts. The file's test `a_scenario_as_a_process` runs it there, and
/// says what it proved. Where such a disk cannot be had, says so.
pub fn on_a_disk(file: &str, script: &str, kind: &str, scenario: &str) {
    let place = directory();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(script)
        .args([Path::new(kind), place.path(), &std::env::current_exe().unwrap()])
        .args(["--exact", "a_scenario_as_a_process", "--nocapture"])
        .env("KVSTORE_TEST_SCENARIO", scenario)
        .env("KVSTORE_TEST_DISK", place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(77) => say(&format!("{file}::{scenario}: {}", said.trim())),
        Some(0) => {
            let proved: Vec<&str> = said.lines().filter(|line| line.contains("proved")).collect();
            assert!(!proved.is_empty(), "the scenario did not run: {said}");
            say(&proved.join("\n"));
        }
        // Also none, when a signal ended it: SIGBUS above all.
        _ => panic!("{}: {said}\n{}", output.status, String::from_utf8_lossy(&output.stdout)),
    }
}

/// In such a process the scenario, and where its disk is mounted.
pub fn scenario() -> Option<(String, PathBuf)> {
    let scenario = std::env::var("KVSTORE_TEST_SCENARIO").ok()?;
    Some((scenario, PathBuf::from(std::env::var_os("KVSTORE_TEST_DISK").unwrap())))
}
