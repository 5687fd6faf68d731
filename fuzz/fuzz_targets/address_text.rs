//! Fuzzes `sealway_fuzz::address_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::address_text(data));
