//! Transports: how routing messages get from node to node.
//!
//! A transport is anything that can carry a routing message (reference, section 1.4). It hands the node an
//! [`Egress`] for each connection and gets an [`Ingress`] for what arrives; see [`crate::Node::attach`]. TCP, Unix
//! sockets and a simulated network in memory are built in, on the same two types that a transport of your own uses.

pub mod memory;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod unix;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealway_core::wire::{
    self, Address, AddressType, Frame, MAX_RETURN_HOPS, Route, RoutingMessage,
};
use tokio::sync::watch;

use crate::counters::Count;
use crate::message::{Message, Origin, TransportOrigin};
use crate::node::{Node, Shared};
use crate::room::{Reservoir, Room};
use crate::router::{Bottleneck, Flush, Flushes, Hop, NoRoom, Router, Step, Undelivered, Wanted};
use crate::telling::Line;

/// How long a queue that others wait for may stand still before it is given up.
pub(crate) const STALL: Duration = Duration::from_secs(10);

/// A boxed future, so that [`Transport`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a connection or a listener could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is not one of this transport.
    #[error("{address:?} is not an address of the {transport} transport: {why}")]
    BadAddress {
        /// The transport.
        transport: &'static str,
        /// What was given.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No transport of this name was given to the node.
    #[error("no transport {0:?} in this node")]
    Unknown(String),
    /// The name has no address.
    #[error("{host} cannot be resolved: {source}")]
    Unresolvable {
        /// The host name.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// Connecting failed.
    #[error("{peer} cannot be reached: {source}")]
    Unreachable {
        /// Whom it was to reach.
        peer: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Listening failed.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The node has been shut down.
    #[error("the node is shut down")]
    ShutDown,
}

/// A way to carry routing messages. Give yours to [`crate::NodeBuilder::transport`].
pub trait Transport: Send + Sync + 'static {
    /// The transport's name: the scheme of its addresses (`tcp:…`).
    fn name(&self) -> &'static str;

    /// The type of its addresses in routes (reference, section 1.1).
    fn address_type(&self) -> AddressType;

    /// Connects to `peer` and attaches the connection to `node`.
    ///
    /// # Errors
    /// [`TransportError`] when there is no such peer.
    fn connect<'a>(
        &'a self,
        node: &'a Node,
        peer: &'a str,
    ) -> BoxFuture<'a, Result<Link, TransportError>>;

    /// Listens at `address`, attaching each connection that comes, until the node shuts down or the
    /// [`Listening`] is closed.
    ///
    /// # Errors
    /// [`TransportError`] when it cannot listen there.
    fn listen<'a>(
        &'a self,
        node: &'a Node,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Listening, TransportError>>;
}

/// The half of a connection that the node sends into.
///
/// The node reserves room first, then enqueues; `enqueue` and `flush` must not block.
pub trait Egress: Send + Sync + 'static {
    /// The room in the queue of this connection.
    fn reservoir(&self) -> &Reservoir;

    /// Takes one encoded routing message (reference, section 1.4), at most [`Egress::max_message`] bytes long. `room` is
    /// to be dropped when the message has left. A message that waits long should be [compacted](Frame::compact): it may be a
    /// small part of the buffer that it was received in.
    fn enqueue(&self, message: Frame, room: Room);

    /// A batch is complete: what is enqueued should leave now.
    fn flush(&self);

    /// A task of this node has enqueued a message, and may have more: what is enqueued should leave now, or together with what that task
    /// enqueues until it waits for something. A request must not be held back for that: the first one after a pause leaves now.
    fn flush_soon(&self) {
        self.flush();
    }

    /// Bytes that have left since the connection was made.
    fn progress(&self) -> u64;

    /// Closes the connection; what is enqueued is lost.
    fn close(&self);

    /// Largest routing message in bytes.
    fn max_message(&self) -> usize {
        wire::tcp::MAX_FRAME
    }
}

/// A connection in use by a node.
#[derive(Clone)]
pub struct Link(Arc<LinkShared>);

pub(crate) struct LinkShared {
    address: Address,
    origin: Arc<TransportOrigin>,
    egress: Arc<dyn Egress>,
    flush: Arc<dyn Flush>,
    closed: watch::Sender<bool>,
    node: Weak<Shared>,
}

impl Link {
    /// The connection's address in this node: the first hop of routes through it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// The route through the connection to `beyond` in the other node: `link.to("echo")`, `link.to(["hop", "echo"])`.
    #[must_use]
    pub fn to(&self, beyond: impl Into<Route>) -> Route {
        let mut route = beyond.into();
        route.push_front(self.address().clone());
        route
    }

