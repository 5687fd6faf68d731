//! Both ends of a portal connection, what their sockets do, and what the way between them does to
//! their messages.

use std::collections::VecDeque;

use sealway_core::Tick;
use sealway_core::portal::{
    Action, Actions, Answer, Inlet, Options, Outlet, PING, PONG, Reason, Stream, answer_when_closed,
};
use sealway_core::wire::Frame;

use crate::input::Input;

/// Most steps of one run.
const MAX_STEPS: usize = 256;

/// What the way did to the messages towards one end.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Way {
    /// Nothing, or what was lost was reported: as below a channel that delivers in order.
    Faithful,
    /// Messages were lost, doubled or swapped, and nobody was told.
    Lossy,
    /// Messages were made up.
    Hostile,
}

struct End {
    stream: Stream,
    /// All that this end's socket gave, and whether it has ended.
    produced: Vec<u8>,
    has_ended: bool,
    /// All that was written to this end's socket.
    written: Vec<u8>,
    has_finished: bool,
    is_reset: bool,
    /// Messages towards this end; none stands for a loss that is reported.
    incoming: VecDeque<Option<Vec<u8>>>,
    way: Way,
}

struct Pair {
    ends: [End; 2],
    now: u64,
}

/// A portal connection. What must hold, with counters on:
/// * unless messages are made up, what is written to a socket is a beginning of what the other
///   socket gave, whatever was lost, doubled or swapped;
/// * unless messages were lost unnoticed, a socket is ended in order only if it was given all;
/// * a closed stream does nothing more, and a reset socket is given nothing more;
/// * where nothing went wrong, both sockets get everything and end in order.
pub fn portal_pair(data: &[u8]) {
    let mut input = Input(data);
    let options = Options {
        counters: input.byte().is_none_or(|byte| byte % 4 != 0),
        ..Options::default()
    };
    let opened = Outlet::accept(PING, options).expect("a Ping opens");
    let Answer::Open(stream) = Inlet::new(Tick(0), options).on_answer(PONG) else {
        panic!("a Pong opens");
    };
    let mut pair = Pair {
        ends: [stream, opened.target_connected()].map(End::new),
        now: 0,
    };
    let mut disturbed = false;
    for _ in 0..MAX_STEPS {
        match pair.step(&mut input, options) {
            Some(has_disturbed) => disturbed |= has_disturbed,
            None => break,
        }
    }
    if !disturbed && options.counters {
        pair.finish(options);
    }
}

impl End {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            produced: Vec::new(),
            has_ended: false,
            written: Vec::new(),
            has_finished: false,
            is_reset: false,
            incoming: VecDeque::new(),
            way: Way::Faithful,
        }
    }
}

impl Pair {
    /// One step; gives whether it was of a kind that may keep the connection from ending well.
    fn step(&mut self, input: &mut Input<'_>, options: Options) -> Option<bool> {
        let step = input.byte()?;
        let at = usize::from(step & 1);
        match step >> 1 & 15 {
            0..=2 => self.chunk(at, input.bytes()?, options),
            3..=6 => self.deliver(at, options),
            7 => self.end_of_file(at, options),
            8 => {
                if let Some(message) = self.ends[at].incoming.front_mut() {
                    *message = None;
                    return Some(true);
                }
            }
            9 => {
                let len = self.ends[at].incoming.len();
                let (a, b) = (input.index(len)?, input.index(len)?);
                let end = &mut self.ends[at];
                end.way = if end.way < Way::Lossy {
                    Way::Lossy
                } else {
                    end.way
                };
                match step >> 5 & 3 {
                    0 => drop(end.incoming.remove(a)),
                    1 => end.incoming.swap(a, b),
                    _ => {
                        let again = end.incoming[a].clone();
                        end.incoming.insert(b, again);
                    }
                }
                return Some(true);
            }
            10 => {
                let bytes = input.bytes()?;
                self.ends[at].incoming.push_back(Some(bytes.to_vec()));
                self.ends[at].way = Way::Hostile;
                let _answer = answer_when_closed(bytes);
                let _answer = Inlet::new(Tick(self.now), options).on_answer(bytes);
                return Some(true);
            }
            11 => {
                let actions = self.ends[at].stream.fail(Reason::SocketFailed);
                self.carry_out(at, &[], actions, options);
                return Some(true);
            }
            12 => {
                self.now += u64::from(input.u16()?) * 8;
                let actions = self.ends[at].stream.on_deadline(Tick(self.now));
                self.carry_out(at, &[], actions, options);
                return Some(true);
            }
            _ => {}
        }
        Some(false)
    }

