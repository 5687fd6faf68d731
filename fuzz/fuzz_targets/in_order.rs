//! Fuzzes `sealway_fuzz::in_order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::in_order(data));
