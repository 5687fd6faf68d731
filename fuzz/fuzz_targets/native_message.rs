//! Fuzzes `sealway_fuzz::native_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::native_message(data));
