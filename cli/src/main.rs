//! The `sealway` command.
fn main() {}
