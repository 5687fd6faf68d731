//! An in-memory transport with a simulated link, for tests that must come out the same each time.
//!
//! A [`Network`] joins nodes of one process by routing messages (reference, section 1.4), without any framing. As it is made it
//! loses nothing and takes no time; a [`LinkProfile`] gives it delay, loss, duplication and reordering, and each
//! direction can be cut and healed. What happens to a message is drawn from the network's seed, per connection and
//! direction, in the order in which messages leave; time is tokio's, so that a paused clock makes it virtual.
//!
//! Addresses are names, `memory:NAME`; in routes their type is [`ADDRESS_TYPE`], which is ours and means nothing outside
//! the process. The node below it is the one that a user's own transport gets: everything here goes through
//! [`Transport`], [`Egress`] and [`Ingress`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sealway_core::wire::{AddressType, Frame};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{BoxFuture, Egress, Ingress, Link, Listening, Transport, TransportError};
use crate::node::{Node, lock};
use crate::room::{Reservoir, Room};

/// The type of memory addresses in routes: 200, local to the process.
pub const ADDRESS_TYPE: AddressType = AddressType(200);
/// What waits in one direction of a connection, until the other end has taken it: 4 MiB. At the bound, sources are paused.
pub const DEFAULT_BOUND: u32 = 4 << 20;
/// Passages that a trace keeps; later ones are only counted.
const MAX_TRACE: usize = 1 << 16;
/// Connecting fails after this time while the link is cut.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A message held back is passed by later ones, or goes on by itself after this time.
const HELD_BACK: Duration = Duration::from_millis(200);

/// What the simulated link does to messages. The default does nothing to them.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkProfile {
    /// Each message takes this long.
    pub delay: Duration,
    /// And up to this much longer, at random; later ones wait for it.
    pub jitter: Duration,
    /// The share of messages that never arrive, 0 to 1.
    pub loss: f64,
    /// The share that arrives twice, 0 to 1.
    pub duplication: f64,
    /// The share that is held back for later ones to pass, 0 to 1.
    pub reordering: f64,
    /// A message held back is passed by 1 to this many later ones, or waits for 200 ms.
    pub depth: u32,
}

impl Default for LinkProfile {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            depth: 1,
        }
    }
}

/// A direction of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From who connected to who listened.
    ToListener,
    /// From who listened to who connected.
    ToConnector,
}

impl Direction {
    const BOTH: [Self; 2] = [Self::ToListener, Self::ToConnector];
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It arrives once.
    Once,
    /// It arrives twice.
    Twice,
    /// It arrives behind later ones.
    Late,
    /// It never arrives.
    Lost,
}

/// One message in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// When it left, since the network was made.
    pub at: Duration,
    /// The connection, numbered from 0 in the order of connecting.
    pub connection: u32,
    /// Which way it went.
    pub direction: Direction,
    /// Its length in bytes.
    pub len: usize,
    /// What became of it.
    pub passing: Passing,
}

/// What a tap does with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, to what the profile does with it.
    Pass,
    /// It never arrives.
    Lose,
    /// Something else goes on in its place.
    Replace(Vec<u8>),
}

/// Sees every encoded routing message when it leaves: an attacker on the link.
type Tap = Box<dyn FnMut(Direction, &[u8]) -> Verdict + Send>;

/// A simulated network that joins nodes of one process. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    seed: u64,
    started: Instant,
    bound: u32,
    settings: Mutex<Settings>,
    cut: watch::Sender<[bool; 2]>,
}

#[derive(Default)]
struct Settings {
    profiles: [LinkProfile; 2],
    listeners: HashMap<String, (Node, Listening)>,
    pipes: Vec<Weak<Pipe>>,
    connections: u32,
    tap: Option<Tap>,
    trace: Vec<Passage>,
    passages: u64,
}

