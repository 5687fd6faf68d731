//! Fuzzes `sealway_fuzz::routing_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealway_fuzz::routing_message(data));
