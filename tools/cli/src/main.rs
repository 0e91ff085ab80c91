//! The `kvstore` command.
//!
//! | file | owns |
//! |---|---|
//! | `arguments.rs` | the command line and its help |
//! | `json.rs` | the fields of `--json`, which programs rely on |
//! | `progress.rs` | the line that says how far long work has come |
//!
//! What a command does is the library's; this crate says it.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![deny(unsafe_code)]

mod arguments;
mod json;
mod progress;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Arguments, Command, Rebuild};
use clap::Parser;
use kvstore::{Error, ErrorKind, RepairReport, Verification};
use progress::ProgressLine;
use serde::Serialize;

/// Everything that was there is there.
const SOUND: u8 = 0;
/// Something is damaged, or was left out.
const DAMAGED: u8 = 1;
/// The command could not be carried out. Also what clap returns for a wrong command line.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let (outcome, as_json) = run(Arguments::parse().command);
    let (written, code) = match outcome {
        Ok(Outcome { text, code }) => (print(&text), code),
        Err(error) if as_json => (print(&as_text(&json::Failure::new(&error))), FAILED),
        Err(error) => {
            let _told = writeln!(io::stderr(), "kvstore: {error}{}", advice(&error)).is_ok();
            (Ok(()), FAILED)
        }
    };
    match written {
        Ok(()) => ExitCode::from(code),
        // Whoever reads has seen enough (`| head`), which says nothing of the directory.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(error) => {
            let done = if code == FAILED { "" } else { "it is done, but " };
            let _told =
                writeln!(io::stderr(), "kvstore: {done}the report cannot be written: {error}")
                    .is_ok();
            ExitCode::from(FAILED)
        }
    }
}

struct Outcome {
    text: String,
    code: u8,
}

/// Carries the command out. Also says whether its outcome is to be JSON.
fn run(command: Command) -> (Result<Outcome, Error>, bool) {
    let mut line = ProgressLine::new();
    let mut progress = |progress: &kvstore::Progress| {
        line.show(progress);
        ControlFlow::Continue(())
    };
    match command {
        Command::Verify { directory, json } => {
            let found = kvstore::verify_with(directory, &mut progress);
            line.clear();
            (found.map(|found| verified(&found, json)), json)
        }
        Command::Repair(Rebuild { directory, new_directory, json }) => {
            let report = kvstore::repair_with(directory, new_directory, &mut progress);
            line.clear();
            (report.map(|report| rebuilt(&report, json)), json)
        }
        Command::Salvage(Rebuild { directory, new_directory, json }) => {
            let report = kvstore::salvage_with(directory, new_directory, &mut progress);
            line.clear();
            (report.map(|report| rebuilt(&report, json)), json)
        }
        Command::Backup { directory, new_directory, json } => {
            let backup = backup(&directory, &new_directory, &mut line);
            line.clear();
            (backup.map(|backup| backed_up(&backup, json)), json)
        }
    }
}

fn backup(from: &Path, to: &Path, line: &mut ProgressLine) -> Result<json::Backup, Error> {
    let store = kvstore::Options::new().read_only(true).open(from)?;
    let mut last = None;
    store.backup_with(to, &mut |progress| {
        line.show_backup(to, progress);
        last = Some(*progress);
        ControlFlow::Continue(())
    })?;
    Ok(json::Backup::new(&store, to, &last.unwrap_or_default()))
}

fn backed_up(backup: &json::Backup, json: bool) -> Outcome {
    let code = if backup.damaged { DAMAGED } else { SOUND };
    let text = if json { as_text(backup) } else { backup.to_string() };
    Outcome { text, code }
}

fn verified(found: &Verification, json: bool) -> Outcome {
    let code = if found.is_sound() { SOUND } else { DAMAGED };
    let text = match json {
        true => as_text(&json::Verification::new(found)),
        false => found.to_string(),
    };
    Outcome { text, code }
}

fn rebuilt(report: &RepairReport, json: bool) -> Outcome {
    let code = if report.is_complete() { SOUND } else { DAMAGED };
    let text = match json {
        true => as_text(&json::Report::new(report)),
        false => report.to_string(),
    };
    Outcome { text, code }
}

fn as_text(value: &impl Serialize) -> String {
    // The structs of `json` have nothing that JSON cannot hold; should that change, a reader of
    // the output finds the reason where it looks for the fields.
    serde_json::to_string_pretty(value)
        .unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"))
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// What the library's message leaves open, because it does not know what it is called from.
fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Io if error.os_error() == Some(EIO) => {
            "\nThe disk cannot read this. Copy the directory with a tool that goes on behind read \
             errors, such as ddrescue, and run this command on the copy."
        }
        ErrorKind::Locked => {
            "\nNothing was read. The program that has it open can write a backup of it meanwhile, by \
             the library's function."
        }
        _ => "",
    }
}

/// The same number on every Unix.
const EIO: i32 = 5;
