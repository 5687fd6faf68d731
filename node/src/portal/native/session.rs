//! One session: core's state machine, the connections in it, and what the peer's messages do.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use sealway_core::Tick;
use sealway_core::streams::{self, Event, Limits, OpenError, Reason, Role, StreamId};
use sealway_core::wire::Frame;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::place;
use super::stream::{Stream, Why};
use crate::channel::{ChannelShared, CloseReason};
use crate::counters::{Count, Counters};
use crate::message::{Message, Origin};
use crate::node::{Shared, lock};
use crate::router::{Flush, Flushes};
use crate::telling::Line;
use crate::transport::socket::SocketWriter;

/// One end of a session. It ends with its channel.
pub(crate) struct Session {
    pub(super) channel: Arc<ChannelShared>,
    /// Gaps of the channel when the session began.
    gaps: u32,
    started: Instant,
    machine: Mutex<Machine>,
    /// There may be something to send.
    pub(super) wake: Notify,
    pub(super) counters: Arc<Counters>,
}

pub(super) struct Machine {
    pub(super) core: streams::Session,
    pub(super) streams: HashMap<StreamId, Arc<Stream>>,
}

/// An Open that has to be decided on.
struct Opened {
    stream: Arc<Stream>,
    resource: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.channel.origin.channel)
    }
}

impl Session {
    pub(super) fn new(node: &Shared, channel: &Arc<ChannelShared>, role: Role) -> Arc<Self> {
        let core = streams::Session::new(role, Limits::default(), Tick(0));
        Arc::new(Self {
            channel: Arc::clone(channel),
            gaps: channel.fate.borrow().gaps,
            started: Instant::now(),
            machine: Mutex::new(Machine {
                core,
                streams: HashMap::new(),
            }),
            wake: Notify::new(),
            counters: Arc::clone(&node.router.counters),
        })
    }

    /// The session's time, in milliseconds since its beginning.
    pub(super) fn now(&self) -> Tick {
        Tick(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When something is due by time alone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at = lock(&self.machine).core.deadline()?;
        Some(self.started + std::time::Duration::from_millis(at.0))
    }

    /// Whether the channel has lost something since the session began, or is closed.
    pub(super) fn is_cut(&self) -> bool {
        let fate = *self.channel.fate.borrow();
        fate.closed.is_some() || (fate.gaps != self.gaps && checks_integrity())
    }

    /// Resolves when the channel has lost something, or is closed.
    pub(super) async fn cut(&self) {
        let mut fate = self.channel.fate.subscribe();
        while !self.is_cut() {
            if fate.changed().await.is_err() {
                return;
            }
        }
    }

    /// Works on the state machine, then wakes who sends if there is a reason to.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = lock(&self.machine);
        let outcome = act(&mut machine);
        let wants = machine.core.wants_to_send();
        drop(machine);
        if wants {
            self.wake.notify_one();
        }
        outcome
    }

