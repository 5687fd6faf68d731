//! Sealway's protocols as pure state machines.
//!
//! Nothing here does I/O, reads a clock or draws randomness of its own: time
//! ([`UnixSeconds`]) and randomness come in as arguments, bytes go into the caller's buffers.
#![no_std]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

mod time;

pub mod crypto;
pub mod wire;

pub use time::UnixSeconds;
