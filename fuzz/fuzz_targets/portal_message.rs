//! Fuzzes `sealway_fuzz::portal_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::portal_message(data));
