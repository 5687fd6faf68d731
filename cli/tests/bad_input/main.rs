//! What users, disks and other users get wrong: one line of cause, one of remedy, the documented exit code, no panic,
//! in little time, and nothing half-written.
//!
//! `SEALWAY_TABLE=FILE` writes the table of what each case printed and returned.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

mod homes;
mod network;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod things;
mod tickets;
mod usage;