    /// The other end, for people.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.0.origin.peer
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    /// Resolves when the connection has ended.
    pub async fn closed(&self) {
        let mut closed = self.0.closed.subscribe();
        // An error means that the sender is gone, and with it the connection.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Closes the connection. What it has enqueued is lost.
    pub fn close(&self) {
        self.0.egress.close();
        self.0.end();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} {})", self.0.address, self.0.origin.peer)
    }
}

impl LinkShared {
    /// Takes the connection's address out of use; the first call counts and tells who waits.
    fn end(&self) {
        let first = !self.closed.send_replace(true);
        if !first {
            return;
        }
        self.egress.reservoir().close();
        if let Some(node) = self.node.upgrade() {
            node.router.counters.one(Count::ConnectionsClosed);
            node.link_ended(&self.address);
        }
    }
}

impl Bottleneck for LinkShared {
    fn reservoir(&self) -> &Reservoir {
        self.egress.reservoir()
    }

    fn progress(&self) -> u64 {
        self.egress.progress()
    }

    fn give_up(&self, reason: Count) {
        if let Some(node) = self.node.upgrade() {
            node.router.counters.one(reason);
            let line = format!(
                "connection with {} closed: it takes nothing",
                self.origin.peer
            );
            node.tell(reason, Line::Warning(line));
        }
        self.egress.close();
        self.end();
    }
}

/// The inline hop at the connection's address.
struct LinkHop(Arc<LinkShared>);

impl Hop for LinkHop {
    fn step(&self, router: &Router, mut message: Message, flushes: &mut Flushes) -> Step {
        let link = &self.0;
        let Some(own) = message.onward.pop_front() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let prefix = wire::routing_prefix_len(
            &message.onward,
            &message.return_route,
            message.payload.len(),
        );
        let len = prefix + message.payload.len();
        if len > link.egress.max_message() {
            return Step::Refused(Count::OversizedFrame);
        }
        let charge = len + socket::ENTRY;
        let Some(room) = link.egress.reservoir().claim(&mut message.room, charge) else {
            if link.egress.reservoir().is_closed() {
                return Step::Refused(Count::TransportGone);
            }
            message.onward.push_front(own);
            return Step::Full(message, wanted(link, charge));
        };
        let mut frame = message.payload;
        wire::encode_routing(&mut frame, &message.onward, &message.return_route);
        link.egress.enqueue(frame, room);
        flushes.add(&link.flush);
        router.counters.one(Count::MessagesSent);
        Step::Done
    }

    fn reserve(
        &self,
        _router: &Router,
        _route: &Route,
        _at: usize,
        len: usize,
        mut brought: Room,
    ) -> Result<Room, NoRoom> {
        // The routing header and the entry come on top; their length is not known here and small against the bound.
        const HEADER: usize = 128 + socket::ENTRY;
        // To be refused here, before it is sealed: a sealed message that does not go is a gap.
        if len + HEADER > self.0.egress.max_message() {
            return Err(NoRoom::TooLarge);
        }
        let reservoir = self.0.egress.reservoir();
        match reservoir.claim(&mut brought, len + HEADER) {
            Some(room) => Ok(room),
            None if reservoir.is_closed() => Err(NoRoom::Gone),
            None => Err(NoRoom::Full(wanted(&self.0, len + HEADER))),
        }
    }

    fn backlog(&self, _router: &Router) -> usize {
        self.0.egress.reservoir().used()
    }
}

fn wanted(link: &Arc<LinkShared>, len: usize) -> Wanted {
    let at = Arc::clone(link) as Arc<dyn Bottleneck>;
    Wanted { at, len }
}

struct FlushEgress(Arc<dyn Egress>);

impl Flush for FlushEgress {
    fn flush(&self) {
        self.0.flush();
    }

    fn flush_soon(&self) {
        self.0.flush_soon();
    }
}

/// The half of a connection through which a transport hands in what arrives.
///
/// Dropping it ends the connection.
pub struct Ingress {
    link: Arc<LinkShared>,
    flushes: Flushes,
}

/// Why a transport must close its connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngressError {
    /// What arrived is not a routing message.
    #[error("undecodable routing message: {0}")]
    Undecodable(#[from] wire::DecodeError),
    /// The connection was closed on our side.
    #[error("the connection was closed")]
    Closed,
}

impl Ingress {
    /// Delivers one routing message (reference, section 1.4), waiting as long as the one queue that it goes to is full:
    /// this pauses the source. A queue that stands still for ten seconds is given up. Call [`Ingress::flush`] after a batch.
    ///
    /// # Errors
    /// [`IngressError`]: close the connection.
    pub async fn receive(&mut self, frame: Frame) -> Result<(), IngressError> {
        let Some(node) = self.link.node.upgrade() else {
            return Err(IngressError::Closed);
        };
        let message = match self.decode(&node.router, frame)? {
            Some(message) => message,
            None => return Ok(()),
        };
        let Err(Undelivered::Full(held, wanted)) = node.router.deliver(message, &mut self.flushes)
        else {
            return Ok(());
        };
        self.hold(&node.router, held, wanted).await
    }

