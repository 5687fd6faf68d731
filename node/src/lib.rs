//! Sealway for applications: end-to-end encrypted, mutually authenticated channels over any route.
//!
//! A [`Node`] is everything that runs in one process under one identity: workers with addresses, transports, secure
//! channels, portals, relays. Nothing is reachable in it but what is exposed ([`Exposure`]).

#![forbid(unsafe_code)]

pub mod channel;
pub mod control;
mod counters;
mod event;
mod exposure;
pub mod home;
pub mod keys;
mod mailbox;
mod message;
mod node;
mod path;
pub mod portal;
pub mod prelude;
pub mod relay;
mod room;
mod router;
mod services;
pub mod store;
pub mod transport;
#[cfg(sealway_weaken)]
mod weakened;
mod worker;

pub use counters::{Count, Counters};
pub use event::Event;
pub use exposure::{Access, Exposure};
pub use message::{ChannelOrigin, Message, Origin, TransportOrigin};
pub use node::{AddressInUse, Node, NodeBuilder, SendError};
pub use path::{Path, PathError, PathOptions};
pub use room::{Reservoir, Room};
pub use sealway_core as core;
pub use services::{Echo, Hop, Service, Uppercase};
pub use worker::{Context, Delivery, Inbox, Payload, Raw, RequestError, Worker, WorkerError};

/// The randomness of keys: the operating system's.
fn keys_rng() -> impl core::crypto::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}
