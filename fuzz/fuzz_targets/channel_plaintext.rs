//! Fuzzes `sealway_fuzz::channel_plaintext`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::channel_plaintext(data));
