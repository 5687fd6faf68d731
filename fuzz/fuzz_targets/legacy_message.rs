//! Fuzzes `sealway_fuzz::legacy_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::legacy_message(data));
