//! One end of a session: its streams, its time, its end.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

use super::error::OpenError;
use super::frame::{MAX_RESOURCE, Reason, StreamId};
use super::opens::PeerOpens;
use super::pings::Pings;
use super::receiving::{Event, Events};
use super::schedule::Schedule;
use super::stream::{Phase, Stream};
use super::window::Window;
use super::{
    CHANNEL_WINDOW, INITIAL_STREAMS, MAX_WINDOW, SOLE_AFTER_MS, SOLE_WINDOW, STREAM_WINDOW,
};
use crate::Tick;

/// All streams stand this long for want of credit that one of them holds: then that one is reset.
const STALL_MS: u64 = 10_000;

/// Which end of the channel this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Made the channel; its streams have even numbers.
    Initiator,
    /// Answered; its streams have odd numbers, and it opens none unless it is asked to.
    Responder,
}

impl Role {
    const fn parity(self) -> u64 {
        match self {
            Self::Initiator => 0,
            Self::Responder => 1,
        }
    }

    /// Streams of this role that may be opened before any credit.
    const fn initial_streams(self) -> u64 {
        match self {
            Self::Initiator => INITIAL_STREAMS,
            Self::Responder => 0,
        }
    }
}

/// Bounds of a session, of this end's choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams that this end has open, and as many of an initiating peer's; at least [`INITIAL_STREAMS`] of those.
    pub streams: usize,
    /// Most bytes of one stream that are held for its consumer; between [`STREAM_WINDOW`] and [`MAX_WINDOW`].
    pub stream_window: u64,
    /// Most bytes of all streams that are held; at least [`CHANNEL_WINDOW`].
    pub channel_window: u64,
}

impl Default for Limits {
    /// 8,192 streams; 8 MiB a stream, 32 MiB in all.
    fn default() -> Self {
        Self {
            streams: 8_192,
            stream_window: 8 << 20,
            channel_window: 32 << 20,
        }
    }
}

/// One end of a session. The [module](super) says how it is driven.
#[derive(Debug)]
pub struct Session {
    pub(super) role: Role,
    limits: Limits,
    pub(super) streams: BTreeMap<StreamId, Box<Stream>>,
    pub(super) schedule: Schedule,
    /// Streams with frames due. Bound: one entry a stream.
    pub(super) due: VecDeque<StreamId>,
    /// Streams of ours that wait for leave to be opened. Bound: `Limits::streams`.
    pub(super) waiting: VecDeque<StreamId>,
    next_id: StreamId,
    /// Streams of ours that are open or wait.
    own: usize,
    /// Opens of ours that have leave, sent or not.
    pub(super) own_opens: u64,
    /// Opens that the peer allows.
    pub(super) own_allowed: u64,
    pub(super) peer_opens: PeerOpens,
    /// Data of all streams to us.
    pub(super) incoming: Window,
    /// The stream whose data was consumed last, and since when no other's was.
    sole: Option<(StreamId, Tick)>,
    pub(super) sent: u64,
    /// Total that our data must not pass.
    pub(super) limit: u64,
    pub(super) pings: Pings,
    /// Whose turn it is, and for how many bytes.
    pub(super) granted: Option<(StreamId, usize)>,
    /// Since when the peer cannot send for want of credit, and there is none to give.
    stalled: Option<Tick>,
    pub(super) is_over: bool,
    /// The peer is known to have its end of the session: it has spoken, or has answered the Hello. A responder that spoke first could
    /// be ahead of its own answer, and what is said to nobody is lost.
    pub(super) is_met: bool,
}

impl Session {
    /// A session on a channel that is new.
    #[must_use]
    pub fn new(role: Role, limits: Limits, now: Tick) -> Self {
        let peer = match role {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        let announced = peer.initial_streams();
        let allowed = match peer {
            Role::Initiator => announced.max(limits.streams as u64),
            Role::Responder => 0,
        };
        Self {
            role,
            limits: Limits {
                stream_window: limits.stream_window.clamp(STREAM_WINDOW, MAX_WINDOW),
                channel_window: limits.channel_window.max(CHANNEL_WINDOW),
                ..limits
            },
            streams: BTreeMap::new(),
            schedule: Schedule::new(),
            due: VecDeque::new(),
            waiting: VecDeque::new(),
            next_id: StreamId(role.parity()),
            own: 0,
            own_opens: 0,
            own_allowed: role.initial_streams(),
            peer_opens: PeerOpens::new(announced, allowed, now),
            incoming: Window::new(CHANNEL_WINDOW, CHANNEL_WINDOW),
            sole: None,
            sent: 0,
            limit: CHANNEL_WINDOW,
            pings: Pings::new(),
            granted: None,
            stalled: None,
            is_over: false,
            is_met: role == Role::Initiator,
        }
    }

    /// Begins a stream to `resource`. It can be sent to at once: its first turn is its Open, with whatever data
    /// there is by then. A stream that must wait for the peer's leave to be opened waits here.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, resource: &str) -> Result<StreamId, OpenError> {
        let len = resource.len();
        if len == 0 || len > MAX_RESOURCE {
            let max = MAX_RESOURCE;
            return Err(OpenError::Resource { len, max });
        }
        if self.is_over {
            return Err(OpenError::Over);
        }
        if self.own_allowed == 0 {
            return Err(OpenError::Unasked);
        }
        if self.own >= self.limits.streams {
            let max = self.limits.streams;
            return Err(OpenError::TooMany { max });
        }
        let id = self.next_id;
        // 2^63 streams of a session take longer than its channel lives.
        self.next_id = StreamId(id.0.saturating_add(2));
        self.own += 1;
        let stream = Stream::new(Phase::Unopened(Box::from(resource)), STREAM_WINDOW);
        self.streams.insert(id, Box::new(stream));
        self.waiting.push_back(id);
        self.give_leave();
        Ok(id)
    }

