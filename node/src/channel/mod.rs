//! Secure channels over routes: the node's driver of the state machines in core.
//!
//! A channel has two addresses here: its *encryptor*, where local workers send, and its *decryptor*, where ciphertext
//! arrives. Both are inline hops. The handshake runs on the thread of whoever delivers its messages, so that its cost falls on
//! the connection that caused it.

pub mod floors;
mod guests;
pub mod histories;
mod hops;
mod initiator;
mod install;
pub(crate) mod kept;
mod listener;
pub(crate) mod watch;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sealway_core::channel::{InOrder, RECORD_OVERHEAD, Sealer, Suite, message as plaintext};
use sealway_core::identity::Identifier;
use sealway_core::wire::{Address, Frame, Route};
use tokio::sync::watch as signal;
use tokio::time::Instant;

use crate::counters::Count;
use crate::message::{ChannelOrigin, Message};
use crate::node::{Node, SendError, Shared, lock};
use crate::room::Room;
use crate::router::{Flushes, NoRoom};

pub use initiator::{ChannelOptions, OpenError};
pub use listener::{ChannelListener, ListenerOptions};

/// A handshake must be finished within this time.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes held behind a gap at the most, besides core's 32 messages: 8 MiB. At the bound the gap counts as lost.
const HELD_BYTES: usize = 8 << 20;
/// A peer that answers questions does so within this time when it is asked first.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// Channels that may lie inside each other.
pub(crate) const MAX_LEVEL: u8 = 8;

/// Why a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    Local,
    /// The peer closed it with an encrypted Close.
    Peer,
    /// The peer closed it before it sent any payload: we may reach nothing there.
    Refused,
    /// The connection under it is gone.
    Carrier,
    /// Others needed its place, and its source had the most.
    Crowded,
    /// The peer fell silent.
    Silent,
    /// Its nonces are used up.
    Exhausted,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::Local => "closed here",
            CloseReason::Peer => "closed by the peer",
            CloseReason::Refused => "refused by the peer",
            CloseReason::Carrier => "the connection under it is gone",
            CloseReason::Crowded => "its place was needed for others",
            CloseReason::Silent => "the peer fell silent",
            CloseReason::Exhausted => "its nonces are used up",
        })
    }
}

/// What streams over a channel need to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Gaps in the sequence that could not be filled so far.
    pub(crate) gaps: u32,
    /// Why the channel ended, once it has.
    pub(crate) closed: Option<CloseReason>,
}

/// One established channel.
pub(crate) struct ChannelShared {
    pub(crate) origin: Arc<ChannelOrigin>,
    pub(crate) decryptor: Address,
    sealer: Mutex<Sealer>,
    peer_route: Mutex<PeerRoute>,
    in_order: Mutex<Ordered>,
    pub(crate) fate: signal::Sender<Fate>,
    pub(crate) opened: Instant,
    /// Milliseconds since the node's start when something authentic arrived last.
    heard: AtomicU64,
    /// Whether anything authentic has come from the peer since the handshake, or was its end.
    confirmed: AtomicBool,
    got_payload: AtomicBool,
    /// Set as long as the peer may do nothing but redeem a ticket.
    guest: OnceLock<guests::Guest>,
    /// Whether the peer has asked for a redemption: once a channel.
    pub(crate) asked: AtomicBool,
    pub(crate) liveness: Mutex<watch::Liveness>,
    streams: AtomicUsize,
    /// Another channel has taken its place: it ends with its last stream.
    retired: AtomicBool,
}

struct PeerRoute {
    route: Route,
    /// The last address: the peer's decryptor.
    decryptor: Address,
    /// The highest nonce whose outer return route was taken over.
    nonce: u64,
    learns: bool,
}

/// Reordering for byte streams, and since when it holds something.
struct Ordered {
    queue: InOrder<Option<Message>>,
    since: Option<Instant>,
}

