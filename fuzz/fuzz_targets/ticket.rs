//! Fuzzes `sealway_fuzz::ticket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::ticket(data));
