//! Fuzzes `sealway_fuzz::relay_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::relay_table(data));
