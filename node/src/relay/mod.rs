//! Relays: how nodes with no open port are reached.

pub(crate) mod forward;
