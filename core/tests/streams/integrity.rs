//! Byte streams arrive in order and whole, or are reset: whatever is delayed, and wherever the channel is cut.

use proptest::prelude::*;
use sealway_core::streams::{Limits, Reason, StreamId};

use crate::link::{Outcome, Pair};

/// Three streams of some sizes, half-closed in different orders. Gives up after `deliveries` messages.
fn conversation(deliveries: usize) -> (Pair, bool) {
    let mut pair = Pair::new(Limits::default());
    let streams: Vec<StreamId> = (0..3).map(|n| pair.a.open(&format!("r{n}"))).collect();
    for (stream, len) in streams.iter().zip([1, 100_000, 700_000]) {
        pair.a.write(*stream, len);
    }
    pair.a.end(streams[0]);
    let mut answered = false;
    for delivery in 0..deliveries {
        pair.pump();
        if !answered && pair.b.sockets.len() == 3 {
            answered = true;
            for (stream, len) in streams.iter().zip([300_000, 0, 5]) {
                pair.b.write(*stream, len);
                pair.b.end(*stream);
            }
            pair.a.end(streams[1]);
            pair.a.end(streams[2]);
        }
        let from_a = delivery % 2 == 0;
        if !pair.deliver(from_a) && !pair.deliver(!from_a) {
            return (pair, true);
        }
        pair.check();
    }
    (pair, false)
}

#[test]
fn a_channel_cut_at_any_message_resets_what_has_not_ended() {
    let mut cuts = 0;
    loop {
        let (mut pair, is_complete) = conversation(cuts);
        pair.lose();
        pair.check();
        for (name, end) in [("initiator", &pair.a), ("responder", &pair.b)] {
            for (stream, socket) in &end.sockets {
                let outcome = socket.outcome;
                assert!(outcome.is_some(), "stream {stream} hangs at the {name}");
                let is_whole = outcome == Some(Outcome::Finished);
                assert!(is_whole || outcome == Some(Outcome::Reset(Reason::Gone)));
                assert!(is_whole || !is_complete);
            }
        }
        if is_complete {
            break;
        }
        cuts += 1;
    }
    println!("{cuts} cuts");
    assert!(cuts > 30);
}

#[test]
fn each_direction_ends_by_itself() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.a.open("db");
    pair.a.write(stream, 7);
    pair.a.end(stream);
    pair.settle();
    assert_eq!(pair.b.sockets[&stream].outcome, Some(Outcome::Finished));
    assert_eq!(pair.b.sockets[&stream].resource, "db");
    pair.b.write(stream, 500_000);
    pair.settle();
    assert_eq!(pair.a.sockets[&stream].received, 500_000);
    assert_eq!(pair.a.sockets[&stream].outcome, None);
    pair.b.end(stream);
    pair.settle();
    assert_eq!(pair.a.sockets[&stream].outcome, Some(Outcome::Finished));
    assert_eq!((pair.a.session.streams(), pair.b.session.streams()), (0, 0));
    pair.check();
}

/// Both Fins are out: nothing of the stream is on its way any more, and what is held may still be written.
#[test]
fn a_stream_that_has_ended_is_not_reset_by_a_loss() {
    let mut pair = Pair::new(Limits::default());
    pair.b.is_eager = false;
    let stream = pair.a.open("db");
    pair.a.write(stream, 9);
    pair.a.end(stream);
    pair.settle();
    pair.b.accept(stream);
    pair.b.end(stream);
    pair.settle();
    assert_eq!(pair.b.session.held_bytes(), 9);
    pair.lose();
    assert_eq!(pair.a.sockets[&stream].outcome, Some(Outcome::Finished));
    assert_eq!(pair.b.sockets[&stream].outcome, Some(Outcome::Finished));
}

#[test]
fn the_first_data_comes_with_the_open() {
    let mut pair = Pair::new(Limits::default());
    let stream = pair.a.open("http");
    pair.a.write(stream, 1_000);
    pair.pump();
    // Ping, then the Open.
    assert_eq!(pair.a.queue.len(), 2);
    assert!(pair.deliver(true) && pair.deliver(true));
    assert_eq!(pair.b.sockets[&stream].received, 1_000);
}

#[test]
fn a_refusal_and_a_reset_carry_their_reasons() {
    let mut pair = Pair::new(Limits::default());
    pair.b.is_eager = false;
    let (refused, cut) = (pair.a.open("secret"), pair.a.open("db"));
    pair.a.write(refused, 40);
    pair.settle();
    pair.b.reset(refused, Reason::Refused, pair.now);
    pair.b.accept(cut);
    pair.settle();
    assert_eq!(
        pair.a.sockets[&refused].outcome,
        Some(Outcome::Reset(Reason::Refused))
    );
    pair.a.reset(cut, Reason::Gone, pair.now);
    pair.settle();
    assert_eq!(
        pair.b.sockets[&cut].outcome,
        Some(Outcome::Reset(Reason::Gone))
    );
    assert_eq!((pair.a.session.streams(), pair.b.session.streams()), (0, 0));
    assert_eq!(pair.b.session.held_bytes(), 0);
}

