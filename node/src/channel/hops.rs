//! A channel's two inline hops.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use sealway_core::channel::{ChannelError, Delivery, InOrder, Opener, message as plaintext};
use sealway_core::identity::Identity;
use sealway_core::wire::{Address, MAX_RETURN_HOPS, Route};
use tokio::time::Instant;

use super::initiator::Awaiting2;
use super::listener::Awaiting3;
use super::{ChannelShared, CloseReason, HELD_BYTES, Ordered};
use crate::counters::Count;
use crate::message::{Message, Origin};
use crate::node::{Shared, lock};
use crate::room::Room;
use crate::router::{Flushes, Hop, NoRoom, Router, Step};
use crate::telling::Line;

/// Where local workers send: seals, and sends to the peer's decryptor.
pub(super) struct EncryptorHop {
    pub(super) channel: Arc<ChannelShared>,
}

impl Hop for EncryptorHop {
    fn step(&self, router: &Router, mut message: Message, flushes: &mut Flushes) -> Step {
        let channel = &self.channel;
        let Some(own) = message.onward.pop_front() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let route = lock(&channel.peer_route).route.clone();
        // Nothing is sealed before its transport has room: what was sealed could not be taken back.
        let overhead = plaintext::payload_overhead(
            &message.onward,
            &message.return_route,
            message.payload.len(),
        );
        let brought = std::mem::take(&mut message.room);
        match router.reserve(&route, 0, message.payload.len() + overhead, brought) {
            Ok(room) => message.room = room,
            Err(NoRoom::Gone) => return Step::Refused(Count::TransportGone),
            Err(NoRoom::TooLarge) => return Step::Refused(Count::OversizedFrame),
            Err(NoRoom::Full(wanted)) => {
                message.onward.push_front(own);
                return Step::Full(message, wanted);
            }
        }
        let Message {
            onward,
            return_route,
            mut payload,
            room,
            ..
        } = message;
        plaintext::encode_payload(&mut payload, &onward, &return_route);
        // Nonce order is wire order: sealing and enqueuing are one step under the lock.
        let mut sealer = lock(&channel.sealer);
        if sealer.seal(&mut payload).is_err() {
            return Step::Refused(Count::TransportGone);
        }
        let mut outer = Message::new(route, Route::new(), payload);
        outer.room = room;
        match router.deliver(outer, flushes) {
            Ok(()) => Step::Done,
            // Room was reserved, so this is a path that ends elsewhere since: the gap is seen by the peer.
            Err(_) => Step::Refused(Count::TransportGone),
        }
    }

    fn reserve(
        &self,
        router: &Router,
        _route: &Route,
        _at: usize,
        len: usize,
        brought: Room,
    ) -> Result<Room, NoRoom> {
        // What a sealed payload adds at the most besides its routes, and two routes of usual length.
        const OVERHEAD: usize = 256;
        let route = lock(&self.channel.peer_route).route.clone();
        router.reserve(&route, 0, len + OVERHEAD, brought)
    }

    fn backlog(&self, router: &Router) -> usize {
        self.channel
            .first_hop()
            .map_or(0, |first| router.backlog(&first))
    }
}

/// What a decryptor is doing.
pub(super) enum Decrypting {
    /// An initiator waits for message 2.
    Await2(Box<Awaiting2>),
    /// A responder waits for message 3.
    Await3(Box<Awaiting3>),
    /// The channel stands.
    Open(Box<Opener>, Arc<ChannelShared>),
    /// It is over, or in the hands of the thread that handles a message right now.
    Closed,
}

/// Where the peer's handshake messages and ciphertext arrive.
pub(super) struct DecryptorHop {
    pub(super) state: Mutex<Decrypting>,
    pub(super) node: Weak<Shared>,
    pub(super) address: Address,
}

impl Hop for DecryptorHop {
    fn step(&self, router: &Router, message: Message, flushes: &mut Flushes) -> Step {
        let Some(node) = self.node.upgrade() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let mut state = lock(&self.state);
        if let Decrypting::Open(opener, channel) = &mut *state {
            let channel = Arc::clone(channel);
            return open(&node, opener, &channel, message);
        }
        match std::mem::replace(&mut *state, Decrypting::Closed) {
            Decrypting::Await2(awaiting) => {
                *state = (*awaiting).message2(&node, &self.address, &message);
                Step::Done
            }
            Decrypting::Await3(awaiting) => {
                *state = (*awaiting).message3(&node, &self.address, &message, flushes);
                Step::Done
            }
            Decrypting::Open(..) | Decrypting::Closed => {
                router.counters.one(Count::UnknownAddress);
                Step::Done
            }
        }
    }
}

/// Opens one ciphertext and says what follows from it.
fn open(
    node: &Arc<Shared>,
    opener: &mut Opener,
    channel: &Arc<ChannelShared>,
    mut message: Message,
) -> Step {
    let nonce = match opener.open(&mut message.payload, node.tick()) {
        Ok(nonce) => nonce,
        Err(ChannelError::Replayed { .. }) => return Step::Refused(Count::FramesReplayed),
        Err(error) => {
            tracing::debug!(peer = %channel.origin.peer, %error, "frame refused");
            return Step::Refused(Count::FramesRefused);
        }
    };
    channel.hear(node);
    let inner = match plaintext::decode(message.payload.as_slice()) {
        Ok(plaintext::Plaintext::Payload {
            onward,
            return_route,
            payload,
        }) => {
            if !channel.admits(node, &onward) {
                return Step::Done;
            }
            channel.got_payload.store(true, Ordering::Relaxed);
            learn_route(channel, nonce, &message);
            inner_message(channel, nonce, message, onward, return_route, payload)
        }
        Ok(plaintext::Plaintext::Close) => {
            let refused = !channel.got_payload.load(Ordering::Relaxed) && nonce == 0;
            channel.close(
                node,
                if refused {
                    CloseReason::Refused
                } else {
                    CloseReason::Peer
                },
                false,
            );
            return Step::Done;
        }
        Ok(plaintext::Plaintext::RefreshCredentials { history, .. }) => {
            // A guest may redeem a ticket and nothing else.
            if !channel.admits(node, &Route::new()) {
                return Step::Done;
            }
            refresh(
                node,
                channel,
                message.payload.as_slice().get(history).unwrap_or(&[]),
            );
            None
        }
        Err(error) => {
            tracing::debug!(peer = %channel.origin.peer, %error, "authentic but undecodable");
            node.router.counters.one(Count::Undecodable);
            None
        }
    };
    in_order(node, channel, nonce, inner)
}

