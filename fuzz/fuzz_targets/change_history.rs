//! Fuzzes `sealway_fuzz::change_history`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::change_history(data));
