//! Any bytes as a log; see `kvstore::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kvstore::fuzzing::decode_log(bytes));
