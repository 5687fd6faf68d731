//! Delivery without a post office: a read-mostly map from address to endpoint, walked by the caller.
//!
//! An endpoint is a *mailbox* (a worker's bounded queue) or an *inline hop* (encryptor, decryptor, relay,
//! connection), which handles a message on the caller's thread and says what follows. Delivery is a loop over
//! such steps: no task of its own, no recursion, no `.await`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sealway_core::wire::{Address, Route};

use crate::counters::{Count, Counters};
use crate::exposure::Exposure;
use crate::mailbox::MailboxSender;
use crate::message::Message;
use crate::portal::Outlet;
use crate::room::{Reservoir, Room};

/// What an inline hop made of a message.
pub(crate) enum Step {
    /// These messages go on, in this order, each to its first onward address.
    Next(Message),
    /// As `Next`, when one message set others free.
    Batch(Vec<Message>),
    /// Handled.
    Done,
    /// There is no room: here is the message again, and what to wait for.
    Full(Message, Wanted),
    /// Given up and counted by the hop.
    Refused(Count),
}

/// A bounded queue that somebody waits for.
pub(crate) trait Bottleneck: Send + Sync {
    /// The queue's room.
    fn reservoir(&self) -> &Reservoir;
    /// Bytes that have left the queue since it was made: whether it moves.
    fn progress(&self) -> u64;
    /// Gives the queue up because it has stood still for too long.
    fn give_up(&self, reason: Count);
    /// Whether a reader that cannot hand on may be paused for this queue, or must drop.
    fn may_pause(&self) -> bool {
        true
    }
}

/// Room that is not there yet: so many bytes in a queue. Who has waited for it puts it into the message, which brings it
/// along: given back and asked for again, it would go to and fro between those who wait.
pub(crate) struct Wanted {
    pub(crate) at: Arc<dyn Bottleneck>,
    pub(crate) len: usize,
}

impl Wanted {
    /// Waits for the room. `None`: the queue is gone.
    pub(crate) async fn wait(&self) -> Option<Room> {
        self.at.reservoir().reserve(self.len).await
    }
}

/// Why room could not be reserved.
pub(crate) enum NoRoom {
    Full(Wanted),
    Gone,
    /// More than the transport ever takes in one message.
    TooLarge,
}

/// An endpoint that works on the caller's thread.
pub(crate) trait Hop: Send + Sync {
    /// Handles one message. Must not block.
    fn step(&self, router: &Router, message: Message, flushes: &mut Flushes) -> Step;

    /// Reserves room for a message of `len` payload bytes at the end of the path that begins here, at hop `at` of `route`:
    /// `brought` if it is room there.
    fn reserve(
        &self,
        _router: &Router,
        _route: &Route,
        _at: usize,
        _len: usize,
        _brought: Room,
    ) -> Result<Room, NoRoom> {
        Ok(Room::default())
    }

    /// Bytes that wait at the end of the path that begins here.
    fn backlog(&self, _router: &Router) -> usize {
        0
    }

    /// The service that portals lead to from here.
    fn outlet(&self) -> Option<Arc<Outlet>> {
        None
    }
}

/// Something that was written to and wants to be flushed once the batch is complete.
pub(crate) trait Flush: Send + Sync {
    fn flush(&self);

    /// The same for one message of a task that may have more to send: see [`Egress::flush_soon`](crate::transport::Egress::flush_soon).
    fn flush_soon(&self) {
        self.flush();
    }
}

/// The writers to flush at the end of a batch, each once.
#[derive(Default)]
pub(crate) struct Flushes(Vec<Arc<dyn Flush>>);

impl Flushes {
    pub(crate) fn add(&mut self, writer: &Arc<dyn Flush>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, writer)) {
            self.0.push(Arc::clone(writer));
        }
    }

    pub(crate) fn run(&mut self) {
        for writer in self.0.drain(..) {
            writer.flush();
        }
    }

    pub(crate) fn run_soon(&mut self) {
        for writer in self.0.drain(..) {
            writer.flush_soon();
        }
    }
}

/// Who receives at an address.
pub(crate) enum Target {
    Mailbox(MailboxSender),
    Hop(Arc<dyn Hop>),
}

/// An address in use.
pub(crate) struct Endpoint {
    pub(crate) exposure: Exposure,
    pub(crate) target: Target,
}

/// Why a message was not delivered.
pub(crate) enum Undelivered {
    /// Hold these, wait for room, deliver them again in this order.
    Full(Vec<Message>, Wanted),
    /// Given up, and counted.
    Refused(Count),
}

