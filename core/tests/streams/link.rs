//! Two sessions, their sockets, and a channel between them that delays, and is cut.

use std::collections::{BTreeMap, VecDeque};

use sealway_core::Tick;
use sealway_core::streams::{
    Event, Limits, Reason, Role, Session, SessionError, StreamId, Transmit,
};
use sealway_core::wire::Frame;

/// Bytes that the transport of one end queues at the most.
pub(crate) const QUEUE: usize = 128 << 10;

/// How a direction of a stream ended for the socket that it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    Reset(Reason),
}

/// The socket of a stream at one end.
#[derive(Default, Debug)]
pub(crate) struct Socket {
    /// Bytes that the application has written, and how many were sent on.
    pub(crate) written: u64,
    pub(crate) sent: u64,
    /// The application has ended its direction.
    pub(crate) ended: bool,
    pub(crate) finished: bool,
    /// Bytes that came, and how many of them were taken.
    pub(crate) received: u64,
    pub(crate) taken: u64,
    pub(crate) outcome: Option<Outcome>,
    /// This end has reset it.
    pub(crate) is_dead: bool,
    /// The peer knows of the stream.
    pub(crate) opened: bool,
    pub(crate) accepted: bool,
    pub(crate) resource: String,
}

pub(crate) struct Party {
    pub(crate) role: Role,
    pub(crate) session: Session,
    pub(crate) sockets: BTreeMap<StreamId, Socket>,
    /// Messages to the peer, and when they arrive.
    pub(crate) queue: VecDeque<(Frame, Tick)>,
    pub(crate) queued: usize,
    pub(crate) error: Option<SessionError>,
    /// Streams are accepted, and data is taken, as soon as they come.
    pub(crate) is_eager: bool,
    /// Streams in the order of their turns, and the bytes sent before each.
    pub(crate) turns: Vec<(StreamId, usize, u64)>,
    total: u64,
}

/// Byte `offset` of what `role` sends on `stream`: no two places look alike for long.
fn pattern(role: Role, stream: StreamId, offset: u64) -> u8 {
    let salt = if role == Role::Initiator { 0x55 } else { 0xaa };
    let mixed = (offset + stream.0 * 0x1_0001 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

impl Party {
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            session: Session::new(role, limits, Tick(0)),
            sockets: BTreeMap::new(),
            queue: VecDeque::new(),
            queued: 0,
            error: None,
            is_eager: true,
            turns: Vec::new(),
            total: 0,
        }
    }

    pub(crate) fn open(&mut self, resource: &str) -> StreamId {
        let stream = self.session.open(resource).unwrap();
        self.sockets.insert(stream, Socket::default());
        stream
    }

    /// The application writes `len` bytes to its socket.
    pub(crate) fn write(&mut self, stream: StreamId, len: u64) {
        let socket = self.sockets.get_mut(&stream).unwrap();
        socket.written += len;
        self.session.readable(stream);
    }

    /// The application ends its direction.
    pub(crate) fn end(&mut self, stream: StreamId) {
        let socket = self.sockets.get_mut(&stream).unwrap();
        socket.ended = true;
        if socket.sent == socket.written && !socket.finished {
            socket.finished = true;
            self.session.finish(stream);
        }
    }

    pub(crate) fn accept(&mut self, stream: StreamId) {
        assert!(self.session.accept(stream));
        self.sockets.get_mut(&stream).unwrap().accepted = true;
    }

    pub(crate) fn reset(&mut self, stream: StreamId, reason: Reason, now: Tick) {
        self.session.reset(stream, reason, now);
        let socket = self.sockets.get_mut(&stream).unwrap();
        socket.is_dead = true;
        socket.outcome.get_or_insert(Outcome::Reset(reason));
    }

    /// The application takes up to `len` bytes.
    pub(crate) fn take(&mut self, stream: StreamId, len: u64, now: Tick) {
        let socket = self.sockets.get_mut(&stream).unwrap();
        let len = len.min(socket.received - socket.taken);
        socket.taken += len;
        self.session
            .consumed(stream, usize::try_from(len).unwrap(), now);
    }

    /// Sends as long as the transport has room; what is sent arrives at `at`.
    pub(crate) fn pump(&mut self, now: Tick, at: Tick) {
        while self.queued < QUEUE && self.send_one(QUEUE - self.queued, now, at) {}
    }

    /// Sends one message of at most `budget` bytes.
    pub(crate) fn send_one(&mut self, budget: usize, now: Tick, at: Tick) -> bool {
        let frame = match self.session.next_to_send(budget, now) {
            None => return false,
            Some(Transmit::Message(message)) => message,
            Some(Transmit::Data { stream, max }) => match self.data(stream, max) {
                Some(frame) => frame,
                None => return true,
            },
        };
        assert!(frame.len() <= budget);
        self.queued += frame.len();
        self.total += frame.len() as u64;
        self.queue.push_back((frame, at));
        true
    }

    fn data(&mut self, stream: StreamId, max: usize) -> Option<Frame> {
        let socket = self.sockets.get_mut(&stream).unwrap();
        let len = (socket.written - socket.sent).min(max as u64);
        let bytes: Vec<u8> = (socket.sent..socket.sent + len)
            .map(|offset| pattern(self.role, stream, offset))
            .collect();
        let mut frame = Frame::from_slice(&bytes);
        if len == 0 && socket.opened {
            self.session.drained(stream);
            return None;
        }
        socket.opened = true;
        self.turns.push((stream, bytes.len(), self.total));
        socket.sent += len;
        let more = socket.sent < socket.written;
        self.session.encode(stream, &mut frame, more).unwrap();
        if socket.ended && !more && !socket.finished {
            socket.finished = true;
            self.session.finish(stream);
        }
        Some(frame)
    }

    pub(crate) fn receive(&mut self, message: &[u8], now: Tick) {
        match self.session.on_message(message, now) {
            Ok(events) => {
                for event in events {
                    self.on_event(event, message, now);
                }
            }
            Err(error) => self.error = Some(error),
        }
    }

    fn on_event(&mut self, event: Event, message: &[u8], now: Tick) {
        match event {
            Event::Opened {
                stream,
                resource,
                data,
            } => {
                let resource = String::from_utf8(message[resource].to_vec()).unwrap();
                let socket = Socket {
                    resource,
                    opened: true,
                    ..Socket::default()
                };
                assert!(self.sockets.insert(stream, socket).is_none());
                if self.is_eager {
                    self.accept(stream);
                }
                self.on_bytes(stream, &message[data], now);
            }
            Event::Accepted { stream } => self.sockets.get_mut(&stream).unwrap().accepted = true,
            Event::Data { stream, data } => self.on_bytes(stream, &message[data], now),
            Event::Finished { stream } => {
                let socket = self.sockets.get_mut(&stream).unwrap();
                assert_eq!(socket.outcome, None);
                socket.outcome = Some(Outcome::Finished);
            }
            Event::Reset { stream, reason } => self.cut(stream, reason),
        }
    }

    fn on_bytes(&mut self, stream: StreamId, data: &[u8], now: Tick) {
        let peer = match self.role {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        let socket = self.sockets.get_mut(&stream).unwrap();
        assert_eq!(socket.outcome, None, "data after the end");
        for byte in data {
            assert_eq!(*byte, pattern(peer, stream, socket.received));
            socket.received += 1;
        }
        if self.is_eager {
            self.take(stream, data.len() as u64, now);
        }
    }

    /// All bytes that were handed to the transport.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.total
    }

    fn cut(&mut self, stream: StreamId, reason: Reason) {
        let socket = self.sockets.get_mut(&stream).unwrap();
        socket.outcome = Some(Outcome::Reset(reason));
    }

    /// The channel is gone.
    pub(crate) fn lose(&mut self) {
        for event in self.session.lost() {
            let Event::Reset { stream, reason } = event else {
                panic!("{event:?}");
            };
            self.cut(stream, reason);
        }
    }

    pub(crate) fn on_deadline(&mut self, now: Tick) {
        for event in self.session.on_deadline(now) {
            self.on_event(event, &[], now);
        }
    }
}