    /// The same without waking, for who sends.
    pub(super) fn look<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        act(&mut lock(&self.machine))
    }

    /// Asks the peer for a sign of life.
    pub(crate) fn ask(&self) {
        self.with(|machine| machine.core.ask());
    }

    /// Connections that have not ended at this end.
    pub(crate) fn streams(&self) -> usize {
        self.look(|machine| machine.core.streams())
    }

    /// Begins a connection of ours.
    pub(super) fn open(
        self: &Arc<Self>,
        resource: &str,
        writer: Arc<SocketWriter>,
    ) -> Result<Arc<Stream>, OpenError> {
        self.with(|machine| {
            let id = machine.core.open(resource)?;
            let stream = Stream::new(self, id, Some(writer));
            machine.streams.insert(id, Arc::clone(&stream));
            Ok(stream)
        })
    }

    /// Forgets a connection, which is over at this end: in order, or else its socket is reset and the peer told.
    pub(super) fn forget(&self, id: StreamId, in_order: bool) {
        let now = self.now();
        self.with(|machine| {
            if !in_order {
                machine.core.reset(id, Reason::Gone, now);
            }
            machine.streams.remove(&id);
        });
    }

    /// Resets a connection from this end.
    pub(super) fn reset(&self, stream: &Stream, why: Why) {
        let now = self.now();
        self.with(|machine| {
            machine.core.reset(stream.id, why.reason(), now);
            machine.streams.remove(&stream.id);
        });
        stream.cut(why);
    }

    /// Takes a message of the peer's.
    pub(super) fn on_message(
        self: &Arc<Self>,
        node: &Arc<Shared>,
        message: Message,
        flushes: &mut Flushes,
    ) {
        // What follows a gap must reach no socket, and the sending task may not have seen the gap yet.
        if self.is_cut() {
            return self.end(node);
        }
        let Message {
            payload, origin, ..
        } = message;
        let now = self.now();
        let outcome = self.with(|machine| {
            let events = machine.core.on_message(payload.as_slice(), now)?;
            Ok::<_, streams::SessionError>(self.carry_out(machine, events, payload, flushes))
        });
        match outcome {
            Ok(opened) => {
                for opened in opened {
                    self.decide(node, opened, &origin);
                }
            }
            Err(error) => {
                node.router.counters.one(Count::SessionsBroken);
                let peer = self.channel.origin.peer;
                let line = format!("portal session with {peer} ended: {error}");
                node.tell(Count::SessionsBroken, Line::Warning(line));
                self.end(node);
            }
        }
    }

    /// Does what the events say, and leaves Opens to be decided on without the lock.
    fn carry_out(
        self: &Arc<Self>,
        machine: &mut Machine,
        events: streams::Events,
        payload: Frame,
        flushes: &mut Flushes,
    ) -> Vec<Opened> {
        let mut opened = Vec::new();
        let mut payload = Payload::new(payload, &events);
        for event in events {
            match event {
                Event::Opened {
                    stream: id,
                    resource,
                    data,
                } => {
                    let stream = Stream::new(self, id, None);
                    let name = payload.bytes(resource);
                    machine.streams.insert(id, Arc::clone(&stream));
                    let resource = String::from_utf8_lossy(name).into_owned();
                    let data = payload.take(data);
                    self.count_received(data.len());
                    stream.write(data);
                    opened.push(Opened { stream, resource });
                }
                Event::Data { stream, data } => {
                    let data = payload.take(data);
                    self.count_received(data.len());
                    if let Some(stream) = machine.streams.get(&stream) {
                        stream.write(data);
                        flushes.add(&(Arc::clone(stream) as Arc<dyn Flush>));
                    }
                }
                Event::Accepted { stream } => {
                    if let Some(stream) = machine.streams.get(&stream) {
                        stream.accepted();
                    }
                }
                Event::Finished { stream } => {
                    if let Some(stream) = machine.streams.get(&stream) {
                        stream.finish();
                        flushes.add(&(Arc::clone(stream) as Arc<dyn Flush>));
                    }
                }
                Event::Reset { stream, reason } => machine.cut(stream, Why::Peer(reason)),
            }
        }
        opened
    }

    fn count_received(&self, len: usize) {
        self.counters.add(Count::StreamBytesReceived, len as u64);
    }

    /// Policy, then the target; no byte reaches it before.
    fn decide(self: &Arc<Self>, node: &Arc<Shared>, opened: Opened, origin: &Origin) {
        let Opened { stream, resource } = opened;
        match place(node, &resource, origin) {
            Ok(place) => {
                let shared = Arc::clone(node);
                node.spawn(async move { stream.serve(&shared, place).await });
            }
            Err(reason) => self.reset(&stream, Why::Refused(reason)),
        }
    }

    /// What time brings.
    pub(super) fn on_deadline(&self) {
        let now = self.now();
        self.with(|machine| {
            for event in machine.core.on_deadline(now) {
                if let Event::Reset { stream, .. } = event {
                    machine.cut(stream, Why::Stalled);
                }
            }
        });
    }

    /// Ends the session, and the channel with it: nothing could be said in it any more. Every connection that has not ended in
    /// both directions is reset.
    pub(super) fn end(&self, node: &Shared) {
        self.end_for(node, CloseReason::Local);
    }

    /// There is no way to the peer any more.
    pub(super) fn end_without_path(&self, node: &Shared) {
        self.end_for(node, CloseReason::Carrier);
    }

    fn end_for(&self, node: &Shared, reason: CloseReason) {
        node.portals.end(&self.channel.origin.channel);
        let mut machine = lock(&self.machine);
        for event in machine.core.lost() {
            if let Event::Reset { stream, .. } = event {
                machine.cut(stream, Why::Lost);
            }
        }
        // What has ended in both directions is still written, by its own task.
        machine.streams.clear();
        drop(machine);
        let tell = reason == CloseReason::Local;
        self.channel.close(node, reason, tell);
    }
}

impl Machine {
    fn cut(&mut self, stream: StreamId, why: Why) {
        if let Some(stream) = self.streams.remove(&stream) {
            stream.cut(why);
        }
    }
}

/// A message whose data is handed out: the last part of it stays in the buffer that it came in.
struct Payload {
    frame: Frame,
    /// Parts that are still to be handed out.
    parts: usize,
}

impl Payload {
    fn new(frame: Frame, events: &streams::Events) -> Self {
        let has_data = |event: &&Event| matches!(event, Event::Data { .. } | Event::Opened { .. });
        let parts = events.iter().filter(has_data).count();
        Self { frame, parts }
    }

    fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.frame.as_slice().get(range).unwrap_or_default()
    }

    fn take(&mut self, range: std::ops::Range<usize>) -> Frame {
        self.parts = self.parts.saturating_sub(1);
        if self.parts > 0 {
            return Frame::from_slice(self.bytes(range));
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.narrow(range);
        frame
    }
}

/// Whether gaps are looked at; always, but for the control of the tests.
fn checks_integrity() -> bool {
    #[cfg(sealway_weaken)]
    if sealway_core::weaken::off(sealway_core::weaken::Check::StreamIntegrity) {
        return false;
    }
    true
}
