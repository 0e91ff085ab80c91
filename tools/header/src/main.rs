//! Writes `include/kvstore.h` from the sources in `src/ffi`.
//!
//! ```text
//! cargo run -q -p kvstore-header              write the header
//! cargo run -q -p kvstore-header -- --check   fail, and show where, if it is out of date
//! ```
//!
//! cbindgen turns each item into a C declaration with its documentation; [`manual`] puts them in
//! the order of a manual, behind the text of `preamble.h`.

mod manual;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => write(&root),
        ["--check"] => check(&root),
        _ => Err("usage: kvstore-header [--check]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvstore-header: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path) -> Result<(), Box<dyn Error>> {
    let header = manual::header(root)?;
    fs::write(root.join("include/kvstore.h"), header)?;
    Ok(())
}

fn check(root: &Path) -> Result<(), Box<dyn Error>> {
    let expected = manual::header(root)?;
    let found = fs::read_to_string(root.join("include/kvstore.h"))
        .map_err(|error| format!("cannot read include/kvstore.h: {error}"))?;
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "include/kvstore.h is out of date:\n{}run: cargo run -q -p kvstore-header",
        difference(&found, &expected)
    )
    .into())
}

/// The lines between the first and the last that differ.
fn difference(found: &str, expected: &str) -> String {
    let (found, expected): (Vec<_>, Vec<_>) = (found.lines().collect(), expected.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = found.iter().zip(&expected).take_while(same).count();
    let (found, expected) = (&found[head..], &expected[head..]);
    let tail = found.iter().rev().zip(expected.iter().rev()).take_while(same).count();
    let mut text = format!("@@ line {} @@\n", head + 1);
    const SHOWN: usize = 20;
    for (sign, lines) in [('-', found), ('+', expected)] {
        let lines = &lines[..lines.len() - tail];
        for line in lines.iter().take(SHOWN) {
            text += &format!("{sign}{line}\n");
        }
        if lines.len() > SHOWN {
            text += &format!("{sign}... {} more lines\n", lines.len() - SHOWN);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_is_shown_without_what_is_the_same() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "@@ line 2 @@\n-b\n+x\n+y\n");
        assert_eq!(difference("a\n", "a\na\n"), "@@ line 2 @@\n+a\n");
    }
}
