//! From a finished handshake to a channel in the router.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sealway_core::channel::{Established, Opener};
use sealway_core::wire::{Address, Route};
use tokio::sync::watch;
use tokio::time::Instant;

use super::hops::EncryptorHop;
use super::{ChannelShared, Fate, Ordered, PeerRoute};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::{ChannelOrigin, Origin};
use crate::node::{Shared, lock};
use crate::router::{Endpoint, Target};

/// What a channel is made of.
pub(super) struct Parts<'a> {
    pub(super) established: Established,
    /// Our decryptor.
    pub(super) decryptor: Address,
    /// To the peer's decryptor, which is its last address.
    pub(super) peer_route: Route,
    /// How the last handshake message came.
    pub(super) origin: &'a Origin,
    /// Whether the peer's route is learned from its messages: responders do (reference, section 4.9).
    pub(super) learns: bool,
    pub(super) confined: bool,
    /// Whether payloads are delivered in order from the first one on.
    pub(super) ordered: bool,
}

/// Makes the channel. Its encryptor is not yet in use: see [`ChannelShared::publish`].
pub(super) fn install(node: &Arc<Shared>, parts: Parts<'_>) -> (Opener, Arc<ChannelShared>) {
    let Parts {
        established,
        decryptor,
        peer_route,
        origin,
        learns,
        confined,
        ordered,
    } = parts;
    let (sealer, opener) = established.session.split();
    let channel = ChannelOrigin {
        channel: node.fresh_address(),
        peer: established.peer.identifier(),
        suite: established.suite,
        level: origin.level() + 1,
        carrier: origin.source().cloned(),
        confined,
        carries: AtomicBool::new(false),
    };
    if let Origin::Channel(carrier, _) = origin {
        carrier.carries.store(true, Ordering::Release);
    }
    let peer_decryptor = peer_route
        .last()
        .cloned()
        .unwrap_or_else(|| Address::local(""));
    let shared = ChannelShared {
        origin: Arc::new(channel),
        decryptor,
        sealer: Mutex::new(sealer),
        peer_route: Mutex::new(PeerRoute {
            route: peer_route,
            decryptor: peer_decryptor,
            nonce: 0,
            learns,
        }),
        in_order: Mutex::new(Ordered::new(ordered)),
        fate: watch::Sender::new(Fate::default()),
        opened: Instant::now(),
        heard: AtomicU64::new(node.tick().0),
        // A responder has read message 3.
        confirmed: AtomicBool::new(learns),
        got_payload: AtomicBool::new(false),
        guest: OnceLock::new(),
        asked: AtomicBool::new(false),
        liveness: Mutex::default(),
        streams: AtomicUsize::new(0),
        retired: AtomicBool::new(false),
    };
    (opener, Arc::new(shared))
}

impl ChannelShared {
    /// Takes the encryptor into use: from now on local workers can send through the channel.
    pub(super) fn publish(self: &Arc<Self>, node: &Arc<Shared>) {
        let hop = EncryptorHop {
            channel: Arc::clone(self),
        };
        let address = self.origin.channel.clone();
        lock(&node.channels).insert(address.clone(), Arc::clone(self));
        node.router.insert(
            address,
            Endpoint {
                exposure: Exposure::local(),
                target: Target::Hop(Arc::new(hop)),
            },
        );
        node.router.counters.one(Count::ChannelsOpened);
        // The peer may have closed it, or the connection may have gone, before it was published.
        if let Some(reason) = self.fate.borrow().closed {
            lock(&node.channels).remove(&self.origin.channel);
            lock(&node.accepted).leave(&self.origin.channel);
            node.forget(&self.origin.channel);
            tracing::debug!(%reason, "channel ended before its first use");
        }
        let gone = self
            .first_hop()
            .is_some_and(|first| node.router.get(&first).is_none());
        if gone {
            self.close(node, super::CloseReason::Carrier, false);
        }
    }

    pub(super) fn peer_route(&self) -> Route {
        lock(&self.peer_route).route.clone()
    }
}