    fn chunk(&mut self, at: usize, bytes: &[u8], options: Options) {
        let end = &mut self.ends[at];
        if end.has_ended || bytes.is_empty() {
            return;
        }
        let reads = end.stream.is_reading();
        let mut frame = Frame::from_slice(bytes);
        let sent = end.stream.encode_chunk(&mut frame, Tick(self.now));
        assert_eq!(sent, reads, "a stream that reads sends");
        if sent {
            end.produced.extend(bytes);
            self.carry_out(
                at,
                &[],
                [Action::Send(frame)].into_iter().collect(),
                options,
            );
        } else {
            assert_eq!(frame.as_slice(), bytes);
        }
    }

    fn end_of_file(&mut self, at: usize, options: Options) {
        let end = &mut self.ends[at];
        if end.has_ended || !end.stream.is_reading() {
            return;
        }
        end.has_ended = true;
        let actions = end.stream.on_end_of_file(Tick(self.now));
        self.carry_out(at, &[], actions, options);
    }

    fn deliver(&mut self, at: usize, options: Options) {
        let end = &mut self.ends[at];
        let Some(message) = end.incoming.pop_front() else {
            return;
        };
        let was_closed = end.stream.is_closed();
        let actions = match &message {
            Some(message) => end.stream.on_message(message, Tick(self.now)),
            None => end.stream.fail(Reason::DataLost),
        };
        assert!(
            !was_closed || actions.is_empty(),
            "a closed stream did {actions:?}"
        );
        self.carry_out(at, &message.unwrap_or_default(), actions, options);
    }

    fn carry_out(&mut self, at: usize, message: &[u8], actions: Actions, options: Options) {
        for action in actions {
            let [first, second] = &mut self.ends;
            let (end, peer) = match at {
                0 => (first, second),
                _ => (second, first),
            };
            match action {
                Action::Send(frame) => peer.incoming.push_back(Some(frame.as_slice().to_vec())),
                Action::Write(data) => {
                    assert!(!end.has_finished && !end.is_reset);
                    end.written.extend(&message[data]);
                    if end.way < Way::Hostile && (options.counters || end.way < Way::Lossy) {
                        assert!(peer.produced.starts_with(&end.written));
                    }
                }
                Action::FinishWriting | Action::Close => {
                    let is_close = action == Action::Close;
                    assert!(!end.is_reset);
                    assert!(!is_close || end.stream.is_closed());
                    end.has_finished = true;
                    if options.counters && end.way == Way::Faithful {
                        assert!(peer.has_ended, "an end in order that the peer's was not");
                        assert_eq!(end.written.len(), peer.produced.len());
                    }
                }
                Action::Reset(_) => {
                    assert!(end.stream.is_closed());
                    end.is_reset = true;
                }
            }
        }
    }

    /// Lets both sockets end and everything arrive.
    fn finish(&mut self, options: Options) {
        for at in [0, 1] {
            self.end_of_file(at, options);
        }
        while self.ends.iter().any(|end| !end.incoming.is_empty()) {
            for at in [0, 1] {
                self.deliver(at, options);
            }
        }
        let [first, second] = &self.ends;
        for (end, peer) in [(first, second), (second, first)] {
            assert!(end.stream.is_closed() && end.has_finished && !end.is_reset);
            assert_eq!(end.written, peer.produced);
        }
    }
}
