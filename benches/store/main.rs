//! The figures of `docs/PERFORMANCE.md`: each measured beside the limit it is held against, in
//! the same run. `cargo bench` runs all; names as arguments run some: `get set batch sync open
//! memory scan checkpoint`.
//! `KVSTORE_LIBRARY` says where libkvstore.so is, by default `target/release`; without it the C
//! interface is not measured. `KVSTORE_BENCH_DIR` says where the files go, by default the system's temporary directory.

mod c_interface;
mod checkpoint;
mod limit;
mod measure;
mod scan;
mod workload;

use std::path::PathBuf;

use measure::Report;

fn main() {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|arg| arg == name);
    let place =
        std::env::var_os("KVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let mut report = Report::new();
    if wanted("get") {
        workload::get(&place, &mut report);
    }
    if wanted("set") {
        workload::set_os(&place, &mut report);
    }
    if wanted("batch") {
        workload::batch_os(&place, &mut report);
    }
    if wanted("open") {
        workload::open(&place, &mut report);
    }
    if wanted("memory") {
        workload::memory(&place, &mut report);
    }
    if wanted("scan") {
        scan::scan(&place, &mut report);
    }
    if wanted("checkpoint") {
        checkpoint::checkpoint(&place, &mut report);
    }
    if wanted("sync") {
        workload::set_sync(&place, &mut report);
    }
    report.print();
}
