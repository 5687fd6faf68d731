//! The node: everything that runs in one process under one identity.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealway_core::channel::{LocalParty, Suite};
use sealway_core::crypto::{DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identifier, Identity};
use sealway_core::wire::{Address, AddressType, Route};
use sealway_core::{Tick, UnixSeconds};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::buffers::Buffers;
use crate::channel::floors::Floors;
use crate::channel::histories::Histories;
use crate::channel::kept;
use crate::channel::{Channel, ChannelShared};
use crate::counters::{Count, Counters};
use crate::event::Event;
use crate::exposure::Exposure;
use crate::home::Home;
use crate::keys::Parties;
use crate::message::Message;
use crate::portal::native::Portals;
use crate::relay::RelayTable;
use crate::room::Reservoir;
use crate::router::{Endpoint, Flushes, Hop, Router, Target, Undelivered, Wanted};
use crate::shares::Shares;
use crate::task::{End, Until};
use crate::telling::Tellings;
use crate::transport::tcp::Tcp;
use crate::transport::unix::Unix;
use crate::transport::{self, Egress, Ingress, Link, Listening, STALL, Transport, TransportError};

/// Why a message of a local sender did not go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody is at the address.
    #[error("nobody is at {0} in this node")]
    UnknownAddress(String),
    /// The connection or channel that the route begins with is gone.
    #[error("the connection to {0} is gone")]
    Gone(String),
    /// The connection or channel that the route begins with has no room now, and this is not a message that waits.
    #[error("the connection to {0} has no room now")]
    Full(String),
    /// Refused for the reason that the counter of this name counts.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// A connection that the route names could not be opened.
    #[error("{0}")]
    Transport(String),
    /// The node is shut down.
    #[error("the node is shut down")]
    ShutDown,
}

/// Why an address could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {0} is in use in this node")]
pub struct AddressInUse(pub String);

/// A node. Cheap to clone; all clones are the same node.
#[derive(Clone)]
pub struct Node(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) histories: Histories,
    pub(crate) floors: Floors,
    /// Where what is learnt is kept, if anywhere.
    home: Option<Home>,
    transports: Vec<Arc<dyn Transport>>,
    links: Mutex<HashMap<Address, Link>>,
    pub(crate) channels: Mutex<HashMap<Address, Arc<ChannelShared>>>,
    pub(crate) portals: Portals,
    pub(crate) buffers: Arc<Buffers>,
    /// The channels that others opened, by where they came from.
    pub(crate) accepted: Mutex<Shares>,
    parties: RwLock<Option<Parties>>,
    events: broadcast::Sender<Event>,
    pub(crate) tellings: Tellings,
    /// Where peers answer whether they live.
    pub(crate) answers: OnceLock<Address>,
    relay: OnceLock<Arc<RelayTable>>,
    /// Set once anything is exposed by tickets.
    pub(crate) exposing: Mutex<bool>,
    listeners: Mutex<Vec<Listening>>,
    down: End,
    /// Shutdown is over: what has not ended by itself is cut off.
    cut: End,
    tasks: AtomicUsize,
    /// Answers that wait for room, see [`Shared::send_soon`].
    waiting_answers: Reservoir,
    idle: Notify,
    max_connections: usize,
    clock: Arc<WallClock>,
    started: Instant,
}

/// Builds a [`Node`].
pub struct NodeBuilder {
    parties: Option<Parties>,
    transports: Vec<Arc<dyn Transport>>,
    histories: Histories,
    floors: Floors,
    home: Option<Home>,
    max_connections: usize,
    max_channels: usize,
    clock: Arc<WallClock>,
}

/// Tells the time that expiry is decided with.
type WallClock = dyn Fn() -> UnixSeconds + Send + Sync;

