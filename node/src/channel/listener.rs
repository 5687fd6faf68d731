//! Accepting secure channels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use sealway_core::channel::{AwaitMessage3, LocalParty, Responder, Suite, Trust};
use sealway_core::wire::{Address, Frame, Route};
use tokio::time::Instant;

use super::hops::{Decrypting, DecryptorHop};
use super::{Channel, ChannelShared, CloseReason, HANDSHAKE_DEADLINE, MAX_LEVEL, install};
use crate::counters::Count;
use crate::event::Event;
use crate::exposure::{Access, Exposure};
use crate::message::{Message, Origin};
use crate::node::{AddressInUse, Node, Shared, lock, route_to};
use crate::room::Room;
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::shares::{self, Admission, Source};
use crate::telling::Line;

/// Half-finished handshakes at a listener: 1,024, each under 4 KiB. Beyond, one that was drawn is given up.
const MAX_HALF_OPEN: usize = 1_024;
/// Half-finished handshakes that came the same way.
const MAX_HALF_OPEN_PER_WAY: usize = 64;

/// Room reserved for message 2: an identity with a few changes and one credential.
const MESSAGE2_ROOM: usize = 4_096;

/// How to accept channels.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Who may reach anything here. The handshake is finished with any identity; a peer that may reach nothing gets an
    /// encrypted Close at once. The resource asked for is the listener's address.
    pub access: Access,
    /// The suite to speak; `None` is what callers expect of that name ([`Suite::spoken_at`]). Handshakes of another are refused.
    pub suite: Option<Suite>,
    /// Whether a peer that may reach nothing is kept for ten seconds, in which it may redeem a ticket and nothing else: see
    /// [`Node::expose`].
    pub guests: bool,
}

impl ListenerOptions {
    /// For whom `access` admits, in the suite that the listener's name says, and no guests.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self {
            access,
            suite: None,
            guests: false,
        }
    }
}

/// A listener for secure channels. It goes on when dropped; see [`Node::stop_worker`].
#[derive(Clone)]
pub struct ChannelListener {
    address: Address,
}

impl ChannelListener {
    /// The listener's address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

struct HalfOpen {
    /// The return route without the peer's own address.
    way: Route,
    /// Its first hop, which alone is proved.
    hop: Option<Address>,
    since: Instant,
}

struct ListenerHop {
    address: Address,
    suite: Suite,
    access: Access,
    guests: bool,
    node: Weak<Shared>,
    half_open: Arc<Mutex<HashMap<Address, HalfOpen>>>,
}

/// A responder between messages 2 and 3.
pub(super) struct Awaiting3 {
    state: AwaitMessage3,
    return_route: Route,
    access: Access,
    guests: bool,
    resource: String,
    half_open: Arc<Mutex<HashMap<Address, HalfOpen>>>,
}

impl Node {
    /// Accepts secure channels at `address`: `sealway_xx1`, or `api` for nodes of the reference.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn secure_channel_listener(
        &self,
        address: impl Into<Address>,
        options: ListenerOptions,
    ) -> Result<ChannelListener, AddressInUse> {
        let address = address.into();
        let half_open: Arc<Mutex<HashMap<Address, HalfOpen>>> = Arc::default();
        let hop = ListenerHop {
            address: address.clone(),
            suite: options.suite.unwrap_or_else(|| Suite::spoken_at(&address)),
            access: options.access,
            guests: options.guests,
            node: Arc::downgrade(self.shared()),
            half_open: Arc::clone(&half_open),
        };
        // Whoever can send here can start a handshake; what comes of it is decided by who they prove to be.
        let endpoint = Endpoint {
            exposure: Exposure::anyone(),
            target: Target::Hop(Arc::new(hop)),
        };
        if !self.shared().router.insert(address.clone(), endpoint) {
            return Err(AddressInUse(address.to_string()));
        }
        self.shared().spawn(expire(
            Arc::downgrade(self.shared()),
            address.clone(),
            half_open,
        ));
        Ok(ChannelListener { address })
    }
}

