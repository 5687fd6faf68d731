//! Fuzzes `sealway_fuzz::cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::cbor(data));
