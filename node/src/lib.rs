//! Sealway for applications.
