//! Fairness, latency and windows over a link with a rate and a delay.

use sealway_core::Tick;
use sealway_core::streams::{Limits, StreamId};

use crate::link::{Pair, QUEUE};

/// Moves both directions on by a millisecond: `rate` bytes leave each queue and arrive `delay_ms` later.
struct Line {
    pair: Pair,
    rate: usize,
    delay_ms: u64,
    budgets: [usize; 2],
    on_the_way: [std::collections::VecDeque<(sealway_core::wire::Frame, Tick)>; 2],
}

impl Line {
    fn new(rate: usize, delay_ms: u64) -> Self {
        Self {
            pair: Pair::new(Limits::default()),
            rate,
            delay_ms,
            budgets: [0; 2],
            on_the_way: Default::default(),
        }
    }

    /// In four steps, so that what takes no time takes less than a millisecond.
    fn millisecond(&mut self) {
        for _ in 0..4 {
            self.step();
        }
        self.pair.now.0 += 1;
    }

    fn step(&mut self) {
        let now = self.pair.now;
        for from in [0, 1] {
            let (sender, receiver) = match from {
                0 => (&mut self.pair.a, &mut self.pair.b),
                _ => (&mut self.pair.b, &mut self.pair.a),
            };
            while let Some((_, at)) = self.on_the_way[from].front() {
                if *at > now {
                    break;
                }
                let (message, _) = self.on_the_way[from].pop_front().unwrap();
                receiver.receive(message.as_slice(), now);
                assert_eq!(receiver.error, None);
            }
            self.budgets[from] += self.rate / 4;
            loop {
                sender.pump(now, now);
                let Some((message, _)) = sender.queue.front() else {
                    self.budgets[from] = 0;
                    break;
                };
                let Some(left) = self.budgets[from].checked_sub(message.len()) else {
                    break;
                };
                self.budgets[from] = left;
                let (message, _) = sender.queue.pop_front().unwrap();
                sender.queued -= message.len();
                self.on_the_way[from].push_back((message, Tick(now.0 + self.delay_ms)));
            }
        }
    }
}

const FOR_EVER: u64 = 1 << 40;

/// One to eight streams at full speed, and another that sends 1 KiB now and then: its turn comes before anything of the
/// others that is not in the transport's queue already, but for one message.
#[test]
fn a_small_message_does_not_wait_behind_bulk() {
    for bulk in [1, 8] {
        let mut line = Line::new(256 << 10, 0);
        let streams: Vec<StreamId> = (0..bulk).map(|_| line.pair.a.open("bulk")).collect();
        let ping = line.pair.a.open("ping");
        for stream in streams {
            line.pair.a.write(stream, FOR_EVER);
        }
        let mut longest = 0;
        for round in 0..150 {
            line.millisecond();
            if round % 3 == 0 {
                let before = line.pair.a.sent_bytes();
                line.pair.a.turns.clear();
                line.pair.a.write(ping, 1_024);
                line.millisecond();
                let turn = line
                    .pair
                    .a
                    .turns
                    .iter()
                    .find(|(stream, ..)| *stream == ping);
                let (.., at) = turn.expect("its turn came within a millisecond");
                longest = longest.max(at - before);
            }
        }
        println!("{bulk} bulk streams: at most {longest} bytes sent before a small message");
        assert!(longest <= 64 << 10, "{longest}");
    }
}

#[test]
fn bulk_streams_share_evenly_and_nobody_starves_beside_small_ones() {
    let mut line = Line::new(256 << 10, 0);
    let bulk: Vec<StreamId> = (0..8).map(|_| line.pair.a.open("bulk")).collect();
    let small: Vec<StreamId> = (0..40).map(|_| line.pair.a.open("small")).collect();
    for stream in &bulk {
        line.pair.a.write(*stream, FOR_EVER);
    }
    for _ in 0..160 {
        // Forty streams that always come back with one message more: together they would fill the link.
        for stream in &small {
            let socket = &line.pair.a.sockets[stream];
            if socket.sent == socket.written {
                line.pair.a.write(*stream, 8 << 10);
            }
        }
        line.millisecond();
    }
    let carried = |streams: &[StreamId]| -> Vec<u64> {
        let received = |stream| line.pair.b.sockets[stream].received;
        streams.iter().map(received).collect()
    };
    let (bulk, small) = (carried(&bulk), carried(&small));
    let (least, most) = (bulk.iter().min().unwrap(), bulk.iter().max().unwrap());
    println!("bulk {least} to {most}, small {:?}", small.iter().min());
    assert!(most - least <= (*most / 20).max(128 << 10));
    assert!(bulk.iter().sum::<u64>() > 8 << 20, "{bulk:?}");
    assert!(
        small.iter().all(|carried| *carried > 256 << 10),
        "{small:?}"
    );
}

/// 100 ms there and back, 20 MB/s: 256 KiB a round trip would be 2.6 MB/s.
#[test]
fn the_window_grows_to_fill_a_long_path() {
    let mut line = Line::new(20_000, 50);
    let stream = line.pair.a.open("bulk");
    line.pair.a.write(stream, FOR_EVER);
    for _ in 0..2_000 {
        line.millisecond();
    }
    let before = line.pair.b.sockets[&stream].received;
    for _ in 0..1_000 {
        line.millisecond();
    }
    let rate = (line.pair.b.sockets[&stream].received - before) / 1_000;
    assert_eq!(line.pair.b.session.round_trip_ms(), Some(100));
    println!("{rate} of 20000 bytes a millisecond");
    assert!(rate > 18_000, "{rate}");
}

/// Without distance the window stays where a small message passes quickly, and is larger only while there is no other stream to pass.
#[test]
fn the_window_is_small_on_a_short_path_unless_one_stream_alone_speaks() {
    let mut line = Line::new(1 << 20, 0);
    let stream = line.pair.a.open("bulk");
    let other = line.pair.a.open("another");
    line.pair.a.write(stream, FOR_EVER);
    let largest = |line: &mut Line, ms: u64, others: bool| {
        let mut largest = 0;
        for round in 0..ms {
            if others && round % 40 == 0 {
                line.pair.a.write(other, 1);
            }
            line.millisecond();
            largest = largest.max(line.pair.a.session.unacknowledged(stream));
        }
        largest
    };
    let small = 256 << 10;
    assert!(largest(&mut line, 300, true) <= small);
    assert!(largest(&mut line, 60, false) <= small, "not yet alone");
    let alone = largest(&mut line, 300, false);
    assert!(alone > 3 * small && alone <= 4 * small, "{alone}");
    largest(&mut line, 10, true);
    let again = largest(&mut line, 300, true);
    assert!(again <= small, "{again}");
    assert!(line.pair.b.sockets[&stream].received > 100 << 20);
}

/// Nothing waits but in the transport's queue, which this end bounds by the budget it gives.
#[test]
fn no_more_is_queued_than_the_transport_has_room_for() {
    let mut line = Line::new(100, 0);
    for _ in 0..50 {
        let stream = line.pair.a.open("bulk");
        line.pair.a.write(stream, FOR_EVER);
    }
    for _ in 0..200 {
        line.millisecond();
        assert!(line.pair.a.queued <= QUEUE);
    }
    assert!(
        line.pair
            .a
            .session
            .next_to_send(93, line.pair.now)
            .is_none()
    );
}
