//! How far long work has come, on the standard error stream.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Work that is done before this says nothing of itself.
const QUIET: Duration = Duration::from_secs(2);

/// Between two lines where nobody may be watching: one for each minute fits into a log.
const PAUSE_IN_LOG: Duration = Duration::from_secs(60);

/// Between two states of the line on a terminal.
const PAUSE_ON_TERMINAL: Duration = Duration::from_millis(200);

pub(crate) struct ProgressLine {
    terminal: bool,
    next: Instant,
    shown: bool,
}

impl ProgressLine {
    pub(crate) fn new() -> ProgressLine {
        let terminal = io::stderr().is_terminal();
        ProgressLine { terminal, next: Instant::now() + QUIET, shown: false }
    }

    pub(crate) fn show(&mut self, progress: &kvstore::Progress) {
        self.show_text(|| line(progress));
    }

    pub(crate) fn show_backup(&mut self, to: &Path, progress: &kvstore::BackupProgress) {
        self.show_text(|| backup_line(to, progress));
    }

    fn show_text(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let text = text();
        let (written, pause) = match self.terminal {
            // Back to the line's start, and clear to its end behind the text.
            true => (write!(io::stderr(), "\r{text}\x1b[K"), PAUSE_ON_TERMINAL),
            false => (writeln!(io::stderr(), "kvstore: {text}"), PAUSE_IN_LOG),
        };
        self.shown |= self.terminal && written.is_ok();
        self.next = now + pause;
    }

    /// Makes room for the report.
    pub(crate) fn clear(&mut self) {
        if self.shown {
            // It is only the looks of it.
            let _cleared = write!(io::stderr(), "\r\x1b[K").is_ok();
            self.shown = false;
        }
    }
}

fn line(progress: &kvstore::Progress) -> String {
    let percent = (progress.done.saturating_mul(100)).checked_div(progress.total).unwrap_or(100);
    let name = progress.path.file_name().unwrap_or_default().to_string_lossy();
    format!("{} {name}: {} %", progress.activity, percent.min(100))
}

fn backup_line(to: &Path, progress: &kvstore::BackupProgress) -> String {
    let (done, total) = (progress.records_done, progress.records_total);
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let megabytes = progress.bytes_done >> 20;
    format!("writing {name}: {percent} %, {done} of {total} records, {megabytes} MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_backup_has_records_and_bytes() {
        let place = tempfile::tempdir().unwrap();
        let store = kvstore::Store::open(place.path().join("data")).unwrap();
        store.set("key", vec![7; 3 << 20]).unwrap();
        let mut lines = Vec::new();
        let to = place.path().join("copy");
        store
            .backup_with(&to, &mut |progress| {
                lines.push(backup_line(&to, progress));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(lines, ["writing copy: 100 %, 1 of 1 records, 3 MiB"]);
    }

    /// The library makes the value; a directory that takes some work has it do so.
    fn some_progress() -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let store = kvstore::Store::open(directory.path()).unwrap();
        store.set("key", vec![7; 6 << 20]).unwrap();
        store.close().unwrap();
        let mut snapshot = std::fs::read(directory.path().join("snapshot.dat")).unwrap();
        snapshot[100] ^= 1;
        std::fs::write(directory.path().join("snapshot.dat"), snapshot).unwrap();
        let mut lines = Vec::new();
        kvstore::verify_with(directory.path(), &mut |progress| {
            lines.push(line(progress));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn a_line_says_what_is_done_to_which_file_and_how_far() {
        let lines = some_progress();
        assert!(lines.len() >= 10, "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("searching snapshot.dat: ")));
        assert!(lines.iter().any(|line| line.ends_with(" 50 %")), "{lines:?}");
        let percents = lines.iter().map(|line| line.rsplit(' ').nth(1).unwrap().parse().unwrap());
        assert!(percents.is_sorted_by(|a: &u32, b| a <= b && *b <= 100));
    }
}
