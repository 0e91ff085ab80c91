//! What the Go store makes of a directory that was closed: promised to be what was in it.
//!
//! Its reader knows no end of the log but the end of the file, and skips operations of ours.

use super::exploration::Outcome;
use super::run::Model;
use super::workload::DIRECTORY;
use crate::io::simulated::Image;
use crate::record::{
    Operation, SNAPSHOT_HEADER_LEN, decode_log_entry, decode_snapshot_entry, decode_snapshot_header,
};

/// Reads the store's directory as the Go store does and compares.
pub(super) fn check(image: &Image, expected: &Model) -> Outcome {
    check_at(image, DIRECTORY, expected)
}

/// The same for another directory.
pub(super) fn check_at(image: &Image, directory: &str, expected: &Model) -> Outcome {
    let mut found = Model::new();
    if let Some(snapshot) = image.file(&format!("{directory}/snapshot.dat")) {
        read_snapshot(&snapshot.to_vec(), &mut found)?;
    }
    if let Some(log) = image.file(&format!("{directory}/wal.log")) {
        read_log(&log.to_vec(), &mut found)?;
    }
    if &found == expected { Ok(()) } else { Err("the Go store reads something else".to_owned()) }
}

fn read_snapshot(bytes: &[u8], model: &mut Model) -> Outcome {
    let failed = |what| format!("the Go store cannot read the snapshot: {what}");
    let header = decode_snapshot_header(bytes).map_err(|error| failed(error.to_string()))?;
    let mut at = SNAPSHOT_HEADER_LEN;
    for _ in 0..header.count {
        let run = decode_snapshot_entry(bytes.get(at..).unwrap_or_default())
            .map_err(|error| failed(error.to_string()))?;
        model.insert(run.key.to_vec(), run.value.to_vec());
        at += run.encoded_len() + 4;
    }
    Ok(())
}

fn read_log(bytes: &[u8], model: &mut Model) -> Outcome {
    let mut at = 0;
    while at < bytes.len() {
        let entry = decode_log_entry(&bytes[at..])
            .map_err(|error| format!("the Go store cannot read the log at {at}: {error}"))?;
        match Operation::from_code(entry.operation) {
            Some(Operation::Set) => {
                model.insert(entry.run.key.to_vec(), entry.run.value.to_vec());
            }
            Some(Operation::Delete) => {
                model.remove(entry.run.key);
            }
            _ => {}
        }
        at += entry.encoded_len();
    }
    Ok(())
}