impl Network {
    /// A network whose whole behaviour follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_bound(seed, DEFAULT_BOUND)
    }

    /// As [`Network::new`], with at most `bound_bytes` under way in each direction of each connection.
    #[must_use]
    pub fn with_bound(seed: u64, bound_bytes: u32) -> Self {
        Self(Arc::new(Inner {
            seed,
            started: Instant::now(),
            bound: bound_bytes,
            settings: Mutex::default(),
            cut: watch::Sender::new([false; 2]),
        }))
    }

    /// The transport to give to each node, for addresses `memory:NAME`.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        self.transport_as("memory", ADDRESS_TYPE)
    }

    /// The transport under another name and type, for a node in several networks, or, as `tcp`, in place of the real
    /// one: multiaddrs then lead into the simulation.
    #[must_use]
    pub fn transport_as(&self, name: &'static str, kind: AddressType) -> Arc<dyn Transport> {
        Arc::new(Memory {
            network: self.clone(),
            name,
            kind,
        })
    }

    /// Sets what both directions of all connections do from now on.
    pub fn set_link(&self, profile: LinkProfile) {
        lock(&self.0.settings).profiles = [profile.clone(), profile];
    }

    /// Sets what one direction of all connections does from now on.
    pub fn set_direction(&self, direction: Direction, profile: LinkProfile) {
        lock(&self.0.settings).profiles[direction as usize] = profile;
    }

    /// Cuts both directions: what is under way and what comes is lost, and neither end learns of it.
    pub fn partition(&self) {
        self.0.cut.send_replace([true; 2]);
    }

    /// Cuts one direction.
    pub fn cut(&self, direction: Direction) {
        self.0.cut.send_modify(|cut| cut[direction as usize] = true);
    }

    /// Joins what was cut.
    pub fn heal(&self) {
        self.0.cut.send_replace([false; 2]);
    }

    /// Shows every message to `tap` from now on, in place of any other tap.
    pub fn set_tap(&self, tap: impl FnMut(Direction, &[u8]) -> Verdict + Send + 'static) {
        lock(&self.0.settings).tap = Some(Box::new(tap));
    }

    /// Sends forged or recorded bytes as a routing message along every open connection.
    pub fn inject(&self, direction: Direction, message: &[u8]) {
        for pipe in self.pipes() {
            if pipe.direction == direction {
                let frame = Frame::from_slice(message);
                pipe.put(
                    &mut lock(&pipe.state),
                    frame,
                    Room::default(),
                    Passing::Once,
                );
                pipe.changed.notify_one();
            }
        }
    }

    /// Breaks every connection: both ends see it end at once.
    pub fn break_connections(&self) {
        for pipe in self.pipes() {
            pipe.tear();
        }
    }

    /// The first 65,536 messages, in the order in which they left.
    #[must_use]
    pub fn trace(&self) -> Vec<Passage> {
        lock(&self.0.settings).trace.clone()
    }

    /// How many messages have left.
    #[must_use]
    pub fn passages(&self) -> u64 {
        lock(&self.0.settings).passages
    }

    fn pipes(&self) -> Vec<Arc<Pipe>> {
        let mut settings = lock(&self.0.settings);
        settings.pipes.retain(|pipe| pipe.strong_count() > 0);
        settings.pipes.iter().filter_map(Weak::upgrade).collect()
    }

    fn is_cut(&self, direction: Direction) -> bool {
        self.0.cut.borrow()[direction as usize]
    }
}

/// The transport of one network.
struct Memory {
    network: Network,
    name: &'static str,
    kind: AddressType,
}

impl Memory {
    fn checked<'a>(&self, address: &'a str) -> Result<&'a str, TransportError> {
        // '#' marks the numbered ends of accepted connections.
        if address.is_empty() || address.chars().any(|c| c.is_control() || c == '#') {
            return Err(TransportError::BadAddress {
                transport: self.name,
                address: address.to_owned(),
                why: "a name is needed, without '#' and control characters",
            });
        }
        Ok(address)
    }

    fn listener(&self, name: &str) -> Option<Node> {
        lock(&self.network.0.settings)
            .listeners
            .get(name)
            .map(|(node, _)| node.clone())
    }
}