/// A secure channel of this node. Cheap to clone. The channel lives until one end closes it or falls silent.
#[derive(Clone)]
pub struct Channel {
    pub(crate) shared: Arc<ChannelShared>,
    pub(crate) node: Arc<Shared>,
}

impl Channel {
    /// The encryptor: routes through the channel begin with it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.origin.channel
    }

    /// The route through the channel to `beyond` in the peer's node: `channel.to("echo")`, `channel.to(["hop", "echo"])`.
    #[must_use]
    pub fn to(&self, beyond: impl Into<Route>) -> Route {
        let mut route = beyond.into();
        route.push_front(self.address().clone());
        route
    }

    /// The authenticated peer.
    #[must_use]
    pub fn peer(&self) -> &Identifier {
        &self.shared.origin.peer
    }

    /// The suite of its handshake: what protects the channel once it is recorded.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.shared.origin.suite
    }

    /// The age of the channel.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.shared.opened.elapsed()
    }

    /// Why the channel ended, once it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.fate.borrow().closed
    }

    /// Resolves when the channel has ended.
    pub async fn closed(&self) -> CloseReason {
        let mut fate = self.shared.fate.subscribe();
        match fate.wait_for(|fate| fate.closed.is_some()).await {
            Ok(fate) => fate.closed.unwrap_or(CloseReason::Local),
            Err(_) => CloseReason::Local,
        }
    }

    /// Ends the channel once the last stream over it has ended, and asks for signs of life until then.
    pub(crate) fn retire(&self) {
        self.shared.retired.store(true, Ordering::Release);
    }

    /// The peer is asked for signs of life from now on: somebody depends on the channel. Whether it answers at all is found out
    /// here and now, for a second at the most: only a peer that has answered before can be found silent while it is idle. True once
    /// that is known, or the channel has ended.
    pub(crate) async fn depend(&self) -> bool {
        lock(&self.shared.liveness).wanted = true;
        let node = Node::from_shared(Arc::clone(&self.node));
        let question = Frame::from_slice(&[0]);
        tokio::select! {
            answer = node.request::<Frame>(self.to("echo"), question, ANSWER_PATIENCE) => {
                if answer.is_ok() {
                    lock(&self.shared.liveness).answers();
                }
                answer.is_ok()
            }
            _ = self.closed() => true,
        }
    }

    /// Whether the peer has answered a question.
    pub(crate) fn has_answered(&self) -> bool {
        lock(&self.shared.liveness).has_answered()
    }

    /// The peer has answered questions in the channel that this one replaces.
    pub(crate) fn expect_answers(&self) {
        lock(&self.shared.liveness).expect();
    }

    /// Closes the channel and tells the peer.
    pub fn close(&self) {
        self.shared.close(&self.node, CloseReason::Local, true);
    }

    /// Sends our history and `credentials` to the peer, after a rotation or a renewed credential (reference, section 4.8).
    /// Each credential is an encoded `CredentialAndPurposeKey`.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no room now, [`SendError::Gone`] if the connection is gone or the nonces are used up:
    /// nothing was sent.
    pub fn refresh_credentials(
        &self,
        history: &[u8],
        credentials: &[Vec<u8>],
    ) -> Result<(), SendError> {
        self.shared
            .send_plaintext(&self.node, plaintext::encode_refresh(history, credentials))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({} with {})", self.address(), self.peer())
    }
}

