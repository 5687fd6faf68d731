//! Peers that break no rule and are no friends: floods, and what is withheld.

use sealway_core::Tick;
use sealway_core::streams::{
    CHANNEL_WINDOW, Control, Event, INITIAL_STREAMS, Limits, OpenError, Reason, Role, Session,
    SessionError, StreamId, Transmit, control_message, encode_data, encode_open,
};
use sealway_core::wire::Frame;

use crate::link::{Outcome, Pair};

const NOW: Tick = Tick(0);

fn open(stream: u64, data: &[u8]) -> Frame {
    let mut frame = Frame::from_slice(data);
    encode_open(&mut frame, StreamId(stream), 0, "db");
    frame
}

fn data(stream: u64, offset: u64, data: &[u8]) -> Frame {
    let mut frame = Frame::from_slice(data);
    encode_data(&mut frame, StreamId(stream), offset);
    frame
}

fn control(frame: Control) -> Frame {
    let mut message = control_message(0);
    frame.append(&mut message);
    message
}

fn responder() -> Session {
    Session::new(Role::Responder, Limits::default(), NOW)
}

/// All that a session has to send that is no data.
fn messages(session: &mut Session, now: Tick) -> usize {
    let mut bytes = 0;
    while let Some(Transmit::Message(message)) = session.next_to_send(usize::MAX, now) {
        bytes += message.len();
    }
    bytes
}

#[test]
fn a_peer_that_never_gives_credit_binds_no_data() {
    let mut pair = Pair::new(Limits::default());
    (pair.a.is_eager, pair.b.is_eager) = (false, false);
    let streams: Vec<StreamId> = (0..INITIAL_STREAMS).map(|_| pair.a.open("sink")).collect();
    for stream in &streams {
        pair.a.write(*stream, 1 << 40);
    }
    pair.settle();
    for stream in &streams {
        pair.b.accept(*stream);
    }
    pair.settle();
    // All that the channel takes is sent, the rest is where it was: in the sockets.
    let sent: u64 = streams.iter().map(|id| pair.a.sockets[id].sent).sum();
    let unacknowledged: u64 = streams
        .iter()
        .map(|id| pair.a.session.unacknowledged(*id))
        .sum();
    assert_eq!((sent, unacknowledged), (pair.b.session.held_bytes(), sent));
    assert!(sent <= Limits::default().channel_window);
    assert!(sent >= CHANNEL_WINDOW);
    // The other direction, and the end, are as free as before.
    pair.b.write(streams[0], 5);
    pair.settle();
    assert_eq!(pair.a.sockets[&streams[0]].received, 5);
    for stream in streams {
        pair.a.reset(stream, Reason::Gone, NOW);
    }
    pair.settle();
    assert_eq!(
        (pair.a.session.streams(), pair.b.session.held_bytes()),
        (0, 0)
    );
}

#[test]
fn streams_that_stand_still_leave_room_until_the_fullest_is_reset() {
    let limits = Limits {
        channel_window: CHANNEL_WINDOW,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits);
    pair.b.is_eager = false;
    let stuck: Vec<StreamId> = (0..20).map(|_| pair.a.open("stuck")).collect();
    let live = pair.a.open("live");
    for stream in &stuck {
        pair.a.write(*stream, 1 << 40);
    }
    pair.settle();
    for stream in pair.b.sockets.keys().copied().collect::<Vec<_>>() {
        pair.b.accept(stream);
    }
    pair.a.write(live, 500_000);
    pair.settle();
    assert!(pair.b.sockets[&live].received < 500_000, "nothing is left");
    let deadline = pair.b.session.deadline().unwrap();
    pair.now = Tick(deadline.0 - 1);
    pair.b.on_deadline(pair.now);
    assert_eq!(pair.b.session.streams(), 21);
    pair.now = deadline;
    pair.b.on_deadline(pair.now);
    for _ in 0..100 {
        let received = pair.b.sockets[&live].received;
        pair.b.take(live, u64::MAX, pair.now);
        pair.settle();
        if received == pair.b.sockets[&live].received {
            let Some(deadline) = pair.b.session.deadline() else {
                break;
            };
            pair.now = deadline;
            pair.b.on_deadline(pair.now);
            pair.settle();
        }
    }
    assert_eq!(pair.b.sockets[&live].received, 500_000);
    let reset = Some(Outcome::Reset(Reason::Stalled));
    let resets = |end: &crate::link::Party| {
        stuck
            .iter()
            .filter(|id| end.sockets[id].outcome == reset)
            .count()
    };
    assert_eq!(resets(&pair.a), resets(&pair.b));
    assert!((1..=8).contains(&resets(&pair.a)), "{}", resets(&pair.a));
    assert!(pair.b.session.held_bytes() <= CHANNEL_WINDOW);
}