/// The decrypted message, on its way to a local worker; `None` if it has gone too far already.
fn inner_message(
    channel: &ChannelShared,
    nonce: u64,
    outer: Message,
    onward: Route,
    mut return_route: Route,
    payload: std::ops::Range<usize>,
) -> Option<Message> {
    return_route.push_front(channel.origin.channel.clone());
    if return_route.len() > MAX_RETURN_HOPS || onward.is_empty() {
        return None;
    }
    let mut frame = outer.payload;
    frame.narrow(payload);
    let origin = Origin::Channel(Arc::clone(&channel.origin), nonce);
    Some(Message {
        onward,
        return_route,
        payload: frame,
        origin,
        room: Room::default(),
    })
}

/// Passes on what is in order now. Under byte streams nothing overtakes.
fn in_order(
    node: &Shared,
    channel: &ChannelShared,
    nonce: u64,
    mut inner: Option<Message>,
) -> Step {
    let mut ordered = lock(&channel.in_order);
    if let Some(message) = inner.as_mut().filter(|_| ordered.queue.is_early(nonce)) {
        message.payload.compact();
    }
    let len = inner.as_ref().map_or(0, Message::cost);
    let mut ready = match ordered.queue.push(nonce, len, inner) {
        Delivery::Ready(message) if !ordered.queue.is_waiting() => {
            return message.map_or(Step::Done, Step::Next);
        }
        Delivery::Ready(message) => Vec::from_iter(message),
        Delivery::Held => Vec::new(),
        Delivery::Gap(_) => {
            gap(node, channel);
            Vec::new()
        }
        // Its stream was reset when the gap was given up, or it was sent before anybody needed the order.
        Delivery::Late(message) => return message.map_or(Step::Done, Step::Next),
    };
    ready.extend(ordered.drain());
    // What waits behind another gap than before has a deadline of its own.
    let moved = !ready.is_empty();
    ordered.since = match ordered.since {
        _ if !ordered.queue.is_waiting() => None,
        Some(since) if !moved => Some(since),
        _ => Some(Instant::now()),
    };
    match ready.len() {
        0 => Step::Done,
        1 => ready.pop().map_or(Step::Done, Step::Next),
        _ => Step::Batch(ready),
    }
}

/// A message is lost for good: byte streams over this channel must be reset.
pub(super) fn gap(node: &Shared, channel: &ChannelShared) {
    node.router.counters.one(Count::ChannelGaps);
    channel.fate.send_modify(|fate| fate.gaps += 1);
}

impl Ordered {
    /// In order from the first message on, or not before a stream asks for it.
    pub(super) fn new(from_the_first: bool) -> Self {
        Self {
            queue: if from_the_first {
                InOrder::new(HELD_BYTES)
            } else {
                InOrder::unordered(HELD_BYTES)
            },
            since: None,
        }
    }

    /// What follows without a gap.
    fn drain(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.queue.pop()).flatten().collect()
    }

    /// Gives up waiting for what is missing; what was held goes on.
    pub(super) fn give_up(&mut self) -> Vec<Message> {
        self.queue.lost();
        let ready = self.drain();
        // What waits behind another gap has a deadline of its own.
        self.since = self.queue.is_waiting().then(Instant::now);
        ready
    }
}

/// A responder follows its peer: replies go the way that the newest message came (reference, section 4.9).
fn learn_route(channel: &ChannelShared, nonce: u64, outer: &Message) {
    let mut peer = lock(&channel.peer_route);
    // A channel never comes to lie inside one that is not below it: that could be itself.
    if !peer.learns || nonce <= peer.nonce || outer.origin.level() >= channel.origin.level {
        return;
    }
    if outer.return_route.is_empty() {
        return;
    }
    peer.nonce = nonce;
    if let Origin::Channel(carrier, _) = &outer.origin {
        carrier.carries.store(true, Ordering::Release);
    }
    let same = peer.route.len() == outer.return_route.len() + 1
        && peer
            .route
            .iter()
            .zip(outer.return_route.iter())
            .all(|(known, new)| known == new);
    if !same {
        let mut route = outer.return_route.clone();
        route.push_back(peer.decryptor.clone());
        peer.route = route;
    }
}

/// The peer rotated, or renewed a credential: its new history must continue the one we know.
fn refresh(node: &Arc<Shared>, channel: &ChannelShared, history: &[u8]) {
    let outcome = Identity::import(history, Some(&channel.origin.peer))
        .map_err(|error| error.to_string())
        .and_then(|identity| {
            node.histories
                .accept(&identity, node.now())
                .map_err(|error| error.to_string())
        });
    if let Err(error) = outcome {
        node.router.counters.one(Count::HistoriesRefused);
        let line = format!(
            "refreshed history of {} refused: {error}",
            channel.origin.peer
        );
        node.tell(Count::HistoriesRefused, Line::Warning(line));
    }
}
