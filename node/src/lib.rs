//! Sealway for applications.

pub mod home;
pub mod keys;
pub mod store;
