//! What a session keeps: counted in bytes of the process.
//!
//! In a test binary of its own, with one test, because it measures the allocations of the process.
#![allow(missing_docs, clippy::unwrap_used)]

use peak_alloc::PeakAlloc;
use sealway_core::Tick;
use sealway_core::streams::{Event, Limits, Reason, Role, Session, StreamId, Transmit};
use sealway_core::wire::Frame;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const STREAMS: usize = 8_192;
const NOW: Tick = Tick(0);

/// Everything that `from` has to send, with `data` on each stream whose turn comes.
fn exchange(from: &mut Session, to: &mut Session, data: &[u8]) {
    while let Some(next) = from.next_to_send(1 << 20, NOW) {
        let message = match next {
            Transmit::Message(message) => message,
            Transmit::Data { stream, .. } => {
                let mut frame = Frame::from_slice(data);
                from.encode(stream, &mut frame, false).unwrap();
                frame
            }
        };
        for event in to.on_message(message.as_slice(), NOW).unwrap() {
            match event {
                Event::Opened { stream, data, .. } => {
                    to.accept(stream);
                    to.consumed(stream, data.len(), NOW);
                }
                Event::Data { stream, data } => to.consumed(stream, data.len(), NOW),
                _ => {}
            }
        }
    }
}

/// Both ends of 8,192 streams that have carried something and are idle; then of none, and again.
#[test]
fn an_idle_stream_takes_less_than_512_bytes_and_leaves_none() {
    let mut a = Session::new(Role::Initiator, Limits::default(), NOW);
    let mut b = Session::new(Role::Responder, Limits::default(), NOW);
    let before = ALLOCATOR.current_usage();
    let mut emptied = Vec::new();
    for round in 0..3 {
        for _ in 0..STREAMS {
            let stream = a.open("postgres").unwrap();
            a.readable(stream);
        }
        for _ in 0..4 {
            exchange(&mut b, &mut a, b"answer");
            exchange(&mut a, &mut b, b"question");
        }
        assert_eq!((a.streams(), b.streams()), (STREAMS, STREAMS));
        let each = (ALLOCATOR.current_usage() - before) / STREAMS / 2;
        println!("{each} bytes a stream at each end");
        assert!(each < 512, "{each}");
        for n in 0..STREAMS as u64 {
            a.reset(
                StreamId(2 * (n + round * STREAMS as u64)),
                Reason::Gone,
                NOW,
            );
        }
        exchange(&mut a, &mut b, b"");
        assert_eq!((a.streams(), b.streams()), (0, 0));
        exchange(&mut b, &mut a, b"");
        emptied.push(ALLOCATOR.current_usage() - before);
    }
    println!("{emptied:?} bytes after each round");
    // The lists keep the capacity that they once had: 8 bytes a stream.
    assert!(emptied.iter().all(|left| *left <= 1 << 19), "{emptied:?}");
    let grown = emptied[2].abs_diff(emptied[0]);
    assert!(grown < 1 << 10, "{grown} bytes more after more streams");
}