impl Hop for ListenerHop {
    fn step(&self, router: &Router, message: Message, _flushes: &mut Flushes) -> Step {
        let Some(node) = self.node.upgrade() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let Ok(party) = node.party(self.suite) else {
            return Step::Refused(Count::HandshakesRefused);
        };
        if message.origin.level() >= MAX_LEVEL {
            return Step::Refused(Count::TooManyHops);
        }
        let source = shares::source(&node, &message.origin, &message.return_route);
        // Not worth its Diffie-Hellman either.
        if lock(&node.accepted).admission(&source, None) == Admission::Refused {
            return Step::Refused(Count::HandshakesRefused);
        }
        // An answer that has nowhere to go, or no room to go now, is not worth its Diffie-Hellman.
        let back = &message.return_route;
        let room = match router.reserve(back, 0, MESSAGE2_ROOM, Room::default()) {
            Ok(room) => room,
            Err(_) => return Step::Refused(Count::HandshakesRefused),
        };
        let message1 = message.payload.as_slice();
        let Some((message2, state)) = respond(&party, &self.address, message1) else {
            return Step::Refused(Count::HandshakesRefused);
        };
        let decryptor = node.fresh_address();
        let awaiting = Awaiting3 {
            state,
            return_route: message.return_route.clone(),
            access: self.access.clone(),
            guests: self.guests,
            resource: String::from_utf8_lossy(self.address.value()).into_owned(),
            half_open: Arc::clone(&self.half_open),
        };
        let hop = DecryptorHop {
            state: Mutex::new(Decrypting::Await3(Box::new(awaiting))),
            node: self.node.clone(),
            address: decryptor.clone(),
        };
        let endpoint = Endpoint {
            exposure: Exposure::anyone(),
            target: Target::Hop(Arc::new(hop)),
        };
        router.insert(decryptor.clone(), endpoint);
        // Not before it is in use: who is given up meanwhile must be found there.
        self.admit(&node, &decryptor, &message.return_route);
        let mut reply = Message::new(
            message.return_route,
            route_to(&decryptor),
            Frame::from_slice(&message2),
        );
        reply.room = room;
        Step::Next(reply)
    }
}

/// Reads message 1 and writes message 2; `None` if it is none.
fn respond(
    party: &Arc<LocalParty>,
    listener: &Address,
    message1: &[u8],
) -> Option<(Vec<u8>, AwaitMessage3)> {
    let responder = Responder::new(party, listener)
        .read_message1(message1)
        .ok()?;
    responder.write_message2(&mut crate::keys_rng()).ok()
}

impl ListenerHop {
    /// Enters a handshake into the books; where there are too many, others are given up for it.
    fn admit(&self, node: &Shared, decryptor: &Address, return_route: &Route) {
        let mut way = return_route.clone();
        way.pop_back();
        let mut half_open = lock(&self.half_open);
        let same_way: Vec<_> = half_open
            .iter()
            .filter(|(_, half)| half.way == way)
            .map(|(at, _)| at.clone())
            .collect();
        let victim = if same_way.len() >= MAX_HALF_OPEN_PER_WAY {
            drawn(&same_way)
        } else if half_open.len() >= MAX_HALF_OPEN {
            drawn(&most_crowded(&half_open))
        } else {
            None
        };
        if let Some(victim) = victim {
            half_open.remove(&victim);
            node.forget(&victim);
            node.router.counters.one(Count::HandshakesEvicted);
        }
        half_open.insert(
            decryptor.clone(),
            HalfOpen {
                way,
                hop: return_route.first().cloned(),
                since: Instant::now(),
            },
        );
    }
}

