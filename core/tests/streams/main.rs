//! The native portal: its bytes, two sessions over a simulated channel, and peers that break the rules.
#![allow(missing_docs, clippy::unwrap_used)]

mod abuse;
mod integrity;
mod link;
mod speed;
mod vectors;
#[cfg(sealway_weaken)]
mod weakened;