    /// The target of a stream that the peer opened is connected: data may be sent and consumed from now on.
    /// False if there is no such stream, or it was answered before.
    pub fn accept(&mut self, stream: StreamId) -> bool {
        let cap = self.stream_cap();
        let Some(entry) = self.streams.get_mut(&stream) else {
            return false;
        };
        if entry.phase != Phase::Offered {
            return false;
        }
        entry.phase = Phase::Live;
        entry.due.accept = true;
        entry.due.credit = !entry.fin_received && entry.incoming.is_due(cap);
        self.list_due(stream);
        self.wake(stream);
        true
    }

    /// This end's direction of a stream has ended, after all data that was [encoded](Session::encode).
    pub fn finish(&mut self, stream: StreamId) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let is_open = !entry.is_dead() && entry.phase != Phase::Offered;
        if is_open && !entry.is_finished {
            entry.is_finished = true;
            entry.due.fin = true;
            self.list_due(stream);
        }
    }

    /// Ends a stream at once, in both directions, or refuses one that the peer opened. Data that is held for it
    /// counts as consumed, and nothing more is heard of it.
    pub fn reset(&mut self, stream: StreamId, reason: Reason, now: Tick) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        if entry.is_dead() {
            return;
        }
        let held = entry.incoming.held();
        if entry.is_unopened() || entry.has_ended() {
            // The peer has not heard of it, or has heard all.
            self.remove(stream, now);
        } else {
            // Kept until the peer is told, so that the list of those who must be told has a bound.
            let accepted = entry.phase == Phase::Live;
            entry.phase = Phase::Dead(reason);
            entry.was_accepted = accepted;
            entry.incoming.consume(held, None, 0, now);
            self.schedule.remove(stream, &mut entry.turn);
            self.list_due(stream);
        }
        self.ungrant(stream);
        self.consume_channel(held, now);
    }

    /// Asks the peer, a responder, for up to `count` streams at a time: it may open them from now on.
    pub fn allow_streams(&mut self, count: u32) {
        if self.role == Role::Initiator {
            self.peer_opens.allow(count.into());
        }
    }

    /// `len` bytes of data that came for `stream` need no memory any more: they are written, or dropped.
    pub fn consumed(&mut self, stream: StreamId, len: usize, now: Tick) {
        let cap = self.stream_cap();
        let least = self.least_window(stream, now);
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let rtt = self.pings.least_ms();
        entry.incoming.set_least(least);
        let len = entry.incoming.consume(len as u64, rtt, cap, now);
        let wants = !entry.fin_received && entry.incoming.is_due(cap);
        let is_done = entry.has_ended() && entry.incoming.held() == 0;
        // Before its answer a stream of the peer's gets no more than every stream does.
        if wants && matches!(entry.phase, Phase::Live | Phase::Asked) {
            entry.due.credit = true;
            self.list_due(stream);
        }
        if is_done {
            self.remove(stream, now);
        }
        self.consume_channel(len, now);
    }

    /// Asks the peer for a sign of life: a Ping is due, or again the one that is under way.
    pub const fn ask(&mut self) {
        self.pings.ask();
    }

    /// When to call [`on_deadline`](Session::on_deadline), unless something else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        let stall = self
            .stalled
            .map(|since| Tick(since.0.saturating_add(STALL_MS)));
        let places = self.peer_opens.deadline();
        stall.into_iter().chain(places).min()
    }

    /// What time brings: the stream that has held up all others for ten seconds is reset.
    #[must_use]
    pub fn on_deadline(&mut self, now: Tick) -> Events {
        let mut events = Events::new();
        self.peer_opens.on_deadline(now);
        let is_late = |since: Tick| since.0.saturating_add(STALL_MS) <= now.0;
        if !self.stalled.is_some_and(is_late) {
            return events;
        }
        let cap = self.limits.channel_window;
        while self.incoming.is_exhausted(cap) {
            let fullest = self
                .streams
                .iter()
                .max_by_key(|(_, entry)| entry.incoming.held());
            let Some((&stream, _)) = fullest.filter(|(_, entry)| entry.incoming.held() > 0) else {
                break;
            };
            let reason = Reason::Stalled;
            self.reset(stream, reason, now);
            events.push(Event::Reset { stream, reason });
        }
        self.watch_stall(now);
        events
    }

    /// The channel is gone, or is given up: each stream that has not ended in both directions is reset, and the session is over.
    #[must_use]
    pub fn lost(&mut self) -> Events {
        self.is_over = true;
        let streams = core::mem::take(&mut self.streams);
        let (waiting, due) = (&mut self.waiting, &mut self.due);
        (*waiting, *due) = (VecDeque::new(), VecDeque::new());
        self.schedule = Schedule::new();
        self.granted = None;
        let cut = streams
            .into_iter()
            .filter(|(_, entry)| !entry.has_ended() && !entry.is_dead());
        let reason = Reason::Gone;
        cut.map(|(stream, _)| Event::Reset { stream, reason })
            .collect()
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Streams that have not ended at this end.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Bytes received for all streams and not consumed.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.incoming.held()
    }

    /// Bytes of `stream` that were sent and that the peer may still ask for again.
    #[must_use]
    pub fn unacknowledged(&self, stream: StreamId) -> u64 {
        let entry = self.streams.get(&stream);
        entry.map_or(0, |entry| entry.sent.saturating_sub(entry.acknowledged))
    }

    /// The least time from a Ping to its Pong, in milliseconds.
    #[must_use]
    pub const fn round_trip_ms(&self) -> Option<u64> {
        self.pings.least_ms()
    }

    /// Whether this end opened `stream`, or might.
    pub(super) const fn is_own(&self, stream: StreamId) -> bool {
        stream.0 % 2 == self.role.parity()
    }

    /// Whether there was such a stream.
    pub(super) fn has_been(&self, stream: StreamId) -> bool {
        if self.is_own(stream) {
            stream < self.next_id
        } else {
            self.peer_opens.has_passed(stream)
        }
    }

    /// Largest window of a stream: four that stand still do not fill the channel's.
    pub(super) fn stream_cap(&self) -> u64 {
        self.limits
            .stream_window
            .min(self.limits.channel_window / 4)
    }

    /// What a stream may send at least: more while it is the only one that has something to say.
    fn least_window(&mut self, stream: StreamId, now: Tick) -> u64 {
        let (sole, since) = *self.sole.get_or_insert((stream, now));
        if sole != stream {
            self.sole = Some((stream, now));
        } else if now.0.saturating_sub(since.0) >= SOLE_AFTER_MS {
            return SOLE_WINDOW;
        }
        STREAM_WINDOW
    }

    pub(super) const fn channel_cap(&self) -> u64 {
        self.limits.channel_window
    }

    /// Puts streams that wait into the schedule, as far as the peer allows.
    pub(super) fn give_leave(&mut self) {
        while self.own_opens < self.own_allowed {
            let Some(id) = self.waiting.pop_front() else {
                return;
            };
            if let Some(entry) = self.streams.get_mut(&id) {
                self.own_opens += 1;
                self.schedule.wake(id, &mut entry.turn);
            }
        }
    }

    pub(super) fn list_due(&mut self, stream: StreamId) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        // What is due before the Open is listed behind it.
        if !entry.is_unopened() && !entry.due.is_listed {
            entry.due.is_listed = true;
            self.due.push_back(stream);
        }
    }

    pub(super) fn consume_channel(&mut self, len: u64, now: Tick) {
        let cap = self.limits.channel_window;
        self.incoming.consume(len, self.pings.least_ms(), cap, now);
        self.watch_stall(now);
    }

    pub(super) fn watch_stall(&mut self, now: Tick) {
        if self.incoming.is_exhausted(self.limits.channel_window) {
            self.stalled.get_or_insert(now);
        } else {
            self.stalled = None;
        }
    }

    /// Forgets a stream that binds nothing any more.
    pub(super) fn remove(&mut self, stream: StreamId, now: Tick) {
        let Some(mut entry) = self.streams.remove(&stream) else {
            return;
        };
        self.schedule.remove(stream, &mut entry.turn);
        if entry.due.is_listed {
            self.due.retain(|other| *other != stream);
        }
        self.ungrant(stream);
        if !self.is_own(stream) {
            let accepted = entry.phase == Phase::Live || entry.was_accepted;
            self.peer_opens.ended(accepted, now);
            return;
        }
        self.own = self.own.saturating_sub(1);
        if entry.is_unopened() {
            let before = self.waiting.len();
            self.waiting.retain(|other| *other != stream);
            // It had leave, and makes no use of it.
            if self.waiting.len() == before {
                self.own_opens = self.own_opens.saturating_sub(1);
                self.give_leave();
            }
        }
    }

    fn ungrant(&mut self, stream: StreamId) {
        self.granted.take_if(|(granted, _)| *granted == stream);
    }
}
