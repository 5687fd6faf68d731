//! Two ends of a portal connection under random events: an end of file is never a lie.

use std::collections::VecDeque;

use proptest::prelude::*;
use sealway_core::Tick;
use sealway_core::portal::{
    Action, Actions, Answer, Inlet, Options, Outlet, PING, PONG, Reason, Stream,
};
use sealway_core::wire::Frame;

/// What the application behind a socket has seen in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    EndOfFile,
    Reset,
}

struct End {
    stream: Stream,
    /// Messages on their way to this end; `None` is one that was lost.
    incoming: VecDeque<Option<Vec<u8>>>,
    /// What this end's application has sent, and whether it ended orderly.
    sent: Vec<u8>,
    has_ended: bool,
    received: Vec<u8>,
    seen: Seen,
}

impl End {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            incoming: VecDeque::new(),
            sent: Vec::new(),
            has_ended: false,
            received: Vec::new(),
            seen: Seen::Nothing,
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Chunk(Vec<u8>),
    EndOfFile,
    SocketFailed,
    Deliver,
    Lose,
    Later(u64),
}

fn events(lossy: bool) -> impl Strategy<Value = Vec<(bool, Event)>> {
    let event = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Event::Chunk),
        8 => Just(Event::Deliver),
        1 => Just(Event::EndOfFile),
        u32::from(lossy) => Just(Event::SocketFailed),
        u32::from(lossy) => Just(Event::Lose),
        u32::from(lossy) => (0_u64..200_000).prop_map(Event::Later),
    ];
    prop::collection::vec((any::<bool>(), event), 0..60)
}

struct World {
    ends: [End; 2],
    now: Tick,
    /// Whether the channel reports a gap before what comes behind it.
    reports_gaps: bool,
}

impl World {
    fn new(options: Options, reports_gaps: bool) -> Self {
        let now = Tick(0);
        let outlet = Outlet::accept(PING, options).expect("a ping");
        let Answer::Open(inlet) = Inlet::new(now, options).on_answer(PONG) else {
            panic!("a pong opens");
        };
        Self {
            ends: [End::new(inlet), End::new(outlet.target_connected())],
            now,
            reports_gaps,
        }
    }

    fn carry_out(&mut self, at: usize, actions: Actions, message: &[u8]) {
        for action in actions {
            match action {
                Action::Write(range) => self.ends[at].received.extend(&message[range]),
                Action::Send(frame) => {
                    let message = frame.as_slice().to_vec();
                    self.ends[1 - at].incoming.push_back(Some(message));
                }
                Action::FinishWriting | Action::Close => {
                    assert_ne!(self.ends[at].seen, Seen::Reset);
                    self.ends[at].seen = Seen::EndOfFile;
                    self.check_end_of_file(at);
                }
                Action::Reset(_) => self.ends[at].seen = Seen::Reset,
            }
        }
    }

    /// An application that sees an end of file has everything that the other one sent.
    fn check_end_of_file(&self, at: usize) {
        let peer = &self.ends[1 - at];
        if self.reports_gaps {
            assert!(
                peer.has_ended,
                "an end that the peer's application never made"
            );
            assert_eq!(self.ends[at].received, peer.sent);
        }
    }

    fn step(&mut self, at: usize, event: Event) {
        let now = self.now;
        let end = &mut self.ends[at];
        match event {
            Event::Chunk(data) if end.stream.is_reading() && !end.has_ended => {
                let mut frame = Frame::from_slice(&data);
                assert!(end.stream.encode_chunk(&mut frame, now));
                end.sent.extend(data);
                let message = frame.as_slice().to_vec();
                self.ends[1 - at].incoming.push_back(Some(message));
            }
            Event::EndOfFile if end.stream.is_reading() => {
                end.has_ended = true;
                let actions = end.stream.on_end_of_file(now);
                self.carry_out(at, actions, &[]);
            }
            Event::SocketFailed => {
                let actions = end.stream.fail(Reason::SocketFailed);
                self.carry_out(at, actions, &[]);
            }
            Event::Lose => {
                if let Some(lost) = end.incoming.iter_mut().find(|next| next.is_some()) {
                    *lost = None;
                }
            }
            Event::Later(milliseconds) => {
                self.now = Tick(now.0 + milliseconds);
                let actions = end.stream.on_deadline(self.now);
                self.carry_out(at, actions, &[]);
            }
            Event::Deliver => self.deliver(at),
            Event::Chunk(_) | Event::EndOfFile => {}
        }
        let peer_sent = &self.ends[1 - at].sent;
        assert!(peer_sent.starts_with(&self.ends[at].received));
    }

    fn deliver(&mut self, at: usize) {
        let now = self.now;
        let end = &mut self.ends[at];
        match end.incoming.pop_front() {
            Some(Some(message)) => {
                let actions = end.stream.on_message(&message, now);
                self.carry_out(at, actions, &message);
            }
            Some(None) if self.reports_gaps => {
                let actions = end.stream.fail(Reason::DataLost);
                self.carry_out(at, actions, &[]);
            }
            Some(None) | None => {}
        }
    }

    fn settle(&mut self) {
        while self.ends.iter().any(|end| !end.incoming.is_empty()) {
            self.deliver(0);
            self.deliver(1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn an_end_of_file_means_that_all_data_arrived(events in events(true), counters: bool) {
        let options = Options { counters, ..Options::default() };
        let mut world = World::new(options, true);
        // Without counters the reference's Disconnect stands for every end: a failure of the other
        // socket cannot be told from an end, and only losses are looked for.
        let is_visible = |event: &Event| counters || !matches!(event, Event::SocketFailed | Event::Later(_));
        let has_lost = |event: &Event| !counters && matches!(event, Event::Lose);
        if events.iter().any(|(_, event)| has_lost(event)) {
            return Ok(());
        }
        for (at, event) in events {
            if is_visible(&event) {
                world.step(usize::from(at), event);
            }
        }
        world.settle();
    }

    #[test]
    fn counters_show_a_loss_that_no_channel_reports(events in events(true)) {
        let mut world = World::new(Options::default(), false);
        for (at, event) in events {
            world.step(usize::from(at), event);
        }
        world.settle();
    }

    #[test]
    fn without_losses_both_directions_come_to_their_own_end(events in events(false), counters: bool) {
        let options = Options { counters, ..Options::default() };
        let mut world = World::new(options, true);
        for (at, event) in events {
            world.step(usize::from(at), event);
        }
        for at in [0, 1] {
            world.step(at, Event::EndOfFile);
        }
        world.settle();
        for at in [0, 1] {
            prop_assert!(world.ends[at].stream.is_closed());
            prop_assert_eq!(world.ends[at].seen, Seen::EndOfFile);
            prop_assert_eq!(&world.ends[at].received, &world.ends[1 - at].sent);
        }
    }

    #[test]
    fn no_message_makes_a_stream_panic(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..20),
    ) {
        let Answer::Open(mut stream) = Inlet::new(Tick(0), Options::default()).on_answer(PONG)
        else {
            panic!("a pong opens");
        };
        for message in messages {
            for action in stream.on_message(&message, Tick(1)) {
                if let Action::Write(range) = action {
                    prop_assert!(message.get(range).is_some());
                }
            }
        }
    }
}