/// Connections that a node accepts at the most, unless told otherwise.
const MAX_CONNECTIONS: usize = 16_384;
/// Secure channels that a node accepts at the most, unless told otherwise: each some 2 KiB.
const MAX_CHANNELS: usize = 16_384;
/// Answers that wait for room at a time: 8 MiB of memory, or one that is larger; each is charged 32 KiB at least, so that there are
/// 256 at the most. Further ones are dropped.
const WAITING_ANSWERS: u32 = 8 << 20;
/// What an answer that waits is charged at the least, for its task and its timer.
const WAITING_ANSWER: usize = 32 << 10;
/// Events that a slow listener may be behind: 256, some 64 KiB; older ones are lost to it.
const EVENTS: usize = 256;

impl NodeBuilder {
    /// The identity under which the node opens and accepts secure channels: [`keys::load_parties`](crate::keys::load_parties), or
    /// one [`LocalParty`] for channels of its suite alone.
    #[must_use]
    pub fn identity(mut self, parties: impl Into<Parties>) -> Self {
        self.parties = Some(parties.into());
        self
    }

    /// An identity made for this node alone, which is gone with it: for clients that nobody needs to recognise, and
    /// for examples.
    #[must_use]
    pub fn ephemeral_identity(self) -> Self {
        self.identity(ephemeral_parties())
    }

    /// Adds a transport of your own. TCP and Unix sockets are always there.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transports.push(transport);
        self
    }

    /// What is known about peers' histories, and where new knowledge goes.
    #[must_use]
    pub fn histories(mut self, histories: Histories) -> Self {
        self.histories = histories;
        self
    }

    /// How weak a suite may be that a known peer is met in. Without it a peer's suite is no matter of the past.
    #[must_use]
    pub fn floors(mut self, floors: Floors) -> Self {
        self.floors = floors;
        self
    }

    /// Goes by what `home` keeps, and keeps there what is learnt: no peer is believed an older history than before, or met in a
    /// weaker suite, and time never goes back, across restarts too. It stands for [`NodeBuilder::histories`],
    /// [`NodeBuilder::floors`] and [`NodeBuilder::clock`]. [`Node::shutdown`] waits until all is on the disk.
    #[must_use]
    pub fn home(mut self, home: &Home) -> Self {
        let clock = home.clone();
        self.home = Some(home.clone());
        self.histories(Histories::stored(Arc::new(home.clone())))
            .floors(Floors::stored(Arc::new(home.clone())))
            .clock(move || clock.clock().now())
    }

    /// The clock that decides whether something has expired, such as a home's, which never goes back. By default the
    /// machine's.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> UnixSeconds + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }

    /// The most transport connections accepted at a time.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// The most secure channels accepted at a time. Beyond, one of the source that has the most makes room for a newcomer of
    /// another: a host, in it a connection,
    /// behind that a hop of the return route. One identity gets a quarter of them.
    #[must_use]
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.max_channels = channels;
        self
    }

    /// Starts the node on the present tokio runtime. Nothing is reachable yet.
    #[must_use]
    pub fn start(self) -> Node {
        let mut transports = self.transports;
        transports.push(Arc::new(Tcp));
        transports.push(Arc::new(Unix));
        let shared = Arc::new(Shared {
            router: Router::new(Arc::default()),
            histories: self.histories,
            floors: self.floors,
            home: self.home,
            transports,
            links: Mutex::default(),
            channels: Mutex::default(),
            portals: Portals::default(),
            buffers: Arc::default(),
            accepted: Mutex::new(Shares::new(self.max_channels)),
            parties: RwLock::new(self.parties),
            events: broadcast::Sender::new(EVENTS),
            tellings: Tellings::default(),
            answers: OnceLock::new(),
            relay: OnceLock::new(),
            exposing: Mutex::new(false),
            listeners: Mutex::default(),
            down: End::default(),
            cut: End::default(),
            tasks: AtomicUsize::new(0),
            waiting_answers: Reservoir::new(WAITING_ANSWERS),
            idle: Notify::new(),
            max_connections: self.max_connections,
            clock: self.clock,
            started: Instant::now(),
        });
        if let (Some(home), Some(down)) = (&shared.home, shared.down.waiting()) {
            tokio::spawn(kept::keep_time(home.clone(), down));
        }
        crate::channel::watch::start(&shared);
        crate::portal::native::start(&shared);
        Node(shared)
    }
}

