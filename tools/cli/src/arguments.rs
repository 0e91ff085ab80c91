//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit status: 0 when nothing is wrong or missing, 1 when something is, 2 when the command could not \
be carried out.

On the day it happens:
  1. Stop the program that uses the directory, and copy the directory somewhere safe.
  2. kvstore verify DIR            says what is wrong, where, and what opening would do.
  3. Restore a backup if there is one. If not:
     kvstore repair DIR NEWDIR     keeps what is consistent,
     kvstore salvage DIR NEWDIR    keeps whatever can be read.
  4. Check the disk and the memory of the machine before you go on.";

/// Checks, backs up, repairs and salvages the data directories of kvstore.
#[derive(Parser)]
#[command(name = "kvstore", version, about, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks every byte of a data directory, and changes nothing in it.
    #[command(
        long_about = "Checks every byte of the snapshot and of every log in DIR: headers, the \
            checksum of each entry, what the marks vouch for, and how each log ends. Lists what \
            lies in quarantine/ and what an interrupted checkpoint has left. Changes nothing \
            whatever. Runs beside readers, not beside a writer.",
        after_help = "Exit status:\n\
            \x20 0  sound, or torn: the log ends in the middle of an entry, as a crash leaves it, \
            and the next open mends that without losing anything that can be read\n\
            \x20 1  damaged, or unclear: valid entries lie behind the place where a log stops \
            decoding, which the next open would put aside\n\
            \x20 2  could not be checked: locked by a writer, not readable, not a data directory, \
            or written by a newer version"
    )]
    Verify {
        /// The data directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Print JSON; the fields are those of the library's `Verification`, and stay.
        #[arg(long)]
        json: bool,
    },

    /// Writes what is consistent in a damaged directory to a new one.
    #[command(
        long_about = "Writes what is consistent in DIR to NEWDIR, which then opens like any other. \
            DIR is not changed.\n\n\
            Of the logs it keeps every entry before the first that is not valid, as opening does: \
            the state that the store had at some instant. If the snapshot is damaged, which makes \
            opening refuse, it keeps the entries before the first damaged one, and the logs on top \
            of them: what is there is current, but records are missing, and the report says from \
            which key on.\n\n\
            NEWDIR must not exist, or be empty. REPAIRED.txt in it says what was left out.",
        after_help = "Exit status:\n\
            \x20 0  NEWDIR is written and complete\n\
            \x20 1  NEWDIR is written; the report says what is missing from it\n\
            \x20 2  NEWDIR is not written, or it is but this report could not be printed"
    )]
    Repair(Rebuild),

    /// Writes whatever can be read in a damaged directory to a new one, also from behind damage.
    #[command(
        long_about = "Writes whatever can be read in DIR to NEWDIR, also what lies behind damage. \
            NEWDIR then opens like any other. DIR is not changed.\n\n\
            What comes of it is NOT a state that the store ever had: records may be missing, may \
            have an older value than the last one, and may be back although they were deleted. Use \
            repair where that matters.\n\n\
            NEWDIR must not exist, or be empty. SALVAGED.txt in it says what it is and where it \
            came from. To look into a file of DIR/quarantine, copy it to an empty directory under \
            the name wal.log, and salvage that.",
        after_help = "Exit status:\n\
            \x20 0  NEWDIR is written and complete\n\
            \x20 1  NEWDIR is written, and is not a state that the store ever had\n\
            \x20 2  NEWDIR is not written, or it is but this report could not be printed"
    )]
    Salvage(Rebuild),

    /// Writes what opening finds in a data directory to a new one.
    #[command(
        long_about = "Opens DIR to read, which changes nothing there, and writes what it holds to \
            NEWDIR, which then opens like any other. Every record is checked while it is copied. \
            NEWDIR appears when it is whole and durable; should the command be interrupted, \
            nothing is there but perhaps a directory called NEWDIR.unfinished-<number>, which can \
            be removed.\n\n\
            Runs beside readers, not beside a writer: a program that has DIR open for writing makes \
            a backup itself, by the library's function, while it goes on.\n\n\
            NEWDIR must not exist, or be empty.",
        after_help = "Exit status:\n\
            \x20 0  NEWDIR is written, and has everything\n\
            \x20 1  NEWDIR is written; DIR has a damaged log, and what lies behind the damage is \
            not in it: see kvstore verify DIR\n\
            \x20 2  NEWDIR is not written, or it is but this report could not be printed"
    )]
    Backup {
        /// The data directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The directory to be written; it must not exist, or be empty.
        #[arg(value_name = "NEWDIR")]
        new_directory: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct Rebuild {
    /// The damaged data directory.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// The directory to be written; it must not exist, or be empty.
    #[arg(value_name = "NEWDIR")]
    pub(crate) new_directory: PathBuf,
    /// Print JSON; the fields are those of the library's `RepairReport`, and stay.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
