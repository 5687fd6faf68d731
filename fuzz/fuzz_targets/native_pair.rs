//! Fuzzes `sealway_fuzz::native_pair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::native_pair(data));
