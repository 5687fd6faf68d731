//! The native portal: its messages, and both ends of a session under whatever their sockets, the time and the peer do.

use std::collections::{BTreeMap, VecDeque};

use sealway_core::Tick;
use sealway_core::streams::{
    Event, Limits, MAX_FRAMES, Part, Parts, Reason, Role, Session, StreamId, Transmit,
    control_message, encode_data, encode_open,
};
use sealway_core::wire::Frame;

use crate::input::Input;

/// Most steps of one run.
const MAX_STEPS: usize = 256;
/// Most streams of one run.
const MAX_STREAMS: usize = 8;

/// A message of the native portal: what is accepted has one encoding, and its parts lie inside it, one behind the other.
pub fn native_message(data: &[u8]) {
    let Ok(parts) = Parts::new(data).and_then(Iterator::collect::<Result<Vec<Part>, _>>) else {
        return;
    };
    assert!((1..=MAX_FRAMES).contains(&parts.len()));
    let mut again = control_message(data.len());
    for part in parts {
        match part {
            Part::Control(control) => control.append(&mut again),
            Part::Data {
                stream,
                offset,
                data: range,
            } => {
                let mut frame = Frame::from_slice(&data[range]);
                encode_data(&mut frame, stream, offset);
                again.append(&frame.as_slice()[1..]);
            }
            Part::Open {
                stream,
                limit,
                resource,
                data: range,
            } => {
                let mut frame = Frame::from_slice(&data[range]);
                let name = core::str::from_utf8(&data[resource]).expect("checked");
                encode_open(&mut frame, stream, limit, name);
                again.append(&frame.as_slice()[1..]);
            }
        }
    }
    assert_eq!(again.as_slice(), data);
}

#[derive(Default)]
struct Socket {
    written: usize,
    sent: usize,
    has_ended: bool,
    is_opened: bool,
    is_accepted: bool,
    received: usize,
    taken: usize,
    has_finished: bool,
    is_reset: bool,
}

struct End {
    session: Session,
    sockets: BTreeMap<StreamId, Socket>,
    incoming: VecDeque<Vec<u8>>,
    /// The peer made something up: it may break any rule.
    is_deceived: bool,
    is_over: bool,
}

struct Pair {
    ends: [End; 2],
    now: Tick,
}

/// Two ends of a session. What must hold:
/// * two honest ends never find a breach, whatever they do and in whatever order;
/// * what is written to a socket is a beginning of what the other socket gave, and it ends in order only after all of it;
/// * what is held for consumers and how many streams there are stays within the limits, also under a peer that makes
///   messages up;
/// * after a loss of the channel every socket has ended, or is reset.
pub fn native_pair(data: &[u8]) {
    let mut input = Input(data);
    let limits = Limits {
        streams: MAX_STREAMS,
        ..Limits::default()
    };
    let end = |role| End {
        session: Session::new(role, limits, Tick(0)),
        sockets: BTreeMap::new(),
        incoming: VecDeque::new(),
        is_deceived: false,
        is_over: false,
    };
    let mut pair = Pair {
        ends: [end(Role::Initiator), end(Role::Responder)],
        now: Tick(0),
    };
    for _ in 0..MAX_STEPS {
        if pair.step(&mut input).is_none() {
            break;
        }
        for end in &pair.ends {
            assert!(end.session.held_bytes() <= limits.channel_window);
            assert!(end.session.streams() <= MAX_STREAMS + 64);
        }
    }
    pair.lose();
}

/// What the socket of `stream` gives at `offset`, at end `at`.
fn content(at: usize, stream: StreamId, offset: usize) -> u8 {
    (offset % 251) as u8 ^ (stream.0 as u8) ^ if at == 0 { 0x55 } else { 0 }
}