impl ChannelShared {
    pub(crate) fn stream_began(&self) {
        self.streams.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn stream_ended(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Whether the peer opened the channel.
    pub(crate) fn is_accepted(&self) -> bool {
        lock(&self.peer_route).learns
    }

    pub(crate) fn first_hop(&self) -> Option<Address> {
        lock(&self.peer_route).route.first().cloned()
    }

    /// Whether other channels come by the connection or channel that this one lies over, as they do where a relay is between.
    pub(crate) fn shares_way(&self, node: &Shared) -> bool {
        let way = self.first_hop();
        lock(&node.channels)
            .values()
            .filter(|channel| channel.first_hop() == way)
            .nth(1)
            .is_some()
    }

    /// A stream got no answer. If nothing else has ever come either, the peer knows nothing of this channel.
    pub(crate) fn unanswered(&self, node: &Shared) {
        if !self.confirmed.load(Ordering::Relaxed) {
            node.router.counters.one(Count::ChannelsLost);
            self.close(node, CloseReason::Silent, true);
        }
    }

    /// Remembers when the peer was heard last.
    fn hear(&self, node: &Shared) {
        self.heard.store(node.tick().0, Ordering::Relaxed);
        self.confirmed.store(true, Ordering::Relaxed);
    }

    /// Since when nothing authentic has arrived.
    pub(crate) fn silence(&self, node: &Shared) -> Duration {
        Duration::from_millis(
            node.tick()
                .0
                .saturating_sub(self.heard.load(Ordering::Relaxed)),
        )
    }

    /// What is sent from now on is delivered in nonce order, and a gap in it is told (protocols.md section 4): byte streams
    /// need it.
    pub(crate) fn deliver_in_order(&self) {
        lock(&self.in_order).queue.begin();
    }

    /// Seals a plaintext that is no user message and sends it along the peer's route if there is room.
    fn send_plaintext(&self, node: &Shared, mut plaintext: Frame) -> Result<(), SendError> {
        let gone = || SendError::Gone(self.origin.channel.to_string());
        let route = lock(&self.peer_route).route.clone();
        let len = plaintext.len() + RECORD_OVERHEAD;
        // As for every message: nothing is sealed before its transport has room.
        let room = match node.router.reserve(&route, 0, len, Room::default()) {
            Ok(room) => room,
            Err(NoRoom::Full(_)) => return Err(SendError::Full(self.origin.channel.to_string())),
            Err(NoRoom::TooLarge) => {
                return Err(SendError::Refused(Count::OversizedFrame.name()));
            }
            Err(NoRoom::Gone) => return Err(gone()),
        };
        let mut flushes = Flushes::default();
        {
            let mut sealer = lock(&self.sealer);
            sealer.seal(&mut plaintext).map_err(|_| gone())?;
            // The reference sends these with its encryptor as the outer return route; receivers must not depend on it.
            let mut outer = Message::new(route, Route::new(), plaintext);
            outer.room = room;
            node.send_now(outer, &mut flushes);
        }
        flushes.run();
        Ok(())
    }

    /// Ends the channel once: both addresses go, streams are told and, with `tell`, the peer.
    pub(crate) fn close(&self, node: &Shared, reason: CloseReason, tell: bool) {
        let first = self.fate.send_if_modified(|fate| {
            let first = fate.closed.is_none();
            if first {
                fate.closed = Some(reason);
            }
            first
        });
        if !first {
            return;
        }
        if tell {
            // A channel whose nonces are used up, or whose connection is full, ends without a Close.
            let _ = self.send_plaintext(node, plaintext::encode_close());
        }
        node.forget(&self.decryptor);
        node.forget(&self.origin.channel);
        node.hop_gone(&self.origin.channel);
        lock(&node.channels).remove(&self.origin.channel);
        lock(&node.accepted).leave(&self.origin.channel);
        node.router.counters.one(Count::ChannelsClosed);
        tracing::debug!(peer = %self.origin.peer, %reason, "channel closed");
        if self.origin.carries.load(Ordering::Acquire) {
            carrier_lost(node, &self.origin.channel);
        }
    }
}

/// A connection or channel is gone: the channels whose messages left by it end, and those inside them.
pub(crate) fn carrier_lost(node: &Shared, link: &Address) {
    let carried: Vec<_> = lock(&node.channels)
        .values()
        .filter(|channel| channel.first_hop().as_ref() == Some(link))
        .cloned()
        .collect();
    for channel in carried {
        channel.close(node, CloseReason::Carrier, false);
    }
}