const SHARDS: usize = 16;
/// A message is passed on at most this often inside a node: ends loops of local hops.
const MAX_STEPS: usize = 64;

type Shard = RwLock<HashMap<Address, Arc<Endpoint>>>;

/// The map from address to endpoint.
pub(crate) struct Router {
    shards: [Shard; SHARDS],
    pub(crate) counters: Arc<Counters>,
}

impl Router {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            counters,
        }
    }

    fn shard(&self, address: &Address) -> &Shard {
        // No secret is needed here: whose addresses all fall into one shard has it as if it were the only one.
        let last = address.value().last().copied().unwrap_or_default();
        &self.shards[usize::from(last) % SHARDS]
    }

    pub(crate) fn get(&self, address: &Address) -> Option<Arc<Endpoint>> {
        let shard = self
            .shard(address)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard.get(address).cloned()
    }

    /// Takes an address into use. `false`: it is taken.
    pub(crate) fn insert(&self, address: Address, endpoint: Endpoint) -> bool {
        let mut shard = self
            .shard(&address)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shard.entry(address) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Arc::new(endpoint));
                true
            }
        }
    }

    pub(crate) fn remove(&self, address: &Address) -> Option<Arc<Endpoint>> {
        let mut shard = self
            .shard(address)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        shard.remove(address)
    }

    /// Removes everything: workers see their mailboxes close.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let all = std::mem::take(&mut *shard.write().unwrap_or_else(PoisonError::into_inner));
            drop(all);
        }
    }

    /// Addresses in use.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Room for `len` bytes at the end of the path that begins at hop `at` of `route`: `brought` if it is room there.
    pub(crate) fn reserve(
        &self,
        route: &Route,
        at: usize,
        len: usize,
        brought: Room,
    ) -> Result<Room, NoRoom> {
        let first = route.iter().nth(at).ok_or(NoRoom::Gone)?;
        let endpoint = self.get(first).ok_or(NoRoom::Gone)?;
        match &endpoint.target {
            Target::Hop(hop) => hop.reserve(self, route, at, len, brought),
            Target::Mailbox(mailbox) => mailbox.reserve(len, brought),
        }
    }

    /// Bytes that wait at the end of the path that begins at `first`; 0 where nobody is.
    pub(crate) fn backlog(&self, first: &Address) -> usize {
        self.get(first)
            .map_or(0, |endpoint| match &endpoint.target {
                Target::Hop(hop) => hop.backlog(self),
                Target::Mailbox(_) => 0,
            })
    }

    /// Delivers `message`; the caller runs `flushes` when its batch is complete.
    pub(crate) fn deliver(
        &self,
        message: Message,
        flushes: &mut Flushes,
    ) -> Result<(), Undelivered> {
        let mut pending = Vec::new();
        let mut current = message;
        let mut steps = 0;
        let mut refused = None;
        loop {
            steps += 1;
            let step = if steps > MAX_STEPS {
                Step::Refused(Count::TooManyHops)
            } else {
                self.one(current, flushes)
            };
            match step {
                Step::Next(next) => {
                    current = next;
                    continue;
                }
                Step::Batch(mut batch) => {
                    steps = 0;
                    batch.reverse();
                    pending.append(&mut batch);
                }
                Step::Done => {}
                Step::Full(message, wanted) => {
                    let mut held = vec![message];
                    held.extend(pending.into_iter().rev());
                    return Err(Undelivered::Full(held, wanted));
                }
                Step::Refused(reason) => {
                    self.counters.one(reason);
                    refused = Some(reason);
                }
            }
            match pending.pop() {
                Some(next) => current = next,
                None => return refused.map_or(Ok(()), |reason| Err(Undelivered::Refused(reason))),
            }
        }
    }

    /// One step: admission, then the endpoint.
    fn one(&self, message: Message, flushes: &mut Flushes) -> Step {
        let Some(first) = message.onward.first() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let Some(endpoint) = self.get(first) else {
            let reason = if !first.is_local() && message.origin.is_foreign() {
                Count::ForeignDial
            } else {
                Count::UnknownAddress
            };
            return Step::Refused(reason);
        };
        if !endpoint.exposure.admits(&message.origin) {
            tracing::debug!(to = %first, origin = ?message.origin.peer(), "not exposed to this origin");
            return Step::Refused(Count::NotExposed);
        }
        match &endpoint.target {
            Target::Mailbox(mailbox) => mailbox.push(message),
            Target::Hop(hop) => hop.step(self, message, flushes),
        }
    }
}
