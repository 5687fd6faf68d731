//! Fuzzes `sealway_fuzz::bare`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::bare(data));
