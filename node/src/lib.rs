//! Sealway for applications.

pub mod home;
pub mod store;