impl Pair {
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let step = input.byte()?;
        let at = usize::from(step & 1);
        match step >> 1 & 15 {
            0 => self.open(at),
            1 | 2 => {
                let len = usize::from(input.u16()?) * usize::from(step >> 5);
                self.with_stream(at, input, |end, stream| end.write(stream, len));
            }
            3..=5 => self.deliver(at),
            6 | 7 => self.send(at, usize::from(input.u16()?) * 4),
            8 => self.with_stream(at, input, End::end),
            9 => {
                let len = usize::from(input.u16()?) * 8;
                let now = self.now;
                self.with_stream(at, input, |end, stream| end.take(stream, len, now));
            }
            10 => self.with_stream(at, input, |end, stream| {
                let was_offered = end.session.accept(stream);
                assert!(!was_offered || !end.sockets[&stream].is_accepted);
                end.sockets.entry(stream).or_default().is_accepted |= was_offered;
            }),
            11 => {
                let now = self.now;
                self.with_stream(at, input, |end, stream| {
                    end.session.reset(stream, Reason::Gone, now);
                    end.sockets.entry(stream).or_default().is_reset = true;
                });
            }
            12 => {
                self.now.0 += u64::from(input.u16()?);
                let events = self.ends[at].session.on_deadline(self.now);
                self.carry_out(at, &[], events);
            }
            13 => {
                let bytes = input.bytes()?;
                let made_up = [&[1][..], bytes].concat();
                self.ends[at].incoming.push_back(made_up);
                self.ends[at].is_deceived = true;
            }
            14 => self.ends[0].session.allow_streams(1),
            _ => return self.lost(),
        }
        Some(())
    }

    fn lost(&mut self) -> Option<()> {
        self.lose();
        None
    }

    fn with_stream(
        &mut self,
        at: usize,
        input: &mut Input<'_>,
        act: impl FnOnce(&mut End, StreamId),
    ) {
        let end = &mut self.ends[at];
        let live = |socket: &Socket| !socket.is_reset;
        let open = end.sockets.iter().filter(|(_, socket)| live(socket));
        let streams: Vec<StreamId> = open.map(|(stream, _)| *stream).collect();
        if let Some(index) = input.index(streams.len()) {
            act(end, streams[index]);
        }
    }

    fn open(&mut self, at: usize) {
        let end = &mut self.ends[at];
        if end.sockets.len() < MAX_STREAMS * 4
            && let Ok(stream) = end.session.open("db")
        {
            assert!(end.sockets.insert(stream, Socket::default()).is_none());
        }
    }

    /// One message of at most `budget` bytes.
    fn send(&mut self, at: usize, budget: usize) {
        let end = &mut self.ends[at];
        let message = match end.session.next_to_send(budget, self.now) {
            None => return,
            Some(Transmit::Message(message)) => message,
            Some(Transmit::Data { stream, max }) => match end.read(at, stream, max) {
                Some(message) => message,
                None => return,
            },
        };
        assert!(message.len() <= budget);
        assert!(!end.is_over);
        native_message(message.as_slice());
        let message = message.as_slice().to_vec();
        self.ends[1 - at].incoming.push_back(message);
    }

    fn deliver(&mut self, at: usize) {
        let Some(message) = self.ends[at].incoming.pop_front() else {
            return;
        };
        match self.ends[at].session.on_message(&message, self.now) {
            Ok(events) => self.carry_out(at, &message, events),
            Err(error) => {
                let deceived = self.ends.iter().any(|end| end.is_deceived);
                assert!(deceived, "an honest peer broke the rules: {error}");
                self.ends[at].is_over = true;
            }
        }
    }

    fn carry_out(&mut self, at: usize, message: &[u8], events: impl IntoIterator<Item = Event>) {
        // Either end may have been made to say what it would not.
        let deceived = self.ends.iter().any(|end| end.is_deceived);
        for event in events {
            let [first, second] = &mut self.ends;
            let (end, peer) = match at {
                0 => (first, second),
                _ => (second, first),
            };
            match event {
                Event::Opened { stream, data, .. } => {
                    let socket = Socket {
                        is_opened: true,
                        ..Socket::default()
                    };
                    assert!(end.sockets.insert(stream, socket).is_none());
                    end.receive(at, stream, &message[data], deceived);
                }
                Event::Accepted { stream } => {
                    let socket = end.sockets.get_mut(&stream).expect("ours");
                    assert!(!core::mem::replace(&mut socket.is_accepted, true));
                }
                Event::Data { stream, data } => {
                    assert!(!data.is_empty());
                    end.receive(at, stream, &message[data], deceived);
                }
                Event::Finished { stream } => {
                    let socket = end.sockets.get_mut(&stream).expect("known");
                    assert!(!socket.is_reset && !socket.has_finished);
                    socket.has_finished = true;
                    if !deceived {
                        let other = &peer.sockets[&stream];
                        assert!(other.has_ended);
                        assert_eq!(socket.received, other.written);
                    }
                }
                Event::Reset { stream, .. } => {
                    let socket = end.sockets.get_mut(&stream).expect("known");
                    assert!(!core::mem::replace(&mut socket.is_reset, true));
                }
            }
        }
    }

    fn lose(&mut self) {
        for at in [0, 1] {
            let events = self.ends[at].session.lost();
            self.carry_out(at, &[], events);
            let end = &self.ends[at];
            assert_eq!(end.session.streams(), 0);
            for socket in end.sockets.values() {
                assert!(socket.is_reset || socket.has_finished);
            }
        }
    }
}

impl End {
    fn write(&mut self, stream: StreamId, len: usize) {
        let socket = self.sockets.get_mut(&stream).expect("chosen from these");
        if !socket.has_ended && len > 0 {
            socket.written += len;
            self.session.readable(stream);
        }
    }

    /// The application ends its direction. What is not sent by then is not part of it.
    fn end(&mut self, stream: StreamId) {
        let is_own = (stream.0 % 2 == 0) == (self.session.role() == Role::Initiator);
        let socket = self.sockets.get_mut(&stream).expect("chosen from these");
        if is_own || socket.is_accepted {
            socket.has_ended = true;
            socket.written = socket.sent;
            self.session.finish(stream);
        }
    }

    fn take(&mut self, stream: StreamId, len: usize, now: Tick) {
        let socket = self.sockets.get_mut(&stream).expect("chosen from these");
        let len = len.min(socket.received - socket.taken);
        socket.taken += len;
        self.session.consumed(stream, len, now);
    }

    fn read(&mut self, at: usize, stream: StreamId, max: usize) -> Option<Frame> {
        let socket = self.sockets.get_mut(&stream).expect("it has a turn");
        assert!(!socket.is_reset);
        let len = (socket.written - socket.sent).min(max);
        if len == 0 && socket.is_opened {
            self.session.drained(stream);
            return None;
        }
        socket.is_opened = true;
        let from = socket.sent;
        socket.sent += len;
        let more = socket.sent < socket.written;
        let bytes: Vec<u8> = (from..from + len)
            .map(|offset| content(at, stream, offset))
            .collect();
        let mut frame = Frame::from_slice(&bytes);
        let encoded = self.session.encode(stream, &mut frame, more);
        encoded.expect("its turn, and no more than it is for");
        Some(frame)
    }

    fn receive(&mut self, at: usize, stream: StreamId, data: &[u8], deceived: bool) {
        let socket = self.sockets.get_mut(&stream).expect("known");
        assert!(!socket.is_reset && !socket.has_finished);
        for byte in data {
            assert!(deceived || *byte == content(1 - at, stream, socket.received));
            socket.received += 1;
        }
    }
}