/// Two ends of a session.
pub(crate) struct Pair {
    pub(crate) a: Party,
    pub(crate) b: Party,
    pub(crate) now: Tick,
}

impl Pair {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            a: Party::new(Role::Initiator, limits),
            b: Party::new(Role::Responder, limits),
            now: Tick(0),
        }
    }

    /// Delivers the oldest message from one end to the other; whether there was one.
    pub(crate) fn deliver(&mut self, from_a: bool) -> bool {
        let (from, to) = match from_a {
            true => (&mut self.a, &mut self.b),
            false => (&mut self.b, &mut self.a),
        };
        let Some((message, _)) = from.queue.pop_front() else {
            return false;
        };
        from.queued -= message.len();
        to.receive(message.as_slice(), self.now);
        true
    }

    pub(crate) fn pump(&mut self) {
        self.a.pump(self.now, self.now);
        self.b.pump(self.now, self.now);
    }

    /// Until nothing is left to send or deliver.
    pub(crate) fn settle(&mut self) {
        loop {
            self.pump();
            let one = self.deliver(true);
            if !(self.deliver(false) || one) {
                assert_eq!((self.a.error, self.b.error), (None, None));
                return;
            }
        }
    }

    pub(crate) fn lose(&mut self) {
        self.a.lose();
        self.b.lose();
    }

    /// What must hold whatever happened: an end of file only after all of the peer's bytes.
    pub(crate) fn check(&self) {
        for (end, peer) in [(&self.a, &self.b), (&self.b, &self.a)] {
            for (stream, socket) in &end.sockets {
                let Some(other) = peer.sockets.get(stream) else {
                    assert_eq!(socket.received, 0);
                    assert_ne!(socket.outcome, Some(Outcome::Finished));
                    continue;
                };
                assert!(socket.received <= other.sent);
                if socket.outcome == Some(Outcome::Finished) {
                    assert!(other.ended, "an end that nobody made");
                    assert_eq!(socket.received, other.written, "stream {stream}");
                }
            }
        }
    }
}
