//! Sealway for applications: end-to-end encrypted, mutually authenticated channels over any route.
//!
//! A [`Node`] is everything that runs in one process under one identity: workers with addresses, transports, secure
//! channels, portals, relays. Two nodes, a channel between them, and a worker behind it:
//!
//! ```
//! use std::time::Duration;
//!
//! use sealway::prelude::*;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let alice = Node::builder().ephemeral_identity().start();
//! let bob = Node::builder().ephemeral_identity().start();
//! let alice_is = alice.identifier().ok_or("no identity")?;
//! let bob_is = bob.identifier().ok_or("no identity")?;
//!
//! // Bob: an echo that Alice may reach, and nobody else; and that only through a channel.
//! let access = Access::trust(Trust::Identifier(alice_is));
//! bob.start_service(Service::Echo, Exposure::local().to_channels(access.clone(), "echo"))?;
//! bob.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
//! let listening = bob.listen("127.0.0.1:0").await?;
//!
//! // Alice: a connection to Bob's port, and a channel to Bob himself.
//! let link = alice.connect(&listening.address).await?;
//! let expect = ChannelOptions::expect(Trust::Identifier(bob_is));
//! let channel = alice.secure_channel(link.to("sealway_xx1"), expect).await?;
//! let greeting = "hello, Bob".to_owned();
//! let answer: String = alice
//!     .request(channel.to("echo"), greeting, Duration::from_secs(5))
//!     .await?;
//! assert_eq!(answer, "hello, Bob");
//! # alice.shutdown(Duration::from_secs(5)).await;
//! # bob.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! - **Messages.** A [`Worker`] has an address and handles one message at a time; [`Node::request`] sends along a
//!   [`Route`](core::wire::Route) and waits for the reply. A route is a list of addresses: each takes itself off the onward
//!   route and, if it is a connection, a channel or a hop, joins the return route.
//! - **Transports.** [`Node::listen`] and [`Node::connect`]: TCP and Unix sockets are there; see [`transport`] for one of your
//!   own.
//! - **Channels.** [`Node::secure_channel`] opens one over any route, [`Node::secure_channel_listener`] accepts them. Whatever
//!   lies between the two ends carries them and cannot read them. See [`channel`].
//! - **Portals.** [`Node::outlet`] offers a TCP service, [`Node::inlet`] makes it a local port elsewhere. See [`portal`].
//! - **Relays.** [`Node::register_at_relay`] makes a node reachable that listens nowhere; [`Node::relay_service`] serves such
//!   nodes. See [`relay`].
//! - **Tickets.** [`Node::expose`] offers a TCP service to whoever redeems a ticket for it, [`Node::connect_ticket`] redeems one.
//!   See [`ticket`].
//! - **Identities that last.** A [`Home`](home::Home) keeps identities, known peers and relay names on disk;
//!   [`keys::load_parties`] takes one from there for [`NodeBuilder::identity`].
//!
//! # What can be reached
//!
//! Nothing that is not exposed: each address has an [`Exposure`], which is asked what this node itself has proved
//! about the sender ([`Origin`]), never what a message claims. A message from outside opens no connection.
//!
//! # Limits, and what happens there
//!
//! Every queue has a bound in bytes. At the bound the one source is paused, or the message is refused: to a local caller
//! that is an error, and it is always an [`Event`] or counted in [`Counters`]. A byte stream that lost something is reset, and
//! never ends as if it were whole.
//!
//! The programs in `examples/` show each of these on its own.

#![forbid(unsafe_code)]

mod buffers;
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
pub mod pins;
pub mod portal;
pub mod prelude;
pub mod relay;
mod room;
mod router;
mod services;
mod shares;
pub mod store;
mod task;
mod telling;
pub mod ticket;
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
pub use services::{Echo, Service, Uppercase};
pub use worker::{Context, Delivery, Inbox, Payload, Raw, RequestError, Worker, WorkerError};

/// The randomness of keys: the operating system's.
fn keys_rng() -> impl core::crypto::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}
