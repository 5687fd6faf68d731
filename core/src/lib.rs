//! Sealway's protocols as pure state machines.
//!
//! Nothing here does I/O, reads a clock or draws randomness of its own: time
//! ([`UnixSeconds`]) and randomness come in as arguments, bytes go into the caller's buffers.
#![no_std]
#![warn(clippy::indexing_slicing)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod time;

pub mod channel;
pub mod control;
pub mod crypto;
pub mod identity;
pub mod noise;
pub mod portal;
pub mod relay;
#[cfg(sealway_weaken)]
pub mod weaken;
pub mod wire;

pub use time::{Tick, UnixSeconds};