    /// What was delivered since the last call leaves now.
    pub fn flush(&mut self) {
        self.flushes.run();
    }

    fn decode(&self, router: &Router, mut frame: Frame) -> Result<Option<Message>, IngressError> {
        router.counters.one(Count::MessagesReceived);
        let decoded = RoutingMessage::decode(frame.as_slice())
            .inspect_err(|_| router.counters.one(Count::Undecodable))?;
        let RoutingMessage {
            onward,
            mut return_route,
            payload,
        } = decoded;
        if onward.is_empty() {
            router.counters.one(Count::Heartbeats);
            return Ok(None);
        }
        // A learned return route starts with the hop the message came by.
        return_route.push_front(self.link.address.clone());
        if return_route.len() > MAX_RETURN_HOPS {
            router.counters.one(Count::TooManyHops);
            return Ok(None);
        }
        frame.narrow(payload);
        let origin = Origin::Transport(Arc::clone(&self.link.origin));
        Ok(Some(Message {
            onward,
            return_route,
            payload: frame,
            origin,
            room: Room::default(),
        }))
    }

    /// Delivers what could not go on, in order, as room comes.
    async fn hold(
        &mut self,
        router: &Router,
        held: Vec<Message>,
        wanted: Wanted,
    ) -> Result<(), IngressError> {
        let mut queue = std::collections::VecDeque::from(held);
        let mut wanted = wanted;
        while let Some(mut message) = queue.pop_front() {
            if !wanted.at.may_pause() {
                router.counters.one(Count::MailboxFull);
            } else {
                self.flush();
                message.room = self.wait(&wanted).await?;
                queue.push_front(message);
            }
            while let Some(next) = queue.pop_front() {
                if let Err(Undelivered::Full(again, full)) = router.deliver(next, &mut self.flushes)
                {
                    for message in again.into_iter().rev() {
                        queue.push_front(message);
                    }
                    wanted = full;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for room as long as its queue moves; the room is empty if the queue is gone.
    async fn wait(&self, wanted: &Wanted) -> Result<Room, IngressError> {
        let mut closed = self.link.closed.subscribe();
        // Asked for once: who asks again stands at the end of the line.
        let room = wanted.wait();
        tokio::pin!(room);
        loop {
            let before = wanted.at.progress();
            tokio::select! {
                room = &mut room => return Ok(room.unwrap_or_default()),
                _ = closed.wait_for(|closed| *closed) => return Err(IngressError::Closed),
                () = tokio::time::sleep(STALL) => {
                    if wanted.at.progress() == before {
                        wanted.at.give_up(Count::EgressStalled);
                    }
                }
            }
        }
    }

    /// Resolves when the connection was closed on our side.
    pub async fn closed(&self) {
        let mut closed = self.link.closed.subscribe();
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.link.egress.close();
        self.link.end();
    }
}

/// A listener in use by a node.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The transport's name.
    pub transport: &'static str,
    /// The bound address, with the port that was picked.
    pub address: String,
    pub(crate) stop: Arc<watch::Sender<bool>>,
}

impl Listening {
    /// A listener at `address`. Its transport stops accepting when [`Listening::stopped`] resolves.
    #[must_use]
    pub fn new(transport: &'static str, address: String) -> Self {
        Self {
            transport,
            address,
            stop: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Stops accepting connections. Those that were accepted go on.
    pub fn close(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when [`Listening::close`] was called or the node is shut down.
    pub async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Attaches a connection to a node: see [`Node::attach`].
pub(crate) fn attach(
    node: &Arc<Shared>,
    transport: &'static str,
    peer: String,
    egress: Arc<dyn Egress>,
) -> (Link, Ingress) {
    let address = node.fresh_address();
    let origin = Arc::new(TransportOrigin {
        link: address.clone(),
        transport,
        peer,
    });
    let flush: Arc<dyn Flush> = Arc::new(FlushEgress(Arc::clone(&egress)));
    let link = Arc::new(LinkShared {
        address,
        origin,
        egress,
        flush,
        closed: watch::Sender::new(false),
        node: Arc::downgrade(node),
    });
    node.router.counters.one(Count::ConnectionsOpened);
    node.link_began(
        &link.address,
        Link(Arc::clone(&link)),
        Arc::new(LinkHop(Arc::clone(&link))),
    );
    (
        Link(Arc::clone(&link)),
        Ingress {
            link,
            flushes: Flushes::default(),
        },
    )
}
