//! Fuzzes `sealway_fuzz::multiaddr_binary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::multiaddr_binary(data));
