//! Fuzzes `sealway_fuzz::relay_registration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::relay_registration(data));
