//! Any files as a data directory; see `tests/common/check.rs`.
#![no_main]

#[path = "../../tests/common/check.rs"]
mod check;
#[path = "../../tests/common/reading.rs"]
mod reading;
#[path = "../../tests/common/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    check::check_input(place.path(), bytes, &mut |options, path| options.open(path));
});