impl Node {
    /// A node with no identity, TCP and Unix sockets, nothing exposed.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder {
            parties: None,
            transports: Vec::new(),
            histories: Histories::default(),
            floors: Floors::default(),
            home: None,
            max_connections: MAX_CONNECTIONS,
            max_channels: MAX_CHANNELS,
            clock: Arc::new(unix_now),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// What this node counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.router.counters
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Who this node is to others, if it has an identity.
    #[must_use]
    pub fn identifier(&self) -> Option<Identifier> {
        self.parties().map(|parties| *parties.identifier())
    }

    /// What this node presents in handshakes, if it has an identity.
    #[must_use]
    pub fn parties(&self) -> Option<Parties> {
        self.0.parties()
    }

    /// Replaces the identity, after a rotation: channels opened from now on present the new one.
    pub fn set_identity(&self, parties: impl Into<Parties>) {
        let parties = Some(parties.into());
        *self
            .0
            .parties
            .write()
            .unwrap_or_else(PoisonError::into_inner) = parties;
    }

    /// The secure channels that stand, in no order.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let channel = |shared: &Arc<ChannelShared>| Channel {
            shared: Arc::clone(shared),
            node: Arc::clone(&self.0),
        };
        lock(&self.0.channels).values().map(channel).collect()
    }

    /// Listens at `tcp:HOST:PORT`, `unix:PATH` or an address of a transport of yours; `HOST:PORT` alone means TCP.
    ///
    /// # Errors
    /// [`TransportError`] with the address and what is wrong.
    pub async fn listen(&self, address: &str) -> Result<Listening, TransportError> {
        let (transport, address) = self.0.transport_of(address)?;
        let listening = transport.listen(self, address).await?;
        lock(&self.0.listeners).push(listening.clone());
        self.0.emit(Event::Listening {
            transport: listening.transport,
            address: listening.address.clone(),
        });
        Ok(listening)
    }

    /// Connects to `tcp:HOST:PORT`, `unix:PATH` or an address of a transport of yours; `HOST:PORT` alone means TCP.
    ///
    /// # Errors
    /// [`TransportError`] when nobody is there.
    pub async fn connect(&self, address: &str) -> Result<Link, TransportError> {
        let (transport, address) = self.0.transport_of(address)?;
        transport.connect(self, address).await
    }

    /// Attaches a connection of a transport of your own: what the node sends goes into `egress`, what arrives is
    /// handed to the returned [`Ingress`]. `peer` names the other end for people.
    #[must_use]
    pub fn attach(
        &self,
        transport: &'static str,
        peer: String,
        egress: Arc<dyn Egress>,
    ) -> (Link, Ingress) {
        transport::attach(&self.0, transport, peer, egress)
    }

    /// Whether one more connection may be accepted; a refusal is counted. For listeners of transports of your own, before
    /// they attach what has come.
    #[must_use]
    pub fn admits_connection(&self) -> bool {
        self.0.admits_connection()
    }

    /// Delivers a message of this node, waiting for room where its local path ends.
    ///
    /// A route may begin with an address to connect to, such as `1#127.0.0.1:4000`: it is replaced by a connection.
    ///
    /// # Errors
    /// [`SendError`] when it cannot go.
    pub async fn send(&self, mut message: Message) -> Result<(), SendError> {
        let first = message.onward.first();
        if first.is_some_and(|first| !first.is_local()) {
            message.onward = Box::pin(self.resolved(message.onward)).await?;
        }
        self.0.send(message).await
    }

    /// The route with a connection in place of an address to connect to.
    pub(crate) async fn resolved(&self, mut route: Route) -> Result<Route, SendError> {
        if let Some(first) = route.first().filter(|first| !first.is_local()) {
            let link = self.0.dial(first).await?;
            route.pop_front();
            route.push_front(link);
        }
        Ok(route)
    }

    /// Addresses in use in this node.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.0.router.len()
    }

    /// Transport connections that are open.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        lock(&self.0.links).values().cloned().collect()
    }

    /// Stops accepting, closes channels (their peers are told), connections and workers, and waits until every task
    /// has ended, at most for `deadline`: a worker finishes the message in its hands and is told that it stops. Then what was learnt
    /// of peers is on the disk, if the node has a home.
    pub async fn shutdown(&self, deadline: Duration) {
        for listening in lock(&self.0.listeners).drain(..) {
            listening.close();
        }
        let channels: Vec<_> = lock(&self.0.channels).values().cloned().collect();
        for channel in channels {
            channel.close(&self.0, crate::channel::CloseReason::Local, true);
        }
        self.0.down.come();
        let links: Vec<_> = lock(&self.0.links).drain().map(|(_, link)| link).collect();
        for link in links {
            link.close();
        }
        self.0.router.clear();
        let ended = async {
            loop {
                let notified = self.0.idle.notified();
                if self.0.tasks.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        if tokio::time::timeout(deadline, ended).await.is_err() {
            tracing::warn!("shutdown deadline passed with tasks still running");
        }
        self.0.cut.come();
        if let Some(home) = &self.0.home {
            kept::persist(home).await;
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded values are plain collections that are valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time now. Before 1970, where no clock should be, it is 0.
fn unix_now() -> UnixSeconds {
    UnixSeconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

struct TaskGuard(Arc<Shared>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Shared {
    /// Runs a task until it ends or the node shuts down.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(&self.down, task);
    }

    /// Runs a task that ends by itself when the node shuts down, and is cut off only if it takes too long for that.
    pub(crate) fn spawn_orderly(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(&self.cut, task);
    }

    fn spawn_until(self: &Arc<Self>, end: &End, task: impl Future<Output = ()> + Send + 'static) {
        let Some(end) = end.waiting() else { return };
        self.tasks.fetch_add(1, Ordering::AcqRel);
        let guard = TaskGuard(Arc::clone(self));
        tokio::spawn(Until::new(task, end, guard));
    }

    /// The time that expiry is decided with.
    pub(crate) fn now(&self) -> UnixSeconds {
        (self.clock)()
    }

    pub(crate) fn tick(&self) -> Tick {
        Tick(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn parties(&self) -> Option<Parties> {
        self.parties
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn emit(&self, event: Event) {
        tracing::info!(?event);
        // No receiver is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down.has_come()
    }

    /// An address that nobody can guess: 64 random bits in 11 characters.
    pub(crate) fn fresh_address(&self) -> Address {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        loop {
            let mut random = [0_u8; 11];
            getrandom::fill(&mut random).expect("the operating system gives random bytes");
            let address = Address::local(random.map(|byte| ALPHABET[usize::from(byte & 63)]));
            if self.router.get(&address).is_none() {
                return address;
            }
        }
    }

    fn transport_of<'a>(
        &self,
        address: &'a str,
    ) -> Result<(Arc<dyn Transport>, &'a str), TransportError> {
        if self.is_down() {
            return Err(TransportError::ShutDown);
        }
        let named = address.split_once(':').and_then(|(name, rest)| {
            self.transports
                .iter()
                .find(|transport| transport.name() == name)
                .map(|transport| (transport, rest))
        });
        if let Some((transport, rest)) = named {
            return Ok((Arc::clone(transport), rest));
        }
        let tcp = self
            .transports
            .iter()
            .find(|transport| transport.address_type() == AddressType::TCP);
        let tcp = tcp.ok_or_else(|| TransportError::Unknown(address.to_owned()))?;
        Ok((Arc::clone(tcp), address))
    }

    /// Replaces an external address of a local sender's route by a connection, which is opened if there is none.
    async fn dial(self: &Arc<Self>, external: &Address) -> Result<Address, SendError> {
        let transport = self
            .transports
            .iter()
            .find(|transport| transport.address_type() == external.kind());
        let Some(transport) = transport else {
            return Err(SendError::UnknownAddress(external.to_string()));
        };
        let peer = String::from_utf8_lossy(external.value()).into_owned();
        let known = lock(&self.links)
            .values()
            .find(|link| !link.is_closed() && link.peer() == peer)
            .cloned();
        let link = match known {
            Some(link) => link,
            None => {
                let node = Node(Arc::clone(self));
                transport
                    .connect(&node, &peer)
                    .await
                    .map_err(|error| SendError::Transport(error.to_string()))?
            }
        };
        Ok(link.address().clone())
    }

    pub(crate) fn admits_connection(&self) -> bool {
        let admitted = !self.is_down() && lock(&self.links).len() < self.max_connections;
        if !admitted {
            self.router.counters.one(Count::ConnectionsRefused);
        }
        admitted
    }

    pub(crate) fn link_began(&self, address: &Address, link: Link, hop: Arc<dyn Hop>) {
        lock(&self.links).insert(address.clone(), link);
        self.router.insert(
            address.clone(),
            Endpoint {
                exposure: Exposure::local(),
                target: Target::Hop(hop),
            },
        );
        if self.is_down() {
            self.link_ended(address);
        }
    }

    /// The other end of a connection.
    pub(crate) fn link_peer(&self, address: &Address) -> Option<String> {
        lock(&self.links)
            .get(address)
            .map(|link| link.peer().to_owned())
    }

    /// Whether messages to `address` leave this node: it is a connection or a channel.
    pub(crate) fn is_way_out(&self, address: &Address) -> bool {
        lock(&self.links).contains_key(address) || lock(&self.channels).contains_key(address)
    }

    /// A connection is gone: so are the grants it had and, for now, the channels it carried.
    pub(crate) fn link_ended(self: &Shared, address: &Address) {
        lock(&self.links).remove(address);
        self.forget(address);
        self.hop_gone(address);
        crate::channel::carrier_lost(self, address);
    }

    /// This node's relay; `false` if it has one.
    pub(crate) fn serve_relay(&self, table: Arc<RelayTable>) -> bool {
        self.relay.set(table).is_ok()
    }

    /// A connection or channel is gone: what was relayed through it is so no more.
    pub(crate) fn hop_gone(&self, address: &Address) {
        if let Some(relay) = self.relay.get() {
            relay.hop_gone(self, address);
        }
    }

    /// Takes an address out of use, with the grants between it and others.
    pub(crate) fn forget(&self, address: &Address) {
        let Some(endpoint) = self.router.remove(address) else {
            return;
        };
        // Grants are mutual, so the list of those who may send here names those where we may send.
        for other in endpoint.exposure.take_sources() {
            if let Some(other) = self.router.get(&other) {
                other.exposure.revoke(address);
            }
        }
    }

    /// Lets what comes by `one` reach `other`, and the other way round: a relay joins the two because `one` asked.
    pub(crate) fn join(&self, one: &Address, other: &Address) {
        let (Some(first), Some(second)) = (self.router.get(one), self.router.get(other)) else {
            return;
        };
        // Most messages find it done.
        if first.exposure.knows(other) && second.exposure.knows(one) {
            return;
        }
        let displaced = first.exposure.join(other.clone());
        second.exposure.grant(one.clone());
        if let Some(displaced) = displaced {
            self.router.counters.one(Count::GrantsEvicted);
            if let Some(third) = self.router.get(&displaced) {
                third.exposure.revoke(one);
            }
        }
    }

    /// Delivers a message of this node, waiting for room.
    pub(crate) async fn send(&self, message: Message) -> Result<(), SendError> {
        let named = message.onward.first().cloned();
        let mut flushes = Flushes::default();
        let delivered = self.router.deliver(message, &mut flushes);
        flushes.run_soon();
        match delivered {
            Ok(()) => {
                // Who only sends would keep its thread from those who receive.
                tokio::task::coop::consume_budget().await;
                Ok(())
            }
            Err(Undelivered::Refused(reason)) => Err(refusal(reason, named.as_ref())),
            // Kept out of this future, which is part of everybody's that sends.
            Err(Undelivered::Full(held, wanted)) => {
                Box::pin(self.send_held(held, wanted, named)).await
            }
        }
    }

    /// Waits for room for what was held, and sends it in order.
    async fn send_held(
        &self,
        held: Vec<Message>,
        mut wanted: Wanted,
        named: Option<Address>,
    ) -> Result<(), SendError> {
        let mut queue = std::collections::VecDeque::from(held);
        let mut flushes = Flushes::default();
        let mut outcome = Ok(());
        while let Some(first) = queue.front_mut() {
            match wanted.wait().await {
                Some(room) => first.room = room,
                None if self.is_down() => return Err(SendError::ShutDown),
                // It is gone: delivering again says so.
                None => {}
            }
            while let Some(message) = queue.pop_front() {
                match self.router.deliver(message, &mut flushes) {
                    Ok(()) => {}
                    Err(Undelivered::Refused(reason)) => {
                        outcome = Err(refusal(reason, named.as_ref()));
                    }
                    Err(Undelivered::Full(held, full)) => {
                        for message in held.into_iter().rev() {
                            queue.push_front(message);
                        }
                        wanted = full;
                        break;
                    }
                }
            }
            flushes.run();
        }
        outcome
    }

    /// Delivers an answer that a foreign message has caused, without making its worker wait: if there is no room it waits by
    /// itself, for ten seconds at the most, and so do 256 at the most. Beyond, it is dropped and counted. A peer that reads
    /// nothing must not stop a service for all others.
    pub(crate) fn send_soon(self: &Arc<Self>, answer: Message) {
        let mut flushes = Flushes::default();
        let outcome = self.router.deliver(answer, &mut flushes);
        flushes.run_soon();
        let Err(Undelivered::Full(mut held, _)) = outcome else {
            // Gone, or refused: the router has counted it.
            return;
        };
        let mut cost = 0;
        for message in &mut held {
            message.payload.compact();
            cost += message.payload.footprint() + message.cost();
        }
        let Some(room) = self.waiting_answers.try_reserve(cost.max(WAITING_ANSWER)) else {
            self.router
                .counters
                .add(Count::MailboxFull, held.len() as u64);
            return;
        };
        let node = Arc::clone(self);
        self.spawn(async move {
            for message in held {
                if tokio::time::timeout(STALL, node.send(message))
                    .await
                    .is_err()
                {
                    node.router.counters.one(Count::MailboxFull);
                }
            }
            drop(room);
        });
    }

    /// Delivers a message of this node if there is room now; otherwise it is lost, and the caller knows.
    pub(crate) fn send_now(&self, message: Message, flushes: &mut Flushes) -> bool {
        self.router.deliver(message, flushes).is_ok()
    }
}

fn refusal(reason: Count, named: Option<&Address>) -> SendError {
    let named = named.map(ToString::to_string).unwrap_or_default();
    match reason {
        Count::UnknownAddress => SendError::UnknownAddress(named),
        Count::TransportGone => SendError::Gone(named),
        other => SendError::Refused(other.name()),
    }
}

/// A new identity with its static keys, kept nowhere.
fn ephemeral_parties() -> Parties {
    let now = unix_now();
    let signer = SigningKey::generate(KeyType::Ed25519, &mut crate::keys_rng());
    let identity = Identity::create(&signer, now);
    let party = |suite: Suite| {
        let static_key = DhSecret::generate(&mut crate::keys_rng());
        let purpose = suite.purpose(static_key.public());
        let attestation = Attestation::issue(&signer, &identity, purpose, now)
            .expect("the key is the identity's own");
        let party = LocalParty::new(&identity, &attestation, static_key, &[]);
        Arc::new(party.expect("the parts belong together"))
    };
    Parties::from(party(Suite::Classical))
        .with(party(Suite::Hybrid))
        .expect("both are of one identity")
}

/// A route of one local address.
pub(crate) fn route_to(address: &Address) -> Route {
    std::iter::once(address.clone()).collect()
}