impl Transport for Memory {
    fn name(&self) -> &'static str {
        self.name
    }

    fn address_type(&self) -> AddressType {
        self.kind
    }

    fn connect<'a>(
        &'a self,
        node: &'a Node,
        peer: &'a str,
    ) -> BoxFuture<'a, Result<Link, TransportError>> {
        Box::pin(async move {
            let unreachable = |kind: std::io::ErrorKind| TransportError::Unreachable {
                peer: peer.to_owned(),
                source: kind.into(),
            };
            let name = self.checked(peer)?;
            let round_trip = {
                let settings = lock(&self.network.0.settings);
                settings.profiles.iter().map(|profile| profile.delay).sum()
            };
            let mut cut = self.network.0.cut.subscribe();
            let joined = cut.wait_for(|cut| *cut == [false; 2]);
            if tokio::time::timeout(CONNECT_TIMEOUT, joined).await.is_err() {
                return Err(unreachable(std::io::ErrorKind::TimedOut));
            }
            if round_trip > Duration::ZERO {
                tokio::time::sleep(round_trip).await;
            }
            let other = self
                .listener(name)
                .filter(Node::admits_connection)
                .ok_or_else(|| unreachable(std::io::ErrorKind::ConnectionRefused))?;
            Ok(self.join(node, &other, name))
        })
    }

    fn listen<'a>(
        &'a self,
        node: &'a Node,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Listening, TransportError>> {
        Box::pin(async move {
            let name = self.checked(address)?.to_owned();
            let listening = Listening::new(self.name, name.clone());
            let mut settings = lock(&self.network.0.settings);
            if settings.listeners.contains_key(&name) {
                return Err(TransportError::Listen {
                    address: name,
                    source: std::io::ErrorKind::AddrInUse.into(),
                });
            }
            settings
                .listeners
                .insert(name.clone(), (node.clone(), listening.clone()));
            drop(settings);
            let network = self.network.clone();
            let stop = listening.clone();
            tokio::spawn(async move {
                stop.stopped().await;
                lock(&network.0.settings).listeners.remove(&name);
            });
            Ok(listening)
        })
    }
}

impl Memory {
    /// Makes a connection: two pipes, each carried into its receiver by a task.
    fn join(&self, connector: &Node, listener: &Node, name: &str) -> Link {
        let number = {
            let mut settings = lock(&self.network.0.settings);
            settings.connections += 1;
            settings.connections - 1
        };
        let [up, down] = Direction::BOTH.map(|direction| {
            let pipe = Arc::new(Pipe::new(&self.network, number, direction));
            lock(&self.network.0.settings)
                .pipes
                .push(Arc::downgrade(&pipe));
            pipe
        });
        let egress = |pipe: &Arc<Pipe>| Arc::new(PipeEgress(Arc::clone(pipe)));
        let (link, from_listener) = connector.attach(self.name, name.to_owned(), egress(&up));
        let (_, from_connector) =
            listener.attach(self.name, format!("{name}#{number}"), egress(&down));
        tokio::spawn(carry(up, from_connector));
        tokio::spawn(carry(down, from_listener));
        link
    }
}

/// One direction of one connection.
struct Pipe {
    network: Network,
    connection: u32,
    direction: Direction,
    reservoir: Reservoir,
    state: Mutex<PipeState>,
    changed: Notify,
    delivered: AtomicU64,
}

struct PipeState {
    /// Enqueued and not yet flushed. Bounded, as all that is under way, by the reservoir.
    queued: Vec<(Frame, Room)>,
    /// Under way, by time of arrival and then in order.
    flying: BTreeMap<(Instant, u64), Flight>,
    random: SplitMix,
    /// When the newest message that is not held back arrives.
    last: Instant,
    serial: u64,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    /// By its sender.
    Closed,
    /// On the way.
    Torn,
}

struct Flight {
    /// `None`: it was lost, and only takes up room until it would have arrived.
    frame: Option<Frame>,
    room: Room,
    /// Later messages that are still to pass; 0: its time has been set.
    passed_by: u32,
}