/// The channel promises order and wholeness; a session finds out if it lied.
#[test]
pub(crate) fn a_message_that_is_missing_is_never_a_clean_end() {
    for missing in 0..12 {
        let mut pair = Pair::new(Limits::default());
        let stream = pair.a.open("db");
        pair.a.write(stream, 500_000);
        pair.a.end(stream);
        let mut delivered = 0;
        loop {
            pair.pump();
            if delivered == missing {
                let missing = pair.a.queue.pop_front();
                pair.a.queued -= missing.map_or(0, |(message, _)| message.len());
            }
            delivered += 1;
            let one = pair.deliver(true);
            if !(pair.deliver(false) || one) || pair.b.error.is_some() {
                break;
            }
        }
        pair.lose();
        pair.check();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Write(bool, usize, u64),
    End(bool, usize),
    Reset(bool, usize),
    Take(bool, usize, u64),
    Accept(usize),
    Deliver(bool),
    Pump,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (side, at) = (any::<bool>(), 0_usize..6);
    let size = prop_oneof![0_u64..3, 0_u64..200_000];
    let step = prop_oneof![
        2 => Just(Step::Open),
        4 => (side, at.clone(), size.clone()).prop_map(|(a, n, len)| Step::Write(a, n, len)),
        2 => (side, at.clone()).prop_map(|(a, n)| Step::End(a, n)),
        1 => (side, at.clone()).prop_map(|(a, n)| Step::Reset(a, n)),
        3 => (side, at.clone(), size).prop_map(|(a, n, len)| Step::Take(a, n, len)),
        3 => at.prop_map(Step::Accept),
        10 => side.prop_map(Step::Deliver),
        6 => Just(Step::Pump),
        1 => (0_u64..12_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// The stream at place `n` of an end, if its socket is still there.
fn pick(pair: &Pair, a: bool, n: usize) -> Option<StreamId> {
    let end = if a { &pair.a } else { &pair.b };
    let mut open = end.sockets.iter().filter(|(_, socket)| {
        !socket.is_dead && !matches!(socket.outcome, Some(Outcome::Reset(_)))
    });
    open.nth(n).map(|(stream, _)| *stream)
}

fn carry_out(pair: &mut Pair, step: Step) {
    match step {
        Step::Open => {
            if pair.a.sockets.len() < 6 {
                pair.a.open("any");
            }
        }
        Step::Write(a, n, len) => {
            if let Some(stream) = pick(pair, a, n) {
                let end = if a { &mut pair.a } else { &mut pair.b };
                if !end.sockets[&stream].ended && (a || end.sockets[&stream].accepted) {
                    end.write(stream, len);
                }
            }
        }
        Step::End(a, n) => {
            if let Some(stream) = pick(pair, a, n) {
                let end = if a { &mut pair.a } else { &mut pair.b };
                if a || end.sockets[&stream].accepted {
                    end.end(stream);
                }
            }
        }
        Step::Reset(a, n) => {
            if let Some(stream) = pick(pair, a, n) {
                let now = pair.now;
                let end = if a { &mut pair.a } else { &mut pair.b };
                end.reset(stream, Reason::Gone, now);
            }
        }
        Step::Take(a, n, len) => {
            if let Some(stream) = pick(pair, a, n) {
                let now = pair.now;
                let end = if a { &mut pair.a } else { &mut pair.b };
                end.take(stream, len, now);
            }
        }
        Step::Accept(n) => {
            let stream = pick(pair, false, n);
            if let Some(stream) = stream.filter(|id| !pair.b.sockets[id].accepted) {
                pair.b.accept(stream);
            }
        }
        Step::Deliver(from_a) => drop(pair.deliver(from_a)),
        Step::Pump => pair.pump(),
        Step::Pass(ms) => {
            pair.now.0 += ms;
            let now = pair.now;
            pair.a.on_deadline(now);
            pair.b.on_deadline(now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever two honest ends do, in whatever order: nobody finds a breach, an end of file means that all came, and
    #[test]
    fn honest_ends_never_break_the_rules(steps in steps(), is_cut: bool) {
        let mut pair = Pair::new(Limits::default());
        (pair.a.is_eager, pair.b.is_eager) = (false, false);
        for step in steps {
            carry_out(&mut pair, step);
            prop_assert_eq!((pair.a.error, pair.b.error), (None, None));
            pair.check();
        }
        if is_cut {
            pair.lose();
            pair.check();
            return Ok(());
        }
        finish(&mut pair);
        for (end, peer) in [(&pair.a, &pair.b), (&pair.b, &pair.a)] {
            prop_assert_eq!(end.session.streams(), 0);
            prop_assert_eq!(end.session.held_bytes(), 0);
            for (stream, socket) in &end.sockets {
                if socket.outcome == Some(Outcome::Finished) {
                    prop_assert_eq!(socket.received, peer.sockets[stream].written);
                } else {
                    prop_assert!(socket.outcome.is_some(), "stream {} hangs", stream);
                }
            }
        }
    }
}

/// Lets every stream be accepted, end, arrive and be taken.
fn finish(pair: &mut Pair) {
    for _ in 0..200 {
        pair.settle();
        for n in (0..6).rev() {
            carry_out(pair, Step::Accept(n));
            for a in [true, false] {
                carry_out(pair, Step::Take(a, n, u64::MAX));
                carry_out(pair, Step::End(a, n));
            }
        }
    }
}