/// The handshakes that came by the one connection or channel which has the most of them: the rest of a way is the sender's
/// word, and a flood by one connection must not push out what came by others.
fn most_crowded(half_open: &HashMap<Address, HalfOpen>) -> Vec<Address> {
    let mut by_hop: HashMap<Option<&Address>, Vec<Address>> = HashMap::new();
    for (at, half) in half_open {
        by_hop
            .entry(half.hop.as_ref())
            .or_default()
            .push(at.clone());
    }
    by_hop
        .into_values()
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

/// One of `candidates`, at random, so that a flood cannot aim.
fn drawn(candidates: &[Address]) -> Option<Address> {
    let random = usize::try_from(getrandom::u32().unwrap_or(0)).unwrap_or(0);
    candidates
        .get(random.checked_rem(candidates.len())?)
        .cloned()
}

impl Awaiting3 {
    /// Reads what claims to be message 3. A forged one changes nothing.
    pub(super) fn message3(
        self,
        node: &Arc<Shared>,
        decryptor: &Address,
        message: &Message,
        _flushes: &mut Flushes,
    ) -> Decrypting {
        let Self {
            state,
            return_route,
            access,
            guests,
            resource,
            half_open,
        } = self;
        // Any identity may finish: trust decides what it can reach.
        let established =
            match state.read_message3(message.payload.as_slice(), node.now(), &Trust::Everyone) {
                Ok(established) => established,
                Err(failed) => {
                    node.router.counters.one(Count::HandshakesRefused);
                    tracing::debug!(error = %failed.error, "message 3 refused");
                    let again = Self {
                        state: failed.state,
                        return_route,
                        access,
                        guests,
                        resource,
                        half_open,
                    };
                    return Decrypting::Await3(Box::new(again));
                }
            };
        if lock(&half_open).remove(decryptor).is_none() {
            // Given up a moment ago, and its address with it: nothing would arrive.
            return Decrypting::Closed;
        }
        if let Err(error) = node.histories.accept(&established.peer, node.now()) {
            node.router.counters.one(Count::HandshakesRefused);
            node.tell(Count::HandshakesRefused, Line::Refused(error.to_string()));
            node.forget(decryptor);
            return Decrypting::Closed;
        }
        let (peer, suite) = (established.peer.identifier(), established.suite);
        let source = shares::source(node, &message.origin, &return_route);
        let parts = install::Parts {
            established,
            decryptor: decryptor.clone(),
            peer_route: return_route,
            origin: &message.origin,
            learns: true,
            confined: false,
            ordered: false,
        };
        let (opener, channel) = install::install(node, parts);
        if let Err(error) = node.judge_suite(&peer, suite) {
            refuse(node, &channel, error.to_string());
            return Decrypting::Closed;
        }
        let is_guest = !access.admits(&peer, &resource);
        if is_guest && !guests {
            refuse(node, &channel, format!("{peer} may reach nothing here"));
            return Decrypting::Closed;
        }
        if !take_place(node, &channel, source) {
            node.router.counters.one(Count::HandshakesRefused);
            channel.close(node, CloseReason::Crowded, false);
            return Decrypting::Closed;
        }
        if is_guest {
            channel.receive_guest(node, access.clone(), resource.clone());
        }
        channel.publish(node);
        // Whoever takes something back from here on finds the channel, and ends it. What was taken back before is seen now.
        if let Err(error) = node.judge_suite(&peer, suite) {
            refuse(node, &channel, error.to_string());
            return Decrypting::Closed;
        }
        if !is_guest && !access.admits(&peer, &resource) {
            refuse(node, &channel, format!("{peer} may reach nothing here"));
            return Decrypting::Closed;
        }
        if !is_guest {
            node.emit(Event::Peer {
                identifier: peer,
                suite: channel.origin.suite,
            });
        }
        Decrypting::Open(Box::new(opener), channel)
    }
}

/// Ends a channel whose peer may reach nothing by it; the Close tells it that the refusal is ours.
pub(super) fn refuse(node: &Arc<Shared>, channel: &ChannelShared, why: String) {
    node.router.counters.one(Count::PeersRefused);
    node.tell(Count::PeersRefused, Line::Refused(why));
    channel.close(node, CloseReason::Local, true);
}

/// Enters a channel that was accepted into the books. Where there are too many, one of the source that has the most ends for
/// it: of some that were drawn, the one that has been silent the longest. `false`: this source itself has the most.
fn take_place(node: &Arc<Shared>, channel: &ChannelShared, source: Source) -> bool {
    let peer = channel.origin.peer;
    loop {
        let drawn = {
            let mut accepted = lock(&node.accepted);
            match accepted.admission(&source, Some(&peer)) {
                Admission::Room => {
                    accepted.enter(channel.origin.channel.clone(), source, Some(peer));
                    return true;
                }
                Admission::InPlaceOf(drawn) => drawn,
                Admission::Refused => return false,
            }
        };
        let silent_longest = {
            let channels = lock(&node.channels);
            let drawn = drawn.iter().filter_map(|at| channels.get(at));
            drawn.max_by_key(|channel| channel.silence(node)).cloned()
        };
        let Some(victim) = silent_longest else {
            // All of them are just ending, or not yet published: this one has no place.
            return false;
        };
        node.router.counters.one(Count::ChannelsEvicted);
        victim.close(node, CloseReason::Crowded, true);
    }
}

/// Gives up handshakes that are not finished in time.
async fn expire(
    node: Weak<Shared>,
    listener: Address,
    half_open: Arc<Mutex<HashMap<Address, HalfOpen>>>,
) {
    let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        let listens = node.router.get(&listener).is_some();
        lock(&half_open).retain(|decryptor, half| {
            let keep = listens && half.since.elapsed() < HANDSHAKE_DEADLINE;
            if !keep {
                node.forget(decryptor);
                node.router.counters.one(Count::HandshakesExpired);
            }
            keep
        });
        if !listens {
            return;
        }
    }
}

impl Channel {
    /// The channel that a message came through, for a worker that wants to send on it later.
    #[must_use]
    pub fn of(node: &Node, origin: &Origin) -> Option<Self> {
        let Origin::Channel(origin, _) = origin else {
            return None;
        };
        let shared = lock(&node.shared().channels)
            .get(&origin.channel)
            .cloned()?;
        Some(Self {
            shared,
            node: Arc::clone(node.shared()),
        })
    }
}