/// A stream alone may stand as long as it likes.
#[test]
fn a_stream_that_stands_still_alone_is_left_alone() {
    let mut pair = Pair::new(Limits::default());
    pair.b.is_eager = false;
    let stream = pair.a.open("paused");
    pair.a.write(stream, 1 << 40);
    pair.settle();
    pair.b.accept(stream);
    pair.settle();
    assert_eq!(pair.b.session.deadline(), None);
    pair.b.on_deadline(Tick(3_600_000));
    assert_eq!(pair.b.sockets[&stream].outcome, None);
}

/// CVE-2023-44487: as many as it likes, at 250 a second, and no more than its places at a time.
#[test]
fn opening_and_resetting_is_paced() {
    let mut session = responder();
    messages(&mut session, NOW);
    let mut opened = 0;
    let broken = loop {
        let stream = StreamId(2 * opened);
        if let Err(error) = session.on_message(open(stream.0, b"GET /").as_slice(), NOW) {
            break error;
        }
        opened += 1;
        let reason = Reason::Gone;
        let reset = control(Control::Reset { stream, reason });
        session.on_message(reset.as_slice(), NOW).unwrap();
        assert_eq!((session.streams(), session.held_bytes()), (0, 0));
        messages(&mut session, NOW);
    };
    assert!(
        matches!(broken, SessionError::TooManyStreams { .. }),
        "{broken}"
    );
    assert_eq!(opened, 8_192 + 256);
}

/// An honest end whose clients give up at once only waits.
#[test]
fn an_honest_end_waits_for_its_places() {
    let mut pair = Pair::new(Limits::default());
    pair.b.is_eager = false;
    for _ in 0..9_000 {
        let stream = pair.a.open("db");
        pair.settle();
        pair.a.reset(stream, Reason::Gone, pair.now);
    }
    pair.settle();
    let stream = pair.a.open("db");
    pair.settle();
    assert!(
        !pair.b.sockets.contains_key(&stream),
        "all places are held back"
    );
    pair.now = pair.b.session.deadline().unwrap();
    assert_eq!(pair.now, Tick(100));
    pair.b.on_deadline(pair.now);
    pair.settle();
    assert!(pair.b.sockets.contains_key(&stream));
}

#[test]
fn accepted_streams_leave_nothing_behind() {
    let mut pair = Pair::new(Limits::default());
    for _ in 0..20_000 {
        let stream = pair.a.open("http");
        pair.a.write(stream, 10);
        pair.a.end(stream);
        pair.settle();
        pair.b.end(stream);
        pair.settle();
        assert_eq!(pair.a.sockets[&stream].outcome, Some(Outcome::Finished));
        assert_eq!((pair.a.session.streams(), pair.b.session.streams()), (0, 0));
        pair.a.sockets.clear();
        pair.b.sockets.clear();
    }
}

#[test]
fn a_responder_says_nothing_before_it_has_heard_from_its_initiator() {
    let mut session = Session::new(Role::Responder, Limits::default(), Tick(0));
    assert!(!session.wants_to_send());
    assert_eq!(messages(&mut session, Tick(0)), 0);
    let mut initiator = Session::new(Role::Initiator, Limits::default(), Tick(0));
    let Some(Transmit::Message(first)) = initiator.next_to_send(usize::MAX, Tick(0)) else {
        panic!("an initiator begins");
    };
    session.on_message(first.as_slice(), Tick(0)).unwrap();
    assert!(messages(&mut session, Tick(0)) > 0);
}

