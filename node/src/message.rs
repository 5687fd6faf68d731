//! The one message type, and what this node has proved about where a message came from.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;
use sealway_core::wire::{Address, Frame, Route};

use crate::room::Room;

/// A message inside a node (reference, section 1.3).
#[derive(Debug)]
pub struct Message {
    /// Where it goes; the first address is the one that receives it now.
    pub onward: Route,
    /// Where replies go.
    pub return_route: Route,
    /// The payload, with headroom for the headers that it will still get.
    pub payload: Frame,
    /// What this node itself has proved about the sender. Never read from the wire.
    pub origin: Origin,
    /// Room that was reserved at the end of the local path before the message was sealed.
    pub(crate) room: Room,
}

impl Message {
    /// A message made by this node.
    #[must_use]
    pub fn new(onward: Route, return_route: Route, payload: Frame) -> Self {
        Self {
            onward,
            return_route,
            payload,
            origin: Origin::Local,
            room: Room::default(),
        }
    }

    /// Bytes that this message is charged with in a mailbox.
    pub(crate) fn cost(&self) -> usize {
        const HEADERS: usize = 256;
        self.payload.len() + HEADERS + self.routes_cost()
    }

    /// Bytes that its routes take: a sender's words can be much longer than what it says.
    pub(crate) fn routes_cost(&self) -> usize {
        const HOP: usize = 24;
        let hops = self.onward.iter().chain(self.return_route.iter());
        hops.map(|hop| hop.value().len() + HOP).sum()
    }
}

/// Where a message came from: what was proved, never what was claimed.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A worker of this node.
    Local,
    /// A bare transport connection: nothing is known but the connection.
    Transport(Arc<TransportOrigin>),
    /// A secure channel, with the message's sequence number in it.
    Channel(Arc<ChannelOrigin>, u64),
}

/// A connection that messages came by.
#[derive(Debug)]
pub struct TransportOrigin {
    /// The connection's address in this node.
    pub link: Address,
    /// The transport's name, such as `tcp`.
    pub transport: &'static str,
    /// The other end, for people.
    pub peer: String,
}

/// A secure channel that messages came by.
#[derive(Debug)]
pub struct ChannelOrigin {
    /// The channel's encryptor: its address in this node.
    pub channel: Address,
    /// The authenticated peer.
    pub peer: Identifier,
    /// The suite of its handshake.
    pub suite: Suite,
    /// How many channels lie inside each other here: 1 over a transport.
    pub level: u8,
    /// The connection that the handshake came by.
    pub carrier: Option<Address>,
    /// This channel carries a registration at a relay: it reaches nothing but channel listeners,
    /// whoever the relay is.
    pub confined: bool,
    /// Whether another channel has been found to lie inside this one.
    pub(crate) carries: AtomicBool,
}

impl Origin {
    /// The address in this node of the connection or channel that the message came by.
    #[must_use]
    pub fn source(&self) -> Option<&Address> {
        match self {
            Origin::Local => None,
            Origin::Transport(origin) => Some(&origin.link),
            Origin::Channel(origin, _) => Some(&origin.channel),
        }
    }

    /// The authenticated peer, if the message came through a secure channel.
    #[must_use]
    pub fn peer(&self) -> Option<&Identifier> {
        match self {
            Origin::Channel(origin, _) => Some(&origin.peer),
            Origin::Local | Origin::Transport(_) => None,
        }
    }

    /// Whether the message came from outside this node.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        !matches!(self, Origin::Local)
    }

    pub(crate) fn level(&self) -> u8 {
        match self {
            Origin::Channel(origin, _) => origin.level,
            Origin::Local | Origin::Transport(_) => 0,
        }
    }
}
