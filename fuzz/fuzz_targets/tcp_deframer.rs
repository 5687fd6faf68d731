//! Fuzzes `sealway_fuzz::tcp_deframer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::tcp_deframer(data));