#[test]
fn a_flood_of_pings_makes_one_pong() {
    let mut session = responder();
    session
        .on_message(control(Control::Ping { number: 999 }).as_slice(), NOW)
        .unwrap();
    messages(&mut session, NOW);
    for number in 0..100_000 {
        let ping = control(Control::Ping { number });
        assert!(session.on_message(ping.as_slice(), NOW).unwrap().is_empty());
    }
    assert_eq!(messages(&mut session, NOW), 1 + 1 + 3);
}

#[test]
fn data_for_streams_that_are_over_counts_for_the_channel_and_is_kept_nowhere() {
    let mut session = responder();
    let (stream, reason) = (StreamId(0), Reason::Refused);
    session.on_message(open(0, b"").as_slice(), NOW).unwrap();
    session.reset(stream, reason, NOW);
    messages(&mut session, NOW);
    assert_eq!(session.streams(), 0);
    let mut offset = 0;
    let error = loop {
        match session.on_message(data(0, offset, &[0; 60_000]).as_slice(), NOW) {
            Ok(events) => assert!(events.is_empty()),
            Err(error) => break error,
        }
        assert_eq!(session.held_bytes(), 0);
        offset += 60_000;
        assert!(
            offset <= CHANNEL_WINDOW,
            "no credit was given, and nobody minded"
        );
    };
    let is_exceeded = matches!(error, SessionError::ChannelCreditExceeded { .. });
    assert!(is_exceeded, "{error}");
    assert_eq!(offset, CHANNEL_WINDOW / 60_000 * 60_000);
}

#[test]
fn a_responder_opens_streams_only_after_it_is_asked_to() {
    let mut pair = Pair::new(Limits::default());
    assert_eq!(pair.b.session.open("back"), Err(OpenError::Unasked));
    pair.a.session.allow_streams(1);
    pair.settle();
    let stream = pair.b.open("back");
    let second = pair.b.open("back");
    pair.settle();
    assert_eq!((stream, second), (StreamId(1), StreamId(3)));
    assert!(pair.a.sockets[&stream].accepted && !pair.a.sockets.contains_key(&second));
    pair.a.end(stream);
    pair.b.end(stream);
    pair.settle();
    assert!(pair.a.sockets[&second].accepted);
}

#[test]
fn this_end_keeps_its_own_bounds() {
    let limits = Limits {
        streams: 64,
        ..Limits::default()
    };
    let mut session = Session::new(Role::Initiator, limits, NOW);
    for name in ["", &"n".repeat(256)] {
        assert!(matches!(
            session.open(name),
            Err(OpenError::Resource { .. })
        ));
    }
    for _ in 0..64 {
        session.open("db").unwrap();
    }
    assert_eq!(session.open("db"), Err(OpenError::TooMany { max: 64 }));
    session.reset(StreamId(0), Reason::Gone, NOW);
    assert_eq!(session.open("db"), Ok(StreamId(128)));
    assert_eq!(session.lost().len(), 64);
    assert_eq!(session.open("db"), Err(OpenError::Over));
}

#[test]
fn data_is_sent_in_turn_and_after_a_breach_nothing_is() {
    let mut session = responder();
    messages(&mut session, NOW);
    session.on_message(open(0, b"").as_slice(), NOW).unwrap();
    let mut frame = Frame::from_slice(b"early");
    assert!(session.encode(StreamId(0), &mut frame, false).is_err());
    assert_eq!(frame.as_slice(), b"early");
    assert!(session.accept(StreamId(0)) && !session.accept(StreamId(0)));
    session
        .on_message(data(0, 7, b"x").as_slice(), NOW)
        .unwrap_err();
    assert!(session.next_to_send(usize::MAX, NOW).is_none());
    assert!(session.on_message(&[], NOW).unwrap().is_empty());
    let events = session.lost();
    let (stream, reason) = (StreamId(0), Reason::Gone);
    assert_eq!(events[..], [Event::Reset { stream, reason }]);
}
