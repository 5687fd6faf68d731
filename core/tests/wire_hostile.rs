//! Parser bombs: each must be refused by what it claims, before memory is spent on it.
//!
//! In a test binary of its own, with one test, because it measures the allocations of the process.

use peak_alloc::PeakAlloc;
use sealway_core::control::{ErrorBody, Request, Response};
use sealway_core::portal;
use sealway_core::relay::Registration;
use sealway_core::wire::legacy::TransportMessage;
use sealway_core::wire::tcp::{self, Deframer};
use sealway_core::wire::{MultiAddr, Route, RoutingMessage, bare, cbor};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Most bytes that refusing an input may take: a route of 64 hops and some slack.
const ALLOWED: usize = 64 * 24 * 2 + 4_096;

/// What is sent to a decoder, and which one.
struct Bomb {
    name: &'static str,
    input: Vec<u8>,
    is_refused: fn(&[u8]) -> bool,
}

fn routing(input: &[u8]) -> bool {
    RoutingMessage::decode(input).is_err()
}

fn transport(input: &[u8]) -> bool {
    TransportMessage::decode(input).is_err()
}

fn multiaddr(input: &[u8]) -> bool {
    MultiAddr::decode(input).is_err()
}

fn item(input: &[u8]) -> bool {
    cbor::Reader::new(input).skip().is_err()
}

fn portal(input: &[u8]) -> bool {
    portal::Message::decode(input).is_err()
}

fn registration(input: &[u8]) -> bool {
    Registration::decode(input).is_err()
}

fn control(input: &[u8]) -> bool {
    Request::decode(input).is_err() && Response::decode(input).is_err()
}

fn error_body(input: &[u8]) -> bool {
    ErrorBody::decode(input).is_err()
}

fn data(input: &[u8]) -> bool {
    bare::Reader::new(input).data().is_err()
}

fn text(input: &[u8]) -> bool {
    let text = std::str::from_utf8(input).expect("bombs of text are ASCII");
    text.parse::<Route>().is_err() && text.parse::<MultiAddr>().is_err()
}

/// Whether the stream is refused, or waited for without its claimed length being allocated.
fn stream(input: &[u8]) -> bool {
    let mut deframer = Deframer::new();
    deframer.feed(input);
    deframer.next_frame().is_err()
}

