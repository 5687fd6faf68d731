//! Portals, relays and control messages against the reference's vectors and under random events.

mod portal;
mod properties;
mod tickets;
mod vectors;
