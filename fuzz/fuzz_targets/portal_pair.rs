//! Fuzzes `sealway_fuzz::portal_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::portal_pair(data));
