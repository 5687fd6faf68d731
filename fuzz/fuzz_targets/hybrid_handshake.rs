//! Fuzzes `sealway_fuzz::hybrid_handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::hybrid_handshake(data));
