//! Secure channels: the reference's vectors, attacks on the handshake, the record layer's window.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attacks;
mod hybrid;
mod order;
mod records;
mod support;
mod vectors;
#[cfg(sealway_weaken)]
mod weakened;