fn bombs() -> Vec<Bomb> {
    let bomb = |name, is_refused: fn(&[u8]) -> bool, parts: &[&[u8]]| Bomb {
        name,
        input: parts.concat(),
        is_refused,
    };
    let hop = [0x82, 0, 0x41, b'a'];
    let million_hops = hop.repeat(1_000_000);
    let u32_max = [0xff; 4];
    let u64_max = [0xff; 8];
    vec![
        bomb("no bytes", routing, &[]),
        bomb("outer array of 2^32", routing, &[&[0x9a], &u32_max]),
        bomb("outer array of 2^64", routing, &[&[0x9b], &u64_max]),
        bomb("route of 2^32 hops", routing, &[&[0x83, 0x9a], &u32_max]),
        bomb("route of 2^64 hops", routing, &[&[0x83, 0x9b], &u64_max]),
        bomb(
            "route of a million hops",
            routing,
            &[
                &[0x83, 0x9a, 0, 0x0f, 0x42, 0x40],
                &million_hops,
                &[0x80, 0x40],
            ],
        ),
        bomb(
            "route of a million hops without a count",
            routing,
            &[&[0x83, 0x9f], &million_hops, &[0xff, 0x80, 0x40]],
        ),
        bomb(
            "return route of a million hops without a count",
            routing,
            &[&[0x83, 0x80, 0x9f], &million_hops, &[0xff, 0x40]],
        ),
        bomb(
            "address of 2^32 bytes",
            routing,
            &[&[0x83, 0x81, 0x82, 0, 0x5a], &u32_max],
        ),
        bomb(
            "address of 2^64 bytes",
            routing,
            &[&[0x83, 0x81, 0x82, 0, 0x5b], &u64_max],
        ),
        bomb(
            "address of a megabyte",
            routing,
            &[
                &[0x83, 0x81, 0x82, 0, 0x5a, 0, 0x10, 0, 0],
                &[0; 1 << 20],
                &[0x80, 0x40],
            ],
        ),
        bomb(
            "address type 2^32",
            routing,
            &[&[0x83, 0x81, 0x82, 0x1a], &u32_max, &[0x40]],
        ),
        bomb(
            "payload of 2^32 bytes",
            routing,
            &[&[0x83, 0x80, 0x80, 0x5a], &u32_max],
        ),
        bomb(
            "payload of 2^64 bytes",
            routing,
            &[&[0x83, 0x80, 0x80, 0x5b], &u64_max],
        ),
        bomb(
            "payload in chunks",
            routing,
            &[&[0x83, 0x80, 0x80, 0x5f, 0x41, 0, 0xff]],
        ),
        bomb(
            "payload of integers",
            routing,
            &[&[0x83, 0x80, 0x80, 0x82, 1, 2]],
        ),
        bomb(
            "extra element nested a million deep",
            routing,
            &[&[0x84, 0x80, 0x80, 0x40], &[0x9f; 1_000_000]],
        ),
        bomb(
            "address with an extra element nested deep",
            routing,
            &[&[0x83, 0x81, 0x83, 0, 0x40], &[0x81; 1_000_000]],
        ),
        bomb("arrays nested a million deep", item, &[&[0x81; 1_000_000]]),
        bomb("arrays without end nested", item, &[&[0x9f; 1_000_000]]),
        bomb("maps without end nested", item, &[&[0xbf; 1_000_000]]),
        bomb("tags of tags", item, &[&[0xc1; 1_000_000]]),
        bomb(
            "map of 2^63 pairs",
            item,
            &[&[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0]],
        ),
        bomb("text of 2^64 bytes", item, &[&[0x7b], &u64_max]),
        bomb("string of strings without end", item, &[&[0x5f; 1_000_000]]),
        bomb("reserved length form", item, &[&[0x1c]]),
        bomb("break alone", item, &[&[0xff]]),
        bomb("integer without length", item, &[&[0x1f]]),
        bomb("tag without length", item, &[&[0xdf, 0]]),
        bomb(
            "route of 2^64 hops in BARE",
            transport,
            &[&[1], &[0xff; 9], &[1]],
        ),
        bomb(
            "route of 2^32 hops in BARE",
            transport,
            &[&[2], &[0xff; 4], &[0x0f]],
        ),
        bomb(
            "route of a million hops in BARE",
            transport,
            &[&[1, 0xc0, 0x84, 0x3d], &[0; 2_000_000], &[0, 0]],
        ),
        bomb(
            "route of 64 hops without hops in BARE",
            transport,
            &[&[1, 64]],
        ),
        bomb(
            "address of 2^64 bytes in BARE",
            transport,
            &[&[1, 1, 0], &[0xff; 9], &[1]],
        ),
        bomb(
            "payload of 2^64 bytes in BARE",
            transport,
            &[&[1, 0, 0], &[0xff; 9], &[1]],
        ),
        bomb(
            "count beyond 64 bits in BARE",
            transport,
            &[&[1], &[0xff; 10]],
        ),
        bomb(
            "tracing of 2^64 bytes in BARE",
            transport,
            &[&[2, 0, 0, 0, 1], &[0xff; 9], &[1]],
        ),
        bomb("data of 2^64 bytes", data, &[&[0xff; 9], &[1]]),
        bomb("data of 2^32 bytes", data, &[&[0xff; 4], &[0x0f]]),
        bomb(
            "multiaddr name of 2^64 bytes",
            multiaddr,
            &[&[56], &[0xff; 9], &[1]],
        ),
        bomb(
            "multiaddr of a million parts",
            multiaddr,
            &[&[6, 0, 80].repeat(1_000_000)],
        ),
        bomb("multiaddr code beyond 64 bits", multiaddr, &[&[0xff; 11]]),
        bomb(
            "text of a million hops",
            text,
            &["/a=>".repeat(1_000_000).as_bytes()],
        ),
        bomb(
            "portal payload of 2^64 bytes",
            portal,
            &[&[3], &[0xff; 9], &[1]],
        ),
        bomb("unknown portal message", portal, &[&[4]]),
        bomb(
            "relay name of 2^64 bytes",
            registration,
            &[&[0xff; 9], &[1]],
        ),
        bomb(
            "relay name of a megabyte",
            registration,
            &[&[0x80, 0x80, 0x40], &[b'a'; 1 << 20]],
        ),
        bomb("request of 2^64 bytes", control, &[&[0xff; 9], &[1]]),
        bomb("header map of 2^64 keys", control, &[&[9, 0xbb], &u64_max]),
        bomb(
            "path of 2^32 bytes",
            control,
            &[&[7, 0xa1, 2, 0x7a], &u32_max],
        ),
        bomb(
            "header nested a million deep",
            control,
            &[&[0xc2, 0x84, 0x3d, 0xa1, 9], &[0x81; 1_000_000]],
        ),
        bomb(
            "causes of causes",
            error_body,
            &[&[0xa1, 4].repeat(500_000)],
        ),
        bomb(
            "error text of a megabyte",
            error_body,
            &[&[0x7a, 0, 0x10, 0, 0], &[b'a'; 1 << 20]],
        ),
        bomb("frame of 2^32 bytes", stream, &[&[tcp::VERSION], &u32_max]),
        bomb(
            "frame of one byte too many",
            stream,
            &[&[tcp::VERSION, 1, 0, 0, 1]],
        ),
        bomb("other version", stream, &[b"GET / HTTP/1.1\r\n"]),
    ]
}

#[test]
fn bombs_are_refused_before_memory_is_spent() {
    let bombs = bombs();
    for bomb in &bombs {
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        let is_refused = (bomb.is_refused)(&bomb.input);
        let spent = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(is_refused, "{} was accepted", bomb.name);
        assert!(spent <= ALLOWED, "{} took {spent} bytes", bomb.name);
    }
    claimed_lengths_cost_a_bounded_step();
    println!("hostile input: {} bombs", bombs.len() + 1);
}

/// A frame may claim 16 MiB; until its bytes arrive it gets a bounded step only.
fn claimed_lengths_cost_a_bounded_step() {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let mut deframer = Deframer::new();
    deframer.feed(&[tcp::VERSION, 1, 0, 0, 0]);
    assert!(matches!(deframer.next_frame(), Ok(None)));
    deframer.room();
    let spent = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(spent < 200 * 1024, "a claimed length took {spent} bytes");
}