impl Pipe {
    fn new(network: &Network, connection: u32, direction: Direction) -> Self {
        let stream = u64::from(connection) * 2 + direction as u64;
        Self {
            network: network.clone(),
            connection,
            direction,
            reservoir: Reservoir::new(network.0.bound),
            state: Mutex::new(PipeState {
                queued: Vec::new(),
                flying: BTreeMap::new(),
                random: SplitMix(network.0.seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93)),
                last: Instant::now(),
                serial: 0,
                ending: Ending::Open,
            }),
            changed: Notify::new(),
            delivered: AtomicU64::new(0),
        }
    }

    /// Draws what becomes of a message that leaves, and notes it. A tap may put another in its place.
    fn leave(&self, frame: &mut Frame, random: &mut SplitMix) -> Passing {
        let mut settings = lock(&self.network.0.settings);
        let profile = &settings.profiles[self.direction as usize];
        // Each message takes the same number of draws, whatever becomes of it.
        let [lost, twice, late] = [profile.loss, profile.duplication, profile.reordering]
            .map(|share| random.fraction() < share);
        let verdict = settings
            .tap
            .as_mut()
            .map_or(Verdict::Pass, |tap| tap(self.direction, frame.as_slice()));
        if let Verdict::Replace(other) = &verdict {
            *frame = Frame::from_slice(other);
        }
        let passing = if verdict == Verdict::Lose || lost || self.network.is_cut(self.direction) {
            Passing::Lost
        } else if late {
            Passing::Late
        } else if twice {
            Passing::Twice
        } else {
            Passing::Once
        };
        settings.passages += 1;
        if settings.trace.len() < MAX_TRACE {
            settings.trace.push(Passage {
                at: self.network.0.started.elapsed(),
                connection: self.connection,
                direction: self.direction,
                len: frame.len(),
                passing,
            });
        }
        passing
    }

    /// Sends a message on its way.
    fn put(&self, state: &mut PipeState, frame: Frame, room: Room, passing: Passing) {
        let (delay, jitter, depth) = {
            let settings = lock(&self.network.0.settings);
            let profile = &settings.profiles[self.direction as usize];
            (profile.delay, profile.jitter, profile.depth)
        };
        let wait = delay + jitter.mul_f64(state.random.fraction());
        let passed_by = 1 + state.random.below(depth);
        if passing == Passing::Late {
            let due = Instant::now() + wait + HELD_BACK;
            state.pass(state.last);
            state.fly(due, Some(frame), room, passed_by);
            return;
        }
        let due = state.last.max(Instant::now() + wait);
        state.last = due;
        match passing {
            Passing::Lost => state.fly(due, None, room, 0),
            Passing::Twice => {
                let copy = Frame::from_slice(frame.as_slice());
                state.fly(due, Some(frame), room, 0);
                state.fly(due, Some(copy), Room::default(), 0);
            }
            Passing::Once | Passing::Late => state.fly(due, Some(frame), room, 0),
        }
        state.pass(due);
    }

    /// Everything that is enqueued leaves, in one step: what leaves first is first on its way.
    fn flush(&self) {
        let mut state = lock(&self.state);
        let queued = std::mem::take(&mut state.queued);
        if queued.is_empty() {
            return;
        }
        for (mut frame, room) in queued {
            let passing = self.leave(&mut frame, &mut state.random);
            self.put(&mut state, frame, room, passing);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next message that has arrived; `Err` with when to look again, which is never at the end.
    fn arrived(&self) -> Result<Frame, Option<Instant>> {
        let mut state = lock(&self.state);
        loop {
            let Some((&(due, serial), _)) = state.flying.first_key_value() else {
                return Err(None);
            };
            if due > Instant::now() {
                return Err(Some(due));
            }
            let flight = state.flying.remove(&(due, serial));
            let frame = flight.and_then(|flight| flight.frame);
            if let Some(frame) = frame.filter(|_| !self.network.is_cut(self.direction)) {
                self.delivered
                    .fetch_add(frame.len() as u64, Ordering::Relaxed);
                return Ok(frame);
            }
        }
    }

    /// Waits for the next message; `None` once the sender has closed and everything has arrived.
    async fn next(&self) -> Option<Frame> {
        loop {
            let changed = self.changed.notified();
            match self.arrived() {
                Ok(frame) => return Some(frame),
                Err(Some(due)) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                Err(None) => match self.ending() {
                    Ending::Open => changed.await,
                    Ending::Closed => {
                        self.end().await;
                        return None;
                    }
                    Ending::Torn => return None,
                },
            }
        }
    }

    /// The end of a connection arrives as late as everything else, and not while the link is cut.
    async fn end(&self) {
        let mut cut = self.network.0.cut.subscribe();
        // The sender of the signal lives as long as the network, which this pipe holds.
        let _ = cut.wait_for(|cut| !cut[self.direction as usize]).await;
        let delay = lock(&self.network.0.settings).profiles[self.direction as usize].delay;
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
    }

    fn ending(&self) -> Ending {
        lock(&self.state).ending
    }

    /// No more goes in; what is under way still arrives.
    fn close(&self) {
        let mut state = lock(&self.state);
        if state.ending == Ending::Open {
            state.ending = Ending::Closed;
        }
        let queued = std::mem::take(&mut state.queued);
        drop(state);
        drop(queued);
        self.reservoir.close();
        self.changed.notify_one();
    }

    /// Nothing arrives any more.
    fn tear(&self) {
        let mut state = lock(&self.state);
        state.ending = Ending::Torn;
        let flying = std::mem::take(&mut state.flying);
        drop(state);
        drop(flying);
        self.close();
    }
}

impl PipeState {
    fn fly(&mut self, due: Instant, frame: Option<Frame>, room: Room, passed_by: u32) {
        let key = (due, self.serial);
        self.serial += 1;
        let flight = Flight {
            frame,
            room,
            passed_by,
        };
        self.flying.insert(key, flight);
    }

    /// One more message has left: of those that are held back, who was passed often enough arrives at `due`.
    fn pass(&mut self, due: Instant) {
        let mut freed = VecDeque::new();
        for (key, flight) in &mut self.flying {
            if flight.passed_by > 0 {
                flight.passed_by -= 1;
                if flight.passed_by == 0 && key.0 > due {
                    freed.push_back(*key);
                }
            }
        }
        for key in freed {
            if let Some(flight) = self.flying.remove(&key) {
                self.fly(due, flight.frame, flight.room, 0);
            }
        }
    }
}

struct PipeEgress(Arc<Pipe>);

impl Egress for PipeEgress {
    fn reservoir(&self) -> &Reservoir {
        &self.0.reservoir
    }

    fn enqueue(&self, message: Frame, room: Room) {
        let mut state = lock(&self.0.state);
        if state.ending == Ending::Open {
            state.queued.push((message, room));
        }
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn progress(&self) -> u64 {
        self.0.delivered.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Carries one direction to its end.
async fn carry(pipe: Arc<Pipe>, ingress: Ingress) {
    hand_in(&pipe, ingress).await;
    // Who sends learns from the other direction that nobody receives; until then what comes is lost.
    while pipe.next().await.is_some() {}
}

/// Hands in what arrives until either end closes. Dropping the ingress ends the receiver's connection.
async fn hand_in(pipe: &Pipe, mut ingress: Ingress) {
    loop {
        let frame = tokio::select! {
            biased;
            () = ingress.closed() => return,
            frame = pipe.next() => frame,
        };
        if frame.is_none() {
            return;
        }
        let mut next = frame;
        while let Some(frame) = next {
            if ingress.receive(frame).await.is_err() {
                return;
            }
            next = pipe.arrived().ok();
        }
        ingress.flush();
    }
}

/// Steele, Lea and Flood's SplitMix64: small, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    fn fraction(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    /// From 0 to `bound`, without `bound`; 0 if that is 0.
    fn below(&mut self, bound: u32) -> u32 {
        let drawn = self.next() % u64::from(bound.max(1));
        u32::try_from(drawn).unwrap_or(0)
    }
}
