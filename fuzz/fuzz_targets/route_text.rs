//! Fuzzes `sealway_fuzz::route_text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::route_text(data));
