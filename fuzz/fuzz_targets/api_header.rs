//! Fuzzes `sealway_fuzz::api_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::api_header(data));
